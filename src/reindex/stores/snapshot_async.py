"""Reading a generation's table from an event loop: the queries of `snapshot`, awaited."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reindex.core.layout import DocumentLayout
from reindex.stores import lance
from reindex.stores.light_import import import_lancedb
from reindex.stores.pointer import Published
from reindex.stores.snapshot import (
    Candidate,
    Filter,
    by_distance,
    by_score,
    decoded_layouts,
    layouts_query,
    matching_query,
    nearest_query,
    words_query,
)

if TYPE_CHECKING:
    from reindex.vectors import Vector


class AsyncSnapshot:
    """One version of one table. Raises TableMissingError when its files are gone."""

    def __init__(self, published: Published, table: Any) -> None:
        self.published = published
        self._table = table

    async def nearest(self, vector: "Vector", k: int, limits: Filter) -> list[Candidate]:
        """As `Snapshot.nearest`."""
        with lance.clear_errors(f"searching table {self.published.table}"):
            query = self._table.query().nearest_to(vector).column(lance.VECTOR)
            return by_distance(await nearest_query(query, k, limits).to_list())

    async def matching(self, words: str, k: int, limits: Filter) -> list[Candidate]:
        """As `Snapshot.matching`."""
        with lance.clear_errors(f"searching table {self.published.table}"):
            query = self._table.query().nearest_to_text(words_query(words))
            return by_score(await matching_query(query, k, limits).to_list())

    async def layouts(self, documents: Sequence[str]) -> list[DocumentLayout]:
        """As `Snapshot.layouts`."""
        with lance.clear_errors(f"reading table {self.published.table}"):
            query = layouts_query(self._table.query(), documents)
            return list(decoded_layouts(await query.to_arrow()))


class AsyncSnapshots:
    """As `Snapshots`: what versions share is read from the disk once."""

    def __init__(self, data_dir: Path) -> None:
        """Opens nothing yet."""
        self._data_dir = data_dir
        self._connection: Any = None

    async def open(self, published: Published) -> AsyncSnapshot:
        """Raises TableMissingError when its files are gone."""
        with lance.clear_errors(f"opening table {published.table}"):
            if self._connection is None:
                await asyncio.to_thread(import_lancedb)  # up to a second, once
                self._connection = await lance.connect_async(self._data_dir, lance.READER_CACHE_BYTES)
            table = await self._connection.open_table(published.table, version=published.version)
            return AsyncSnapshot(published, table)

    def forget(self) -> None:
        """Trust nothing that was read so far: files are gone, and others may be in their place."""
        self._connection = None
