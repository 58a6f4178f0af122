"""Reading a SQLite file beside whoever writes it, or where nobody may."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reindex.errors import StoreError
from reindex.stores.file_stat import stat_of
from reindex.stores.sqlite import (
    BUSY_TIMEOUT_S,
    CorruptDatabaseError,
    Database,
    Row,
    clear_errors,
    refuse_newer,
)

_ATTEMPTS = 20


def open_readable(path: Path, migrations: Sequence[str]) -> Database | None:
    """Open for reading, also on a read-only file system; None where there is no such file, or who makes it
    has not come to its first table. Raises what `open_writable` raises.
    """
    try:
        database = ReadOnlyDatabase(path)
        try:
            version = refuse_newer(database, path, migrations)
        except BaseException:
            database.close()
            raise
        if version == 0:
            database.close()
            return None
    except StoreError:
        if stat_of(path) is not None:
            raise
        return None  # or a writer set it aside meanwhile
    return database


def check_file(path: Path) -> None:
    """Read a whole database for damage, beside whoever writes it. Raises CorruptDatabaseError, StoreError."""
    database = ReadOnlyDatabase(path)
    try:
        answer = database.one("PRAGMA quick_check(1)")
    finally:
        database.close()
    if answer != ("ok",):
        raise CorruptDatabaseError(path, str(answer))


class ReadOnlyDatabase(Database):
    """For reading beside a writer, or without one, and without writing one byte.

    A database that nobody writes to has no write-ahead log: then it is opened as immutable, because SQLite
    would otherwise make the log's files anew. A writer may come meanwhile, and what was read may be of two
    states: so every answer counts only if the files were the same before and after it. With a log (a writer
    at work, or killed) it is opened with it, and SQLite keeps the answers whole.
    """

    def __init__(self, path: Path) -> None:
        self._stamp = _stamp(path)  # by it both the way of opening and what is believed are decided
        super().__init__(*_connect_for_reading(path, has_log=self._stamp.has_log))

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Every row of a query, all of one state."""
        for _ in range(_ATTEMPTS):
            failure = None
            try:
                found = super().rows(sql, values)
            except StoreError as error:
                failure = error
            now = _stamp(self._path)
            if now == self._stamp or self._stamp.has_log:
                if failure is not None:
                    raise failure
                return found
            self._connection.close()
            self._connection, _ = _connect_for_reading(self._path, has_log=now.has_log)
            self._stamp = now
        raise StoreError(f"{self._path} is written all the time", "Run the command again.")

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """The same: an answer counts when it was read to its end."""
        return iter(self.rows(sql, values))


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What tells that a database file was written to."""

    has_log: bool
    size_bytes: int
    mtime_ns: int
    ino: int


def _stamp(path: Path) -> _Stamp:
    has_log = _has_log(path)
    stat = stat_of(path)
    if stat is None:  # a writer has just set it aside
        return _Stamp(has_log, 0, 0, 0)
    return _Stamp(has_log, stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _connect_for_reading(path: Path, *, has_log: bool) -> tuple[sqlite3.Connection, Path]:
    mode = "mode=ro" if has_log else "mode=ro&immutable=1"
    uri = f"file:{quote(os.fspath(path))}?{mode}"
    with clear_errors(path):
        return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None), path


def _has_log(path: Path) -> bool:
    log = stat_of(path.with_name(path.name + "-wal"))
    return log is not None and log.st_size > 0
