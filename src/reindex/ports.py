"""The Protocols behind which more than one implementation stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

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
