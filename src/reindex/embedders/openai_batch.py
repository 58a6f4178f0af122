"""The Batch API by the SDK: files and batches, each asked for once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reindex.core.batches import RemoteBatch, RemoteError
from reindex.embedders.openai_client import OpenAIConnection
from reindex.embedders.openai_errors import ask
from reindex.errors import DiskError, GoneError, OutageError, RefusedError

if TYPE_CHECKING:
    from openai import OpenAI

INPUT_EXPIRES_S = 3 * 86_400  # longer than any window; by then what nobody knows of is gone
PAGE = 100  # more is refused by some
BATCH_PAGES_MAX = 1_000  # newest first, a hundred batches each
_FILE_PAGES_MAX = 100  # newest first; what is left expires
_PIECE_BYTES = 1 << 20
_TRANSFER_S = 600.0  # of 200 MB, at 3 Mbit/s
_DOWNLOAD_S = 3_600.0

T = TypeVar("T")


class OpenAIBatches:
    """A BatchProvider. Nothing is retried here: what may be asked again is asked by the next round."""

    def __init__(self, connection: OpenAIConnection) -> None:
        self._connection = connection

    @property
    def account(self) -> str:
        return self._connection.account.fingerprint

    def upload(self, path: Path, name: str) -> str:
        def call(client: OpenAI) -> str:
            with path.open("rb") as file:
                made = client.files.create(
                    file=(name, file, "application/jsonl"),
                    purpose="batch",
                    expires_after={"anchor": "created_at", "seconds": INPUT_EXPIRES_S},
                    timeout=_TRANSFER_S,
                )
            return str(made.id)

        return self._ask(f"sending {name}", call)

    def create(self, file_id: str, metadata: Mapping[str, str]) -> RemoteBatch:
        def call(client: OpenAI) -> RemoteBatch:
            made = client.batches.create(
                completion_window="24h",
                endpoint="/v1/embeddings",
                input_file_id=file_id,
                metadata=dict(metadata),
            )
            return remote_batch(made)

        try:
            return self._ask("creating a batch", call)
        except RefusedError as error:
            if file_id not in error.message:
                raise
            gone = GoneError(error.message, error.hint)  # it says "bad request" of a file that it lacks
        raise gone

    def listed(self, since: float) -> Iterator[RemoteBatch]:
        """By whole pages: a clock of ours that is wrong hides none of the latest. OutageError where the list
        has no end: what is not in a part of it may be there all the same.
        """
        after = ""
        for _ in range(BATCH_PAGES_MAX):
            page = self._ask("listing batches", partial(_page, after=after))
            yield from map(remote_batch, page.data)
            if not page.has_more or not page.data or page.data[-1].created_at < since:
                return
            if page.data[-1].id == after:
                raise _endless(f"page after page ends with {after}")
            after = page.data[-1].id
        raise _endless(f"it is longer than {BATCH_PAGES_MAX:,} pages")

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return self._ask(
            f"asking for batch {batch_id}", lambda client: remote_batch(client.batches.retrieve(batch_id))
        )

    def cancel(self, batch_id: str) -> None:
        self._ask(f"cancelling batch {batch_id}", lambda client: client.batches.cancel(batch_id))

    def download(self, file_id: str, destination: Path) -> None:
        doing = f"fetching {file_id}"
        size_bytes = self._ask(doing, lambda client: client.files.retrieve(file_id).bytes)
        part = destination.with_name(destination.name + ".part")
        until = time.monotonic() + _DOWNLOAD_S

        def call(client: OpenAI) -> int:
            streamed = client.files.with_streaming_response
            with streamed.content(file_id, timeout=self._connection.settings.timeout_s) as response:
                return _store(response.iter_bytes(_PIECE_BYTES), part, until)

        try:
            written = self._ask(doing, call)
            # A server that says less than it sends, as 0 for all, does not know.
            if size_bytes and written < size_bytes:
                raise OutageError(
                    f"{file_id} came cut off: {written:,} of {size_bytes:,} bytes", "It is fetched again."
                )
            part.replace(destination)
        finally:
            part.unlink(missing_ok=True)

    def uploaded(self, prefix: str) -> Iterator[str]:
        after = ""
        for _ in range(_FILE_PAGES_MAX):
            page = self._ask("listing files", partial(_page_of_files, after=after))
            yield from (file.id for file in page.data if file.filename.startswith(prefix))
            if not page.has_more or not page.data:
                return
            after = page.data[-1].id

    def delete(self, file_id: str) -> None:
        self._ask(f"removing {file_id}", lambda client: client.files.delete(file_id))

    def _ask(self, doing: str, call: Callable[[OpenAI], T]) -> T:
        """Raises GoneError for what is not there."""
        try:
            return ask(self._connection, doing, call)
        except OutageError as error:
            if error.status != 404:
                raise
            gone = GoneError(error.message, error.hint)
        except RefusedError as error:
            if error.status != 404:
                raise
            gone = GoneError(error.message, error.hint)
        raise gone


def _endless(why: str) -> OutageError:
    return OutageError(
        f"the provider's list of batches does not come to an end: {why}",
        "[embedding.openai] has_batch = false if its Batch API is of no use. Nothing is sent meanwhile.",
        is_lasting=True,
    )


def remote_batch(found: Any) -> RemoteBatch:
    """The SDK's batch as a value. Servers differ: what lacks is "" or nothing, states come in any case."""
    counts = found.request_counts
    errors = getattr(found.errors, "data", None) or []
    return RemoteBatch(
        id=found.id,
        state=str(found.status).lower(),
        input_file_id=found.input_file_id or "",
        output_file_id=found.output_file_id or "",
        error_file_id=found.error_file_id or "",
        created_at=float(found.created_at or 0),
        expires_at=float(found.expires_at) if found.expires_at else None,
        metadata={str(key): str(value) for key, value in (found.metadata or {}).items()},
        errors=tuple(RemoteError(str(e.code or ""), str(e.message or ""), e.line) for e in errors),
        completed=int(getattr(counts, "completed", 0) or 0),
        total=int(getattr(counts, "total", 0) or 0),
    )


def _page(client: OpenAI, after: str) -> Any:
    return client.batches.list(limit=PAGE, after=after) if after else client.batches.list(limit=PAGE)


def _page_of_files(client: OpenAI, after: str) -> Any:
    how: dict[str, Any] = {"after": after} if after else {}
    return client.files.list(purpose="batch", limit=PAGE, **how)


def _store(pieces: Iterator[bytes], part: Path, until: float) -> int:
    """Write a body to the disk, as it comes; its length."""
    written = 0
    try:
        with part.open("wb") as file:
            for piece in pieces:
                file.write(piece)
                written += len(piece)
                if time.monotonic() > until:
                    raise OutageError("a file did not come to its end in an hour", "It is fetched again.")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno is None:  # of the connection's kind, not of the disk's
            raise
        raise DiskError(
            f"{part} can't be written: {error.strerror or error}",
            "Free some space; the file stays at the provider for a month.",
        ) from error
    return written
