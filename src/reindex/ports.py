"""The Protocols behind which more than one implementation stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reindex.core.batches import RemoteBatch

if TYPE_CHECKING:
    from reindex.vectors import Vectors


class Clock(Protocol):
    """Wall-clock time. Only ages and stamps come from it; no decision compares it with a file's mtime
    except the racy rule.
    """

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...


class Embedder(Protocol):
    """Turns texts into vectors of one embedding space, at once and in order.

    It holds no durable state and may be asked the same twice.
    """

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of shape (len(texts), dimensions) for exactly these texts, prompts already in them.

        Raises EmbeddingError (the provider failed) or ModelError (the model can't be loaded).
        """
        ...


class PaidAnswer(Protocol):
    """Vectors of texts in order, and the tokens that they were billed. Some may be wrong."""

    @property
    def vectors(self) -> Vectors:
        """Of shape (n, dimensions)."""
        ...

    @property
    def tokens(self) -> int:
        """As the provider counts, or the estimate where it does not."""
        ...

    @property
    def wrong(self) -> Mapping[int, str]:
        """By position, why a vector can't be believed."""
        ...


class PaidEmbedder(Embedder, Protocol):
    """An Embedder whose answers have a price."""

    def embed_partly(
        self,
        texts: Sequence[str],
        token_counts: Sequence[int],
        on_lost: Callable[[int, int], None],
        on_wrong: Callable[[int, int], None],
    ) -> PaidAnswer:
        """By one request, into which they have to fit. `token_counts` are estimates. The last two are told of
        texts and tokens: of requests that may have been billed without an answer, and of those that were
        billed for an answer that can't be believed.

        Raises RefusedError, OutageError, and EmbeddingError where answers stay wrong altogether.
        """
        ...


class BatchProvider(Protocol):
    """A server with the Batch API. No method asks twice by itself where asking twice can cost.

    Everything raises OutageError and RefusedError; what is not there raises GoneError.
    """

    @property
    def account(self) -> str:
        """Digest of the server and the project: whose batches can be asked for."""
        ...

    def upload(self, path: Path, name: str) -> str:
        """Send an input file; its id there. Free, and it expires by itself."""
        ...

    def create(self, file_id: str, metadata: Mapping[str, str]) -> RemoteBatch:
        """Begin a batch. An OutageError with `may_be_accepted`: it may exist, and nobody knows its id."""
        ...

    def listed(self, since: float) -> Iterator[RemoteBatch]:
        """Every batch created since then (by the server's clock), the latest first. It may lag."""
        ...

    def retrieve(self, batch_id: str) -> RemoteBatch:
        """One batch as it is now."""
        ...

    def cancel(self, batch_id: str) -> None:
        """Ask for its end; what it has done until then is answered and billed."""
        ...

    def download(self, file_id: str, destination: Path) -> None:
        """A file to the disk, whole, or not at all: its size is compared with what the server says."""
        ...

    def uploaded(self, prefix: str) -> Iterator[str]:
        """Ids of our input files whose name begins so."""
        ...

    def delete(self, file_id: str) -> None:
        """Remove a file of ours."""
        ...
