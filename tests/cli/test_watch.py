"""`status --watch` on a terminal and in a pipe."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time

import pytest

from processes import wait_until

WATCH = """
import json, sys
from pathlib import Path
from reindex.cli.watch import watch_status
watch_status(lambda: json.loads(Path(sys.argv[1]).read_text()), json_output="json" in sys.argv, every_s=0.01)
"""
STATUS = {
    "state": "ready",
    "reasons": [],
    "daemon": {"running": True, "pid": 7, "url": "http://127.0.0.1:7700"},
    "live": {"generation": 1, "version": 2, "model": "m", "documents": 1000, "chunks": 2},
    "building": None,
    "documents": {"total": 1000, "pending": 0, "failed": 0, "held": 0},
    "lag_s": 0.0,
    "jobs": {"failed": 0},
}


@pytest.fixture
def status(tmp_path):
    path = tmp_path / "status.json"

    def tell(**changes):
        path.with_suffix(".new").write_text(json.dumps(STATUS | changes))
        path.with_suffix(".new").replace(path)

    tell()
    tell.path = path
    return tell


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_pipe_gets_a_line_for_each_change_and_none_for_the_age_alone(status, form):
    process = subprocess.Popen(
        [sys.executable, "-c", WATCH, status.path, form], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    seen = []
    reading = threading.Thread(target=lambda: seen.extend(process.stdout))
    reading.start()
    try:
        wait_until(lambda: len(seen) == 1, "the first line")
        for age_s in (1.0, 2.0):
            status(lag_s=age_s)
        status(state="degraded", reasons=["the disk is full\x1b[31m"], lag_s=3.0)
        wait_until(lambda: len(seen) == 2, "the change")
    finally:
        process.send_signal(signal.SIGINT)
        reading.join(60)
    assert process.wait(60) == 0
    assert process.stderr.read() == b""
    process.stdout.close()
    process.stderr.close()
    first, second = (line.decode() for line in seen)
    if form == "json":
        assert json.loads(first) == STATUS
        assert json.loads(second)["state"] == "degraded"
    else:
        assert "ready: daemon 7, http://127.0.0.1:7700; generation 1" in first
        assert "degraded: daemon 7" in second
        assert "the disk is full\\x1b[31m" in second


@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_a_terminal_shows_it_in_place_until_a_key(status, key):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", WATCH, str(status.path)])
    seen = b""
    try:
        os.set_blocking(terminal, False)

        def has(text):
            nonlocal seen
            try:
                seen += os.read(terminal, 65536)
            except BlockingIOError:
                time.sleep(0)
            except OSError:  # the other side is closed
                return text in seen
            return text in seen

        wait_until(lambda: has(b"every document is at its current revision"), "the page")
        status(documents={"pending": 3}, lag_s=61.4)
        wait_until(lambda: has(b"3 pending"), "the change")
        assert b"1,000 documents" in seen
        os.write(terminal, key)
        wait_until(lambda: has(b"\x1b[?1049l"), "the screen as it was")
        wait_until(lambda: not _runs(pid), "its end")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    finally:
        os.close(terminal)


def _runs(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_the_command_takes_it(place):
    process = place.start("status", "--watch", "--json")
    try:
        assert json.loads(process.stdout.readline())["state"] == "degraded"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=180)
    assert process.returncode == 0
