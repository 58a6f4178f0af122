"""What is not at its current revision and why: failed documents (the dead letters) and held deletions."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from reindex.model import DocumentName, Revision
from reindex.stores.file_rows import name_key
from reindex.stores.sqlite import Database


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a document failed. Permanent: it waits for another revision, another parser, or a retry by hand.

    `revision` is None when the document could not even be read. `number` is 0 until the ledger gives one.
    """

    name: DocumentName
    revision: Revision | None
    parser: str
    reason: str
    permanent: bool
    at: float
    number: int = 0
    attempts: int = 1
    first_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Hold:
    """Deletions of a source that wait for consent or for the documents to come back."""

    source: str
    documents: int
    reason: str
    since: float


class FailureRows:
    """Failures by document, holds by source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> dict[DocumentName, Failure]:
        rows = self._database.rows(
            "SELECT source, path, revision, parser, reason, permanent, last_at, number, attempts, first_at"
            " FROM failures ORDER BY number"
        )
        failures = (
            Failure(
                DocumentName(row[0], os.fsdecode(row[1])),
                None if row[2] is None else Revision(row[2]),
                row[3],
                row[4],
                bool(row[5]),
                *row[6:],
            )
            for row in rows
        )
        return {failure.name: failure for failure in failures}

    def record(self, failures: Iterable[Failure]) -> None:
        """Remember, or count once more, that these documents failed."""
        self._database.execute_many(
            "INSERT INTO failures"
            " (source, path, revision, parser, reason, permanent, attempts, first_at, last_at)"
            " VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)"
            " ON CONFLICT (source, path) DO UPDATE SET revision = excluded.revision,"
            " parser = excluded.parser, reason = excluded.reason, permanent = excluded.permanent,"
            " attempts = attempts + 1, last_at = excluded.last_at",
            (
                (*name_key(f.name), f.revision, f.parser, f.reason, int(f.permanent), f.at, f.at)
                for f in failures
            ),
        )

    def forget(self, names: Iterable[DocumentName]) -> None:
        """These documents are whole again, gone, or to be tried anew."""
        self._database.execute_many(
            "DELETE FROM failures WHERE source = ? AND path = ?", (name_key(name) for name in names)
        )

    def holds(self) -> list[Hold]:
        return [
            Hold(*row)
            for row in self._database.rows(
                "SELECT source, documents, reason, since FROM holds ORDER BY source"
            )
        ]

    def replace_holds(self, holds: Iterable[Hold]) -> None:
        """These are the holds now; one that stood already keeps its age."""
        with self._database.transaction():
            since = {hold.source: hold.since for hold in self.holds()}
            self._database.execute("DELETE FROM holds")
            self._database.execute_many(
                "INSERT INTO holds (source, documents, reason, since) VALUES (?, ?, ?, ?)",
                ((h.source, h.documents, h.reason, since.get(h.source, h.since)) for h in holds),
            )
