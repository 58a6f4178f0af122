"""Searches, so many at a time: those above it wait a moment, and are then told to come back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from reindex.errors import ConfigError, NothingIndexedError
from reindex.http.metrics import SearchTimes
from reindex.http.problems import Refusal
from reindex.http.surface import SearchRequest, Surface
from reindex.search import SearchResult

WAIT_S = 1.0
SEARCH_S = 60.0


class Searching:
    """The searches of one API. Used on its loop alone."""

    def __init__(self, surface: Surface, searches_max: int, times: SearchTimes) -> None:
        self._surface = surface
        self._max = searches_max
        self._places = asyncio.Semaphore(searches_max)
        self._waiting = 0
        self._times = times

    async def search(self, request: SearchRequest) -> SearchResult:
        """The answer. Raises Refusal when there are too many or it takes too long, and ReindexErrors."""
        async with self._place():
            started = time.perf_counter()
            try:
                async with asyncio.timeout(SEARCH_S):
                    found = await self._surface.search(request)
            except (ConfigError, NothingIndexedError):
                self._times.add("refused")
                raise
            except TimeoutError:
                self._times.add("failed")
                raise Refusal(504, f"the search took more than {SEARCH_S:.0f} s", "Try again.") from None
            except Exception:
                self._times.add("failed")
                raise
            self._times.add("answered", time.perf_counter() - started)
            return found

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._places.locked() and self._waiting >= self._max:
            self._refuse()
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            self._refuse()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._places.release()

    def _refuse(self) -> None:
        self._times.add("refused")
        raise Refusal(
            503, f"{self._max} searches are under way already", "Try again, or raise [daemon] searches_max."
        )
