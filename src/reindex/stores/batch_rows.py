"""Batches at the provider: what a job of the batch lane needs to go on after any crash."""

from dataclasses import astuple, fields

from reindex.core.batches import BatchRecord
from reindex.stores.sqlite import Database, Row

_NAMES = tuple(field.name for field in fields(BatchRecord))
_COLUMNS = ", ".join(_NAMES)


class BatchRows:
    """Batches by the number of their job."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, record: BatchRecord) -> None:
        """As it is now."""
        self._database.execute(
            f"INSERT OR REPLACE INTO batches ({_COLUMNS}) VALUES ({','.join('?' * len(_NAMES))})",  # noqa: S608
            astuple(record),
        )

    def one(self, job: int) -> BatchRecord | None:
        if not self._exists():
            return None
        row = self._database.one(f"SELECT {_COLUMNS} FROM batches WHERE job = ?", (job,))  # noqa: S608
        return None if row is None else _record(row)

    def all(self) -> list[BatchRecord]:
        """Of every job that is remembered, oldest first."""
        if not self._exists():
            return []
        return [_record(row) for row in self._database.rows(f"SELECT {_COLUMNS} FROM batches ORDER BY job")]  # noqa: S608

    def _exists(self) -> bool:
        """A ledger of an older version is read before a writer has brought it up."""
        return self._database.one("SELECT 1 FROM sqlite_master WHERE name = 'batches'") is not None


def _record(row: Row) -> BatchRecord:
    values = dict(zip(_NAMES, row, strict=True))
    return BatchRecord(**values | {"is_cancelling": bool(values["is_cancelling"])})
