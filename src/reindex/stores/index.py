"""Writing a generation's table: rows in, versions out. One writer, always, under the lock."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reindex.core.identity import document_id
from reindex.core.layout import DocumentLayout, decode_layout
from reindex.model import EmbeddingKey
from reindex.stores import lance
from reindex.stores.manifests import manifest_path
from reindex.stores.memory import bound_arenas, lean
from reindex.stores.stop_words import ENGLISH
from reindex.stores.table_changes import TableChanges, arrow_rows

if TYPE_CHECKING:
    from reindex.vectors import Vector, Vectors

PRUNE_MARGIN_S = 60.0
_SCAN_ROWS = 4096
_IDS_PER_DELETE = 20_000
_TRAINING_ROWS_PER_PARTITION = 64  # LanceDB's 256 read three quarters of 100,000 rows into memory
_FOREVER = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class TableStatistics:
    """What decides about maintenance. `live_bytes` is the size of the latest version, indices included."""

    rows: int
    live_bytes: int
    unindexed_rows: int
    small_fragments: int
    has_vector_index: bool


class GenerationTable:
    """The table of one generation, opened for writing."""

    def __init__(self, table: Any, name: str, data_dir: Path, dimensions: int) -> None:
        self._table = table
        self._data_dir = data_dir
        self._schema = lance.schema(dimensions)
        self.name = name
        self.data_commits = 0

    @staticmethod
    def create(data_dir: Path, name: str, dimensions: int) -> GenerationTable:
        """A new, empty table with its keys and scalar indices. The name must never have been used."""
        with lance.clear_errors(f"creating table {name}"):
            table = _connect(data_dir).create_table(
                name, schema=lance.schema(dimensions), storage_options=lance.NEW_TABLE
            )
            table.set_unenforced_primary_key([lance.ROW_ID])
        created = GenerationTable(table, name, data_dir, dimensions)
        created.create_indices()
        return created

    @staticmethod
    def open(data_dir: Path, name: str, dimensions: int) -> GenerationTable:
        """At its latest version. Raises TableMissingError."""
        with lance.clear_errors(f"opening table {name}"):
            table = _connect(data_dir).open_table(name)
        return GenerationTable(table, name, data_dir, dimensions)

    @property
    def version(self) -> int:
        return int(self._table.version)

    @property
    def manifest(self) -> str:
        """The manifest of the current version, relative to the data directory."""
        return manifest_path(self.name, self.version)

    def create_indices(self, *, with_vectors: bool = False) -> int:
        """The indices that every table has; those that are there are made anew, from the rows. The vector
        index is made beside them: each is mostly the work of one thread.
        """
        from lancedb.index import FTS, BTree

        with lance.clear_errors(f"indexing table {self.name}"), ThreadPoolExecutor(1) as threads:
            vector_index = threads.submit(self.build_vector_index) if with_vectors else None
            self._table.create_index(lance.ROW_ID, config=BTree())
            self._table.create_index(lance.DOCUMENT, config=BTree())
            self._table.create_index(lance.TEXT, config=FTS(base_tokenizer="icu", custom_stop_words=ENGLISH))
            if vector_index is not None:
                vector_index.result()
        return self.version

    def apply(self, changes: TableChanges) -> int:
        """Take out the rows that go or are replaced, then append the new ones: at most two commits (more
        above 20,000 rows that go). Returns the version after them: the third commit.

        Readers are pinned to the published version and see nothing of it yet. A merge would do both in one
        commit, but it costs twice the two: it looks up every key, and then reads and joins what it found.
        """
        with lance.clear_errors(f"writing table {self.name}"):
            self._delete(changes)
            if changes.layouts or changes.chunks.ids:
                self._append(changes)
        return self.version

    def restore(self, version: int) -> int:
        """Make an earlier version the latest again (a new version, no data copied)."""
        with lance.clear_errors(f"restoring version {version} of table {self.name}"):
            self._table.restore(version)
        return self.version

    def layouts(self) -> Iterator[DocumentLayout]:
        """Every document row, in no order."""
        for batch in self._scan([lance.LAYOUT], f"{lance.LAYOUT} IS NOT NULL"):
            for layout in batch.column(lance.LAYOUT).to_pylist():
                yield decode_layout(layout)

    def vectors(self) -> Iterator[tuple[list[EmbeddingKey], Vectors]]:
        """Every chunk row's key and vector, some thousands at a time: a lost cache fills from here."""
        for batch in self._scan([lance.KEY, lance.VECTOR], f"{lance.VECTOR} IS NOT NULL"):
            keys = [EmbeddingKey(bytes.fromhex(key)) for key in batch.column(lance.KEY).to_pylist()]
            yield keys, _matrix(batch.column(lance.VECTOR))

    def count(self) -> int:
        """Rows of both kinds. Reads no row."""
        with lance.clear_errors(f"reading table {self.name}"):
            return int(self._table.count_rows())

    def read_all(self) -> int:
        """Read every column of every row once; how many rows there are. Raises when a file is damaged."""
        columns = [field.name for field in self._schema]
        return sum(batch.num_rows for batch in self._scan(columns, None))

    def vectors_of(self, keys: Sequence[EmbeddingKey]) -> dict[EmbeddingKey, Vector]:
        """The vectors of those keys that some row of the table holds."""
        from lancedb.expr import col

        wanted = [key.hex() for key in keys]
        with lance.clear_errors(f"reading table {self.name}"):
            rows = (
                self._table.search()
                .where(col(lance.KEY).isin(wanted))
                .select([lance.KEY, lance.VECTOR])
                .to_arrow()
                .combine_chunks()
            )
        found = [EmbeddingKey(bytes.fromhex(key)) for key in rows.column(lance.KEY).to_pylist()]
        return (
            dict(zip(found, _matrix(rows.column(lance.VECTOR).combine_chunks()), strict=True))
            if found
            else {}
        )

    def statistics(self) -> TableStatistics:
        with lance.clear_errors(f"reading table {self.name}"):
            indices = self._table.list_indices()
            statistics = self._table.stats()
            fragments = statistics["fragment_stats"]
            return TableStatistics(
                rows=self.count(),
                live_bytes=int(statistics["total_bytes"]),
                unindexed_rows=max((int(i.num_unindexed_rows or 0) for i in indices), default=0),
                small_fragments=int(fragments["num_small_fragments"]),
                has_vector_index=any(lance.VECTOR in i.columns for i in indices),
            )

    def optimise(self) -> int:
        """Merge small fragments and take new rows into the indices. Prunes nothing."""
        with lance.clear_errors(f"optimising table {self.name}"), lean():
            self._table.optimize(cleanup_older_than=_FOREVER)
        return self.version

    def prune(self, oldest_needed: int, *, orphans: bool, margin_s: float = PRUNE_MARGIN_S) -> int:
        """Remove the versions before `oldest_needed`, and files that no version names if `orphans`.

        The cut is a time of creation, because LanceDB's limit is about that: the earliest of that version and
        of all after it, which may be older by a clock that was set back. LanceDB wants an age, and takes it
        from the moment when its own compaction is done. So the table is compacted before, and the margin is
        far longer than what a second, empty compaction takes.
        """
        self.optimise()
        with lance.clear_errors(f"pruning table {self.name}"), lean():
            created = {int(v["version"]): v["timestamp"] for v in self._table.list_versions()}
            cut = min((at for version, at in created.items() if version >= oldest_needed), default=None)
            if cut is not None and oldest_needed in created:
                age = timedelta(seconds=max(0.0, time.time() - cut.timestamp()) + margin_s)
                self._table.optimize(cleanup_older_than=age, delete_unverified=orphans)
        return self.version

    def build_vector_index(self) -> int:
        """IVF_SQ: with refine at query time it is the measured best from some tens of thousands of rows."""
        from lancedb.index import IvfSq

        with lance.clear_errors(f"indexing table {self.name}"), lean():
            config = IvfSq(distance_type="cosine", sample_rate=_TRAINING_ROWS_PER_PARTITION)
            self._table.create_index(lance.VECTOR, config=config)
        return self.version

    def _delete(self, changes: TableChanges) -> None:
        """Also what is about to be appended, unless none of it is there: to apply twice changes nothing."""
        from lancedb.expr import col

        rows = list(changes.chunks_gone)
        if not changes.only_new:
            rows += changes.chunks.ids
            rows += [document_id(layout.name) for layout in changes.layouts]
        documents = [document_id(name) for name in changes.documents_gone]
        rounds = max(len(rows), len(documents))
        for start in range(0, rounds, _IDS_PER_DELETE):
            part = slice(start, start + _IDS_PER_DELETE)
            # One expression, and so one commit, for single rows and whole documents together.
            replaced = col(lance.ROW_ID).isin(rows[part])
            gone = col(lance.DOCUMENT).isin(documents[part])
            self._table.delete(replaced | gone)
            self.data_commits += 1

    def _append(self, changes: TableChanges) -> None:
        """LanceDB refuses a vector with a number that is none. Asked to do anything else about it, it looks
        through all vectors in Python first, which takes half as long as the append.
        """
        self._table.add(arrow_rows(changes, self._schema))
        self.data_commits += 1

    def _scan(self, columns: list[str], condition: str | None) -> Iterator[Any]:
        with lance.clear_errors(f"reading table {self.name}"):
            query = self._table.search().select(columns)
            if condition is not None:
                query = query.where(condition)
            yield from query.to_batches(_SCAN_ROWS)


def _connect(data_dir: Path) -> Any:
    bound_arenas()
    return lance.connect(data_dir, lance.WRITER_CACHE_BYTES)


def _matrix(column: Any) -> Vectors:
    """A fixed-size-list column without nulls as an array of shape (rows, dimensions)."""
    flat: Vectors = column.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), -1)
