"""Searching for many clients at a time, from an event loop."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from reindex.core.identity import Recipe
from reindex.ports import Embedder
from reindex.search import Reader, SearchMode, SearchResult
from reindex.stores.snapshot import Filter


class SearchService:
    """One reader behind a lock."""

    def __init__(self, data_dir: Path, embedder_of: Callable[[Recipe], Embedder]) -> None:
        self._reader = Reader(data_dir, lambda recipe, sent: embedder_of(recipe).embed([sent])[0])
        self._lock = asyncio.Lock()

    async def search(
        self, text: str, k: int, mode: SearchMode, limits: Filter, generation: int | None
    ) -> SearchResult:
        """As Reader.search."""
        del generation
        async with self._lock:
            return await asyncio.to_thread(self._reader.search, text, k, mode, limits)

    async def close(self) -> None:
        """Nothing is open."""
