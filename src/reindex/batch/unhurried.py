"""A provider whose requests take their time beside whatever else is to be done."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from reindex.core.batches import RemoteBatch
from reindex.meanwhile import run_beside
from reindex.ports import BatchProvider

T = TypeVar("T")


class Unhurried:
    """A BatchProvider that asks another one in a thread, and calls `meanwhile` until the answer is there: a
    file of 400 MB takes minutes, and edits don't wait for it. An exception of `meanwhile` ends the waiting.
    """

    def __init__(self, inner: BatchProvider, meanwhile: Callable[[], None]) -> None:
        self._inner = inner
        self._meanwhile = meanwhile

    @property
    def account(self) -> str:
        return self._inner.account

    def upload(self, path: Path, name: str) -> str:
        return self._ask(lambda: self._inner.upload(path, name))

    def create(self, file_id: str, metadata: Mapping[str, str]) -> RemoteBatch:
        return self._ask(lambda: self._inner.create(file_id, metadata))

    def listed(self, since: float) -> Iterator[RemoteBatch]:
        return iter(self._ask(lambda: list(self._inner.listed(since))))

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return self._ask(lambda: self._inner.retrieve(batch_id))

    def cancel(self, batch_id: str) -> None:
        self._ask(lambda: self._inner.cancel(batch_id))

    def download(self, file_id: str, destination: Path) -> None:
        self._ask(lambda: self._inner.download(file_id, destination))

    def uploaded(self, prefix: str) -> Iterator[str]:
        return iter(self._ask(lambda: list(self._inner.uploaded(prefix))))

    def delete(self, file_id: str) -> None:
        self._ask(lambda: self._inner.delete(file_id))

    def _ask(self, call: Callable[[], T]) -> T:
        return run_beside(call, self._meanwhile, abandons=True)
