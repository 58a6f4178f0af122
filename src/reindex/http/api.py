"""What handlers work with: the surface, its threads, and the limits that they share."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from reindex.http.metrics import Metrics, SearchTimes
from reindex.http.searching import Searching
from reindex.http.surface import Surface

THREADS = 4  # for what reads disks and ledgers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request with its checked options: those of the path, and of the query or the body."""

    request: Request
    values: Mapping[str, object]

    def number(self, name: str) -> int:
        """An integer option that is there."""
        value = self.values[name]
        assert isinstance(value, int), f"{name} was checked"
        return value


class Api:
    """One running API."""

    def __init__(self, surface: Surface, searches_max: int) -> None:
        times = SearchTimes()
        self.surface = surface
        self.searching = Searching(surface, searches_max, times)
        self.metrics = Metrics(surface.numbers, times)
        self.streams = 0  # of events, open
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="reindex-http")

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Call it in a thread, and wait without holding up anyone else."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def close(self) -> None:
        """Waits for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)
