"""The fixture that keeps every test inside its temporary folder."""

import os
import socket
import sqlite3
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_a_test_writes_only_below_its_temporary_folder(tmp_path):
    (tmp_path / "here").write_text("fine")
    for attempt in (
        lambda: (HERE / "stray").write_text("no"),
        lambda: os.open(HERE / "stray", os.O_WRONLY | os.O_CREAT),
        lambda: (HERE / "stray").mkdir(),
        lambda: (tmp_path / "here").rename(HERE / "stray"),
        lambda: sqlite3.connect(HERE / "stray.sqlite"),
        lambda: (HERE.parent / ".reindex" / "stray").mkdir(parents=True),
    ):
        with pytest.raises(PermissionError, match="only in a temporary folder"):
            attempt()
    assert (tmp_path / "here").read_text() == "fine"
    assert not (HERE / "stray").exists()


def test_a_test_reads_wherever_it_likes():
    assert Path(__file__).read_text()


def test_no_socket_off_this_machine():
    with socket.socket() as outside, pytest.raises(PermissionError, match="only to this machine"):
        outside.connect(("192.0.2.1", 80))


def test_the_users_settings_are_out_of_sight():
    assert not [name for name in os.environ if name.startswith("REINDEX_")]
