"""Reading a generation's table from an event loop: the queries of `snapshot`, awaited."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reindex.core.layout import DocumentPlaces
from reindex.stores import lance
from reindex.stores.light_import import import_lancedb
from reindex.stores.pointer import Published
from reindex.stores.snapshot import (
    Candidate,
    Filter,
    Scores,
    by_distance,
    by_score,
    decoded_layouts,
    layouts_query,
    matching_query,
    nearest_query,
    places_by_document,
    ranked,
    rows_query,
    words_query,
)

if TYPE_CHECKING:
    from reindex.vectors import Vector

REMEMBERED_MAX = 20_000  # chunks whose places are remembered: 8 MB


class AsyncSnapshot:
    """One version of one table. Raises TableMissingError when its files are gone."""

    def __init__(self, published: Published, table: Any) -> None:
        self.published = published
        self._table = table
        self._places: OrderedDict[str, DocumentPlaces] = OrderedDict()  # by document id, the latest last
        self._remembered = 0  # chunks in them

    async def score_by_vector(
        self, vector: "Vector", k: int, limits: Filter, *, is_merged: bool = False
    ) -> Scores:
        """As `Snapshot.score_by_vector`."""
        with lance.clear_errors(f"searching table {self.published.table}"):
            query = self._table.query().nearest_to(vector).column(lance.VECTOR)
            return by_distance(await nearest_query(query, k, limits, is_merged=is_merged).to_arrow())

    async def score_by_words(self, words: str, k: int, limits: Filter) -> Scores:
        """As `Snapshot.score_by_words`."""
        with lance.clear_errors(f"searching table {self.published.table}"):
            query = self._table.query().nearest_to_text(words_query(words))
            return by_score(await matching_query(query, k, limits).to_arrow())

    async def candidates(self, scores: Scores) -> list[Candidate]:
        """As `Snapshot.candidates`."""
        if not scores:
            return []
        with lance.clear_errors(f"reading table {self.published.table}"):
            return ranked(scores, await rows_query(self._table, scores).to_arrow())

    async def places(self, documents: Sequence[str]) -> dict[str, DocumentPlaces]:
        """As `Snapshot.places`. Those of late are remembered: in a version nothing changes."""
        found = {document: self._places[document] for document in documents if document in self._places}
        missing = [document for document in documents if document not in found]
        if missing:
            with lance.clear_errors(f"reading table {self.published.table}"):
                rows = await layouts_query(self._table.query(), missing).to_arrow()
            found |= places_by_document(decoded_layouts(rows))
        self._remember(found)
        return found

    def _remember(self, found: Mapping[str, DocumentPlaces]) -> None:
        for document, places in found.items():
            self._remembered += 0 if document in self._places else len(places.of_chunk)
            self._places[document] = places
            self._places.move_to_end(document)
        while self._remembered > REMEMBERED_MAX:
            _, oldest = self._places.popitem(last=False)
            self._remembered -= len(oldest.of_chunk)


class AsyncSnapshots:
    """As `Snapshots`: what versions share is read from the disk once in VERSIONS_PER_CONNECTION."""

    def __init__(self, data_dir: Path) -> None:
        """Opens nothing yet."""
        self._data_dir = data_dir
        self._connection: Any = None
        self._opened = 0

    async def open(self, published: Published) -> AsyncSnapshot:
        """Raises TableMissingError when its files are gone."""
        with lance.clear_errors(f"opening table {published.table}"):
            if self._connection is None or self._opened >= lance.VERSIONS_PER_CONNECTION:
                await asyncio.to_thread(import_lancedb)  # up to a second, once
                self._connection = await lance.connect_async(self._data_dir, lance.READER_CACHE_BYTES)
                self._opened = 0
            self._opened += 1
            table = await self._connection.open_table(published.table, version=published.version)
            return AsyncSnapshot(published, table)

    def forget(self) -> None:
        """Trust nothing that was read so far: files are gone, and others may be in their place."""
        self._connection = None
