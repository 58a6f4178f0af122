"""What a person reads of SQLite's errors."""

import os
import sqlite3
from types import SimpleNamespace

import pytest

from reindex.errors import DiskError
from reindex.stores.sqlite import clear_errors


def said(path, code):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    with pytest.raises(DiskError) as caught, clear_errors(path):
        raise error
    return caught.value


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR | (3 << 8), sqlite3.SQLITE_CANTOPEN])
def test_next_to_no_space_is_said_whatever_sqlite_says(tmp_path, monkeypatch, code):
    disk = SimpleNamespace(f_bavail=10_000, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: disk)
    assert "no space left" not in said(tmp_path / "a.db", code).message
    disk.f_bavail = 3
    error = said(tmp_path / "a.db", code)
    assert error.message == f"no space left on the disk of {tmp_path / 'a.db'}"
    assert error.hint == "Free some space and run the command again."


def test_a_place_that_is_gone_tells_of_no_space(tmp_path):
    assert "input/output error" in said(tmp_path / "gone" / "a.db", sqlite3.SQLITE_IOERR).message
