"""What each generation holds: its documents with their revision, parser and embedding keys."""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from reindex.core.identity import KEY_BYTES, pack_keys
from reindex.core.layout import DocumentLayout
from reindex.model import DocumentName, Places, Revision
from reindex.stores.file_rows import FILE_NAMES, name_key, ranges_of
from reindex.stores.sqlite import Database

_REVISIONS = "SELECT source, path, revision, parser FROM documents WHERE generation = ?"
_BESIDES = " AND source NOT IN (SELECT value FROM json_each(?))"
_UPSERT = (
    "INSERT INTO documents (generation, source, path, revision, parser, keys, tokens, indexed_at, chunks)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (generation, source, path) DO UPDATE SET revision = excluded.revision,"
    " parser = excluded.parser, keys = excluded.keys, tokens = excluded.tokens,"
    " indexed_at = excluded.indexed_at, chunks = excluded.chunks"
)


@dataclass(frozen=True, slots=True)
class RecordedDocument:
    """A document as a generation holds it. `keys` is packed, 32 bytes a chunk, in reading order."""

    revision: Revision
    parser: str
    keys: bytes
    tokens: int
    indexed_at: float

    @property
    def chunks(self) -> int:
        return len(self.keys) // KEY_BYTES


def recorded_from(layout: DocumentLayout) -> RecordedDocument:
    """What the ledger records of a document that the table holds by this layout."""
    keys = pack_keys(layout.keys)
    return RecordedDocument(layout.revision, layout.parser, keys, layout.tokens, layout.indexed_at)


class DocumentRows:
    """Documents by generation."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, generation: int) -> dict[DocumentName, RecordedDocument]:
        """With their keys: for verify, plan and repair, not for every run."""
        return {
            DocumentName(row[0], os.fsdecode(row[1])): RecordedDocument(Revision(row[2]), *row[3:])
            for row in self._database.rows(
                "SELECT source, path, revision, parser, keys, tokens, indexed_at FROM documents"
                " WHERE generation = ?",
                (generation,),
            )
        }

    def revisions(
        self, generation: int, places: Places | None = None, besides: Collection[str] = ()
    ) -> Iterator[tuple[str, str, Revision, str]]:
        """Source, path, revision and parser of each document: what the diff needs, and no more. With `places`
        only of documents that stand there or below; none of the sources `besides`.
        """
        queries: list[tuple[str, tuple[object, ...]]] = [(_REVISIONS, (generation,))]
        if besides:
            queries = [(_REVISIONS + _BESIDES, (generation, json.dumps(list(besides))))]
        if places is not None:
            queries = [
                (_REVISIONS + " AND source = ? AND path >= ? AND path < ?", (generation, source, *limits))
                for source, paths in places.items()
                if source not in besides
                for limits in ranges_of(paths)
            ]
        for sql, values in queries:
            for source, path, revision, parser in self._database.each(sql, values):
                yield source, path.decode(*FILE_NAMES), revision, parser

    def one(self, generation: int, name: DocumentName) -> RecordedDocument | None:
        row = self._database.one(
            "SELECT revision, parser, keys, tokens, indexed_at FROM documents"
            " WHERE generation = ? AND source = ? AND path = ?",
            (generation, *name_key(name)),
        )
        return None if row is None else RecordedDocument(Revision(row[0]), *row[1:])

    def totals(self, generation: int) -> tuple[int, int]:
        """How many documents and chunks a generation holds. Reads one row, however many they are."""
        if self._database.one("SELECT 1 FROM sqlite_master WHERE name = 'totals'") is None:
            return self._counted(generation)
        row = self._database.one("SELECT documents, chunks FROM totals WHERE generation = ?", (generation,))
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def of_source(self, generation: int, source: str) -> int:
        """How many documents of one source a generation holds."""
        row = self._database.one(
            "SELECT count(*) FROM documents WHERE generation = ? AND source = ?", (generation, source)
        )
        assert row is not None
        return int(row[0])

    def tokens(self, generation: int) -> int:
        """Of all its chunks, as they were sent. Reads one row, however many they are."""
        if self._database.one("SELECT 1 FROM pragma_table_info('totals') WHERE name = 'tokens'") is None:
            return self._counted_tokens(generation)
        row = self._database.one("SELECT tokens FROM totals WHERE generation = ?", (generation,))
        return 0 if row is None else int(row[0])

    def differing(self, generation: int, other: int) -> list[tuple[DocumentName, float | None]]:
        """The documents that two generations do not hold alike, each with the moment when `other` took it in;
        None where `other` has none.
        """
        rows = self._database.rows(
            "SELECT source, path, max(CASE WHEN generation = ? THEN indexed_at END) FROM documents"
            " WHERE generation IN (?, ?) GROUP BY source, path"
            " HAVING count(*) < 2 OR count(DISTINCT revision) > 1",
            (other, generation, other),
        )
        return [(DocumentName(row[0], os.fsdecode(row[1])), row[2]) for row in rows]

    def _counted(self, generation: int) -> tuple[int, int]:
        """Of a ledger of schema 1, which is read before a writer has brought it up."""
        row = self._database.one(
            "SELECT count(*), coalesce(sum(chunks), 0) FROM documents WHERE generation = ?", (generation,)
        )
        assert row is not None
        return int(row[0]), int(row[1])

    def _counted_tokens(self, generation: int) -> int:
        """Of a ledger of schema 5 or older, likewise."""
        row = self._database.one(
            "SELECT coalesce(sum(tokens), 0) FROM documents WHERE generation = ?", (generation,)
        )
        assert row is not None
        return int(row[0])

    def are_packed(self) -> bool:
        """Whether each row's keys and revision have the length that they must have."""
        wrong = self._database.one(
            "SELECT 1 FROM documents WHERE length(keys) != ? * chunks OR length(revision) != ? LIMIT 1",
            (KEY_BYTES, KEY_BYTES),
        )
        return wrong is None

    def record(
        self,
        generation: int,
        upserts: Mapping[DocumentName, RecordedDocument],
        deletes: Iterable[DocumentName],
    ) -> None:
        with self._database.transaction():
            self._database.execute_many(_UPSERT, (_row(generation, *item) for item in upserts.items()))
            self._database.execute_many(
                "DELETE FROM documents WHERE generation = ? AND source = ? AND path = ?",
                ((generation, *name_key(name)) for name in deletes),
            )

    def replace_all(self, generation: int, documents: Mapping[DocumentName, RecordedDocument]) -> None:
        """Make the record anew from the table's own rows (the ledger was lost, or older than the table)."""
        with self._database.transaction():
            self._database.execute("DELETE FROM documents WHERE generation = ?", (generation,))
            self.record(generation, documents, ())


def _row(generation: int, name: DocumentName, document: RecordedDocument) -> tuple[object, ...]:
    return (
        generation,
        *name_key(name),
        document.revision,
        document.parser,
        document.keys,
        document.tokens,
        document.indexed_at,
        document.chunks,
    )
