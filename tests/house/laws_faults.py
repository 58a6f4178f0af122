"""Faults inside the stores: a write that fails, or that is done and whose answer is lost."""

import errno
import os
import sqlite3
from contextlib import contextmanager
from unittest import mock

from lancedb.table import LanceTable

from reindex.stores import pointer, sqlite

_CODES = {
    "full": (sqlite3.SQLITE_FULL, "database or disk is full"),
    "i/o": (sqlite3.SQLITE_IOERR, "disk I/O error"),
    "locked": (sqlite3.SQLITE_BUSY, "database is locked"),
}
_LANCE_ERRORS = {
    "full": "lance error: LanceError(IO): LocalFileSystem: No space left on device (os error 28)",
    "i/o": "lance error: LanceError(IO): Input/output error (os error 5)",
    "files": "lance error: LanceError(IO): Too many open files (os error 24)",
    "lost": "lance error: LanceError(IO): request timed out",
}
_LANCE_CALLS = ("add", "delete", "restore", "optimize", "create_index")
_NUMBERS = {"full": errno.ENOSPC, "i/o": errno.EIO, "read-only": errno.EROFS}

FAULTS = [
    *((f"{name}.sqlite", way, cause) for name in ("ledger", "cache")
      for way in ("write", "half", "commit", "lost commit") for cause in _CODES),
    *((call, side, cause) for call in _LANCE_CALLS for side in ("before", "after")
      for cause in _LANCE_ERRORS),
    *(("pointer", way, cause) for way in ("open", "fsync", "rename", "lost rename") for cause in _NUMBERS),
]  # fmt: skip


@contextmanager
def failing(fault, nth=1):
    """The nth time that this store does this, it fails. Yields a list that says whether it did."""
    where, way, cause = fault
    hits = []

    def is_now():
        hits.append(fault)
        return len(hits) == nth

    if where.endswith(".sqlite"):
        patches = [_sqlite(where, way, cause, is_now)]
    elif where == "pointer":
        patches = [_pointer(way, _NUMBERS[cause], is_now)]
    else:
        patches = [_lance(where, way, _LANCE_ERRORS[cause], is_now)]
    with patches[0]:
        yield hits


def _sqlite(file, way, cause, is_now):
    def fail():
        code, text = _CODES[cause]
        error = sqlite3.OperationalError(text)
        error.sqlite_errorcode = code
        raise error

    class Faulty(sqlite3.Connection):
        def execute(self, sql, *values):
            is_write = sql.startswith(("INSERT", "UPDATE", "DELETE", "BEGIN", "PRAGMA application_id ="))
            if (way == "write" and is_write) or (way == "commit" and sql == "COMMIT"):
                if is_now():
                    fail()
            elif way == "lost commit" and sql == "COMMIT":
                answer = super().execute(sql, *values)
                if is_now():
                    fail()
                return answer
            return super().execute(sql, *values)

        def executemany(self, sql, rows):
            rows = list(rows)
            if way == "half" and rows and is_now():
                super().executemany(sql, rows[: (len(rows) + 1) // 2])
                fail()
            return super().executemany(sql, rows)

    def connect(path, *arguments, **options):
        is_it = os.fspath(path).endswith(file)
        return plain(path, *arguments, **options, **({"factory": Faulty} if is_it else {}))

    plain = sqlite3.connect
    return mock.patch.object(sqlite.sqlite3, "connect", connect)


def _lance(call, side, text, is_now):
    plain = getattr(LanceTable, call)

    def wrapper(*arguments, **options):
        is_hit = is_now()
        if is_hit and side == "before":
            raise RuntimeError(text)
        result = plain(*arguments, **options)
        if is_hit:
            raise RuntimeError(text)
        return result

    return mock.patch.object(LanceTable, call, wrapper)


def _pointer(way, number, is_now):
    plain = pointer.replace_file

    def fail():
        raise OSError(number, os.strerror(number))

    def replace_file(path, content):
        if not is_now():
            plain(path, content)
            return
        if way == "lost rename":
            plain(path, content)
        elif way != "open":
            path.with_name(path.name + ".new").write_bytes(content[: len(content) // 2])
        fail()

    return mock.patch.object(pointer, "replace_file", replace_file)
