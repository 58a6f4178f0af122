"""A log's files: their number and size are bounded, and a reader misses no line of them."""

import logging
import os
import resource
import signal
import subprocess
import sys

import pytest

from reindex.logfiles import LOG_FILES_KEPT, Follower, LogFile, last_lines, log_path


def log(handler, message):
    handler.emit(logging.LogRecord("test", logging.INFO, __file__, 1, message, (), None))


@pytest.fixture
def path(tmp_path):
    return log_path(tmp_path)


@pytest.fixture
def handler(path):
    made = LogFile(path, takes_output=False, bytes_max=100)
    yield made
    made.close()


def test_files_are_put_aside_at_their_limit_and_only_so_many_are_kept(handler, path):
    written = [f"line {number:04}" for number in range(200)]  # ten bytes each with their end
    for line in written:
        log(handler, line)
    there = sorted(each.name for each in path.parent.iterdir())
    assert there == ["daemon.log"] + [f"daemon.log.{n}" for n in range(1, LOG_FILES_KEPT + 1)]
    assert all(each.stat().st_size <= 100 for each in path.parent.iterdir())
    kept = [line.decode() for line in last_lines(path, 1000)]
    assert kept == written[-len(kept) :]
    assert len(kept) > LOG_FILES_KEPT * 10 - 1
    assert [line.decode() for line in last_lines(path, 15)] == written[-15:]


def test_a_reader_gets_each_line_once_across_rotations(handler, path):
    log(handler, "before")
    follower = Follower(path)
    written = [f"line {number:04}" for number in range(60)]
    found = []
    for number, line in enumerate(written):
        log(handler, line)
        if number % 25 == 24:  # two rotations and a half between two looks
            found += follower.lines()
    found += follower.lines()
    follower.close()
    assert [line.decode() for line in found] == written


def test_a_reader_follows_a_file_that_was_moved_away_removed_or_truncated(handler, path):
    follower = Follower(path)
    assert list(follower.lines()) == []
    log(handler, "one")
    assert list(follower.lines()) == [b"one"]
    log(handler, "two")
    path.rename(path.with_name("elsewhere"))
    log(handler, "three")
    assert list(follower.lines()) == [b"two", b"three"]
    path.unlink()
    assert list(follower.lines()) == []
    log(handler, "four")
    assert list(follower.lines()) == [b"four"]
    os.truncate(path, 0)
    log(handler, "5")
    assert list(follower.lines()) == [b"5"]
    follower.close()


def test_half_a_line_waits_for_its_other_half(path):
    path.parent.mkdir()
    path.write_bytes(b"old\n")
    follower = Follower(path, position=0)
    with path.open("ab", buffering=0) as file:
        file.write(b"one\ntw")
        assert list(follower.lines()) == [b"old", b"one"]
        file.write(b"o\n")
    assert list(follower.lines()) == [b"two"]
    follower.close()


def test_lines_that_a_full_disk_refused_are_counted_and_the_next_one_is_whole(tmp_path):
    code = """
import logging, resource, sys
from pathlib import Path
from reindex.logfiles import LogFile
handler = LogFile(Path(sys.argv[1]), takes_output=False)
log = logging.getLogger("x"); log.addHandler(handler); log.propagate = False
log.warning("fits")
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
log.warning("too long for it")
log.warning("nor this")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.warning("again")
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN, "as Python starts, so that it is an error"
    path = tmp_path / "log"
    ended = subprocess.run([sys.executable, "-c", code, path], timeout=180, check=True, capture_output=True)
    assert ended.stderr == b""
    assert path.read_text().splitlines() == ["fits", "too", "2 lines of log could not be written", "again"]
