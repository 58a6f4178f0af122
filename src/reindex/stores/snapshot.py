"""Reading a generation's table, pinned at the published version."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reindex.core.identity import document_id
from reindex.core.layout import DocumentLayout, DocumentPlaces, decode_layout
from reindex.stores import lance
from reindex.stores.pointer import Published

if TYPE_CHECKING:
    from reindex.vectors import Vector

_REFINE_FACTOR = 4  # IVF_SQ with refine: recall@10 of 0.998 to 1.000 measured at 100k rows
_REFINE_FACTOR_DEEP = 2  # of 50 the first ten are right (1.000), all 0.988 to 0.996: 8 of 22 ms less
_REFINE_FACTOR_MERGED = 1  # of 50 the first ten are right (1.000), all 0.97 to 0.98: merged by rank, no loss
_DEEP = 50
_ROW = "_rowid"  # LanceDB's own number of a row: it holds within a version
_HIT_COLUMNS = [lance.ROW_ID, lance.DOCUMENT, lance.TEXT]

Scores = dict[int, float]
"""Rows that one side of a search found, by LanceDB's own numbers within the version. Higher is better
(cosine, or BM25). What a row says is read of those alone that answer: of all, it was a third of what a search
costs.
"""
_SCAN_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Filter:
    """What hits are limited to. `path_prefix` is compared with whole strings, from the source's folder on;
    `document` is a document's id.
    """

    source: str | None = None
    path_prefix: str | None = None
    document: str | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that was found, with the score that it was found by: higher is better."""

    chunk_id: str
    document: str
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk row as `verify` reads it."""

    chunk_id: str
    document: str
    key: str
    text: str
    vector: Vector | None

    def on_its_own(self) -> StoredChunk:
        """Without the thousands of rows that were read with it, and that its vector is a view of."""
        return self if self.vector is None else replace(self, vector=self.vector.copy())


class Snapshot:
    """One version of one table. Raises TableMissingError when its files are gone."""

    def __init__(self, published: Published, table: Any) -> None:
        self.published = published
        self._table = table

    @staticmethod
    def open(data_dir: Path, published: Published) -> Snapshot:
        return Snapshots(data_dir).open(published)

    def nearest(self, vector: Vector, k: int, limits: Filter) -> list[Candidate]:
        """The k chunks nearest by cosine, best first. `vector` has shape (dimensions,)."""
        return self.candidates(self.score_by_vector(vector, k, limits))

    def matching(self, words: str, k: int, limits: Filter) -> list[Candidate]:
        """The k chunks that match the words best by BM25, best first."""
        return self.candidates(self.score_by_words(words, k, limits))

    def score_by_vector(self, vector: Vector, k: int, limits: Filter, *, is_merged: bool = False) -> Scores:
        """As `nearest`, not yet read. Of what is merged with what words find, the last may be others."""
        with lance.clear_errors(f"searching table {self.published.table}"):
            query = self._table.search(vector, vector_column_name=lance.VECTOR)
            return by_distance(nearest_query(query, k, limits, is_merged=is_merged).to_arrow())

    def score_by_words(self, words: str, k: int, limits: Filter) -> Scores:
        """As `matching`, not yet read."""
        with lance.clear_errors(f"searching table {self.published.table}"):
            query = self._table.search(words_query(words), query_type="fts")
            return by_score(matching_query(query, k, limits).to_arrow())

    def candidates(self, scores: Scores) -> list[Candidate]:
        """What these rows say, best first; equal scores in the order of their ids, so that an answer is the
        same every time.
        """
        if not scores:
            return []
        with lance.clear_errors(f"reading table {self.published.table}"):
            return ranked(scores, rows_query(self._table, scores).to_arrow())

    def probe(self) -> None:
        """Ask every index something. Raises when one of them can't answer: its files are lost or broken."""
        from lancedb.expr import col, lit

        self.matching("probe", 1, Filter())
        with lance.clear_errors(f"reading table {self.published.table}"):
            if any(lance.VECTOR in index.columns for index in self._table.list_indices()):
                self.nearest(_any_vector(self.published.recipe.space.dimensions), 1, Filter())
            for column in (lance.ROW_ID, lance.DOCUMENT):
                query = self._table.search().where(col(column) == lit("probe"))
                query.select([lance.ROW_ID]).limit(1).to_arrow()

    def layouts(self, documents: Sequence[str] | None = None) -> Iterator[DocumentLayout]:
        """The layouts of those documents, or of all, in no order."""
        with lance.clear_errors(f"reading table {self.published.table}"):
            query = layouts_query(self._table.search(), documents)
            for batch in query.to_batches(_SCAN_ROWS):
                yield from decoded_layouts(batch)

    def places(self, documents: Sequence[str]) -> dict[str, DocumentPlaces]:
        """Those documents by their ids: where their chunks stand."""
        return places_by_document(self.layouts(documents))

    def chunks(self) -> Iterator[StoredChunk]:
        """Every chunk row, in no order."""
        columns = [lance.ROW_ID, lance.DOCUMENT, lance.KEY, lance.TEXT, lance.VECTOR]
        with lance.clear_errors(f"reading table {self.published.table}"):
            query = self._table.search().where(f"{lance.LAYOUT} IS NULL").select(columns)
            for batch in query.to_batches(_SCAN_ROWS):
                vectors = _nullable_matrix(batch.column(lance.VECTOR))
                names = (batch.column(name).to_pylist() for name in columns[:-1])
                for row_id, document, key, text, vector in zip(*names, vectors, strict=True):
                    yield StoredChunk(row_id, document, key, text, vector)


class Snapshots:
    """Opens one version after the other with the same caches: what they share (indices, above all) is read
    from the disk once, and again after VERSIONS_PER_CONNECTION of them.
    """

    def __init__(self, data_dir: Path) -> None:
        """Opens nothing yet."""
        self._data_dir = data_dir
        self._connection: Any = None
        self._opened = 0

    def open(self, published: Published) -> Snapshot:
        """Raises TableMissingError when its files are gone."""
        with lance.clear_errors(f"opening table {published.table}"):
            if self._connection is None or self._opened >= lance.VERSIONS_PER_CONNECTION:
                self._connection = lance.connect(self._data_dir, lance.READER_CACHE_BYTES)
                self._opened = 0
            self._opened += 1
            table = self._connection.open_table(published.table, version=published.version)
            return Snapshot(published, table)

    def forget(self) -> None:
        """Trust nothing that was read so far: files are gone, and others may be in their place."""
        self._connection = None


def nearest_query(query: Any, k: int, limits: Filter, *, is_merged: bool) -> Any:
    """A vector query of either of LanceDB's two APIs, made ours."""
    refine_factor = _REFINE_FACTOR if k < _DEEP else _REFINE_FACTOR_DEEP
    query = query.distance_type("cosine").refine_factor(_REFINE_FACTOR_MERGED if is_merged else refine_factor)
    return _limited(query, limits).limit(k).select([_ROW, "_distance"])


def words_query(words: str) -> Any:
    """Words only: of a bare string LanceDB takes `"quotes"` around it for a phrase, which our index can't
    find (it keeps no positions) and an error tells of, or nothing.
    """
    from lancedb.query import MatchQuery

    return MatchQuery(words, lance.TEXT)


def matching_query(query: Any, k: int, limits: Filter) -> Any:
    """A text query of either API, made ours."""
    return _limited(query, limits).limit(k).select([_ROW, "_score"])


def layouts_query(query: Any, documents: Sequence[str] | None) -> Any:
    """A plain query of either API, for the layouts of those documents, or of all."""
    from lancedb.expr import col

    if documents is None:
        return query.where(f"{lance.LAYOUT} IS NOT NULL").select([lance.LAYOUT])
    return query.where(col(lance.ROW_ID).isin(list(documents))).select([lance.LAYOUT])


def decoded_layouts(rows: Any) -> Iterator[DocumentLayout]:
    """What such a query gave, a batch or a table."""
    for layout in rows.column(lance.LAYOUT).to_pylist():
        yield decode_layout(layout)


def places_by_document(layouts: Iterable[DocumentLayout]) -> dict[str, DocumentPlaces]:
    """By document id."""
    return {document_id(layout.name): layout.by_chunk() for layout in layouts}


def by_distance(rows: Any) -> Scores:
    """What a vector query gave."""
    distances = rows.column("_distance").to_pylist()
    found = zip(rows.column(_ROW).to_pylist(), distances, strict=True)
    return {row: 1.0 - distance for row, distance in found}


def by_score(rows: Any) -> Scores:
    """What a text query gave."""
    return dict(zip(rows.column(_ROW).to_pylist(), rows.column("_score").to_pylist(), strict=True))


def rows_query(table: Any, scores: Scores) -> Any:
    """A query of either API, for what these rows say."""
    return table.take_row_ids(list(scores)).select([*_HIT_COLUMNS, _ROW])


def ranked(scores: Scores, rows: Any) -> list[Candidate]:
    """What such a query gave, best first."""
    columns = (rows.column(name).to_pylist() for name in (*_HIT_COLUMNS, _ROW))
    found = [
        Candidate(chunk_id, document, text, scores[row])
        for chunk_id, document, text, row in zip(*columns, strict=True)
    ]
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.chunk_id))


def _limited(query: Any, limits: Filter) -> Any:
    """Filters as expressions, never as assembled SQL. A prefix is a range of strings. Both of LanceDB's APIs
    apply them before they search, unless they are told not to.
    """
    from lancedb.expr import col, lit

    conditions = []
    if limits.source is not None:
        conditions.append(col(lance.SOURCE) == lit(lance.displayed_path(limits.source)))
    if limits.path_prefix:
        start = lance.displayed_path(limits.path_prefix)
        conditions.append(col(lance.PATH) >= lit(start))
        end = _after_prefix(start)
        if end is not None:
            conditions.append(col(lance.PATH) < lit(end))
    if limits.document is not None:
        conditions.append(col(lance.DOCUMENT) == lit(limits.document))
    return query.where(reduce(and_, conditions)) if conditions else query


def _after_prefix(prefix: str) -> str | None:
    """The least string above all that start with the prefix; None if there is none."""
    for position in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[position]) + 1
        if following in range(0xD800, 0xE000):
            following = 0xE000
        if following <= 0x10FFFF:
            return prefix[:position] + chr(following)
    return None


def _any_vector(dimensions: int) -> Vector:
    import numpy as np

    return np.full(dimensions, dimensions**-0.5, dtype=np.float32)


def _nullable_matrix(column: Any) -> list[Vector | None]:
    values = column.flatten().to_numpy(zero_copy_only=False)
    width = column.type.list_size
    present = iter(values.reshape(-1, width))
    return [next(present) if is_there else None for is_there in column.is_valid().to_pylist()]
