"""A store that a writer sets aside at the very moment when it is opened for reading."""

import pytest

from reindex.stores import sqlite_reading
from reindex.stores.ledger import FILE, Ledger


@pytest.fixture
def ledger(tmp_path):
    Ledger.open(tmp_path).close()
    return tmp_path / FILE


def test_there_is_none(tmp_path):
    assert Ledger.open_for_reading(tmp_path) is None
    assert Ledger.open_for_reading(tmp_path / "nowhere") is None


def test_after_it_was_opened(ledger, monkeypatch):
    plain = sqlite_reading._connect_for_reading

    def connect_and_lose(path, **how):
        found = plain(path, **how)
        path.rename(path.with_suffix(".aside"))
        return found

    monkeypatch.setattr(sqlite_reading, "_connect_for_reading", connect_and_lose)
    assert Ledger.open_for_reading(ledger.parent) is None


def test_right_before(ledger, monkeypatch):
    plain = sqlite_reading._connect_for_reading

    def lose_and_connect(path, **how):
        path.rename(path.with_suffix(".aside"))
        return plain(path, **how)

    monkeypatch.setattr(sqlite_reading, "_connect_for_reading", lose_and_connect)
    assert Ledger.open_for_reading(ledger.parent) is None


def test_one_that_was_just_begun_is_none(tmp_path):
    """A writer that is killed right after it made the file leaves it so."""
    (tmp_path / FILE).touch()
    assert Ledger.open_for_reading(tmp_path) is None
    Ledger.open(tmp_path).close()
    read = Ledger.open_for_reading(tmp_path)
    assert read.generations.all() == []
    read.close()
