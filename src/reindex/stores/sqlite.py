"""The one way this product opens SQLite: WAL, one `transaction()`, a versioned schema, clear errors.

`sqlite_reading` is for who only reads.
"""

import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from reindex.errors import DiskError, NewerFormatError, StoreError

BUSY_TIMEOUT_S = 10.0
_BUSY_STEP_S = 0.005
_NO_SPACE_BYTES = 1_000_000  # with so little left SQLite's errors are of the space

Row = tuple[Any, ...]


class CorruptDatabaseError(StoreError):
    """The file is no database any more. Its owner sets it aside and makes it again from the other stores."""

    def __init__(self, path: Path, cause: str) -> None:
        super().__init__(f"{path} is damaged: {cause}", "Run `reindex sync`: it mends itself.")
        self.path = path


class Database:
    """One open SQLite file. Every statement's error names the file and what to do."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing. Inside another transaction it is part of that one.

        (sqlite3's own `with connection` opens no transaction in autocommit mode.)
        """
        if self._connection.in_transaction:
            yield
            return
        with clear_errors(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Every row of a query."""
        with clear_errors(self._path):
            return self._connection.execute(sql, values).fetchall()

    def each(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """The same, one row at a time: for queries with a row for every document."""
        with clear_errors(self._path):
            yield from self._connection.execute(sql, values)

    def one(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """The first row of a query, if there is one."""
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        """One change, inside the transaction that is open or one of its own; the number of rows touched."""
        with self.transaction():
            return self._connection.execute(sql, values).rowcount

    def execute_many(self, sql: str, values: Iterable[Sequence[Any]]) -> None:
        """One change for each row of values, all or none."""
        with self.transaction():
            self._connection.executemany(sql, values)

    def insert(self, sql: str, values: Sequence[Any]) -> int:
        """Insert one row; its number."""
        with self.transaction():
            number = self._connection.execute(sql, values).lastrowid
            assert number is not None, "an INSERT gives a row id"
            return number


def open_writable(
    path: Path, migrations: Sequence[str], *, check: bool = False, page_bytes: int = 4096
) -> Database:
    """Open, or make, the database at `path` and bring its schema up to `len(migrations)`.

    `check` reads the whole file for damage; `page_bytes` is for a new one. Raises CorruptDatabaseError,
    NewerFormatError, StoreError.
    """
    with clear_errors(path):
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.execute(f"PRAGMA page_size = {page_bytes:d}")
            _keep_log(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            if check:
                _check(connection, path)
            _migrate(Database(connection, path), path, migrations)
            _check_schema(connection, path, migrations)
        except BaseException:
            connection.close()
            raise
        return Database(connection, path)


def _keep_log(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. SQLite waits for nobody in this one statement: while another process makes
    the file, it says at once that it is locked.
    """
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_BUSY_STEP_S)
        else:
            return


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """SQLite's errors of this file as StoreErrors that say what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _translate(error, path) from error
    except UnicodeDecodeError as error:  # in a message of SQLite's about a schema that is none
        raise CorruptDatabaseError(path, str(error)) from error


def _translate(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    """SQLite's error as ours: damage, a full disk, a read-only place, or something else."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or "decode to UTF-8" in str(error):
        return CorruptDatabaseError(path, str(error))
    is_unsaid = code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}  # a log that can't grow, or be made
    if code == sqlite3.SQLITE_FULL or (is_unsaid and _free_bytes(path) < _NO_SPACE_BYTES):
        return DiskError(f"no space left on the disk of {path}", "Free some space and run the command again.")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return DiskError(f"{path} can't be opened: {error}", "Mend the permissions of the data directory.")
    if code == sqlite3.SQLITE_IOERR:
        return DiskError(f"input/output error on {path}: {error}", "Check the disk and its free space.")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreError(f"{path} is locked by another process", "End what has it open, or wait for it.")
    return StoreError(f"{path}: {error}")


def _free_bytes(path: Path) -> float:
    """Of the disk of `path`; without end where that can't be known."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return math.inf
    return disk.f_bavail * disk.f_frsize


def set_aside(path: Path, stamp: int) -> Path:
    """Move a damaged database, with its log, out of the way; return where it went."""
    aside = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return aside


def _migrate(database: Database, path: Path, migrations: Sequence[str]) -> None:
    version = refuse_newer(database, path, migrations)
    for number, script in enumerate(migrations[version:], start=version + 1):
        with database.transaction():
            if database.one("PRAGMA user_version") != (number - 1,):
                continue  # another process made it between the two looks
            for statement in filter(str.strip, script.split(";\n")):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {number}")


def _check_schema(connection: sqlite3.Connection, path: Path, migrations: Sequence[str]) -> None:
    """The tables are those that the migrations make, to the letter: a damaged name is another name."""
    if _schema(connection) != _schema_of(tuple(migrations)):
        raise CorruptDatabaseError(path, "its schema is another than the one it was made with")


@cache
def _schema_of(migrations: tuple[str, ...]) -> tuple[str, ...]:
    connection = sqlite3.connect(":memory:")
    try:
        for script in migrations:
            connection.executescript(script)
        return _schema(connection)
    finally:
        connection.close()


def _schema(connection: sqlite3.Connection) -> tuple[str, ...]:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    return tuple(sql for (sql,) in rows)


def refuse_newer(database: Database, path: Path, migrations: Sequence[str]) -> int:
    """The version of its schema. Raises NewerFormatError for one that this program does not know."""
    row = database.one("PRAGMA user_version")
    assert row is not None, "the pragma has a value"
    version = int(row[0])
    if version > len(migrations):
        raise NewerFormatError(
            f"{path} has schema {version}; this reindex knows up to {len(migrations)}",
            "Upgrade reindex, or choose another --data-dir.",
        )
    return version


def _check(connection: sqlite3.Connection, path: Path) -> None:
    answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        raise CorruptDatabaseError(path, str(answer))
