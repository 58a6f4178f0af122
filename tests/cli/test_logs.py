"""`logs`: what is there, what comes, across rotation, in both forms."""

import json
import logging
import signal
import subprocess
import threading

import pytest

from processes import wait_until
from reindex.logfiles import LogFile
from reindex.telemetry import _JsonFormatter


@pytest.fixture
def handler(daemon_place):
    made = LogFile(daemon_place.log, takes_output=False, bytes_max=2000)
    made.setFormatter(_JsonFormatter())
    yield made
    made.close()


def log(handler, message, **fields):
    record = logging.LogRecord("test", logging.INFO, __file__, 1, message, (), None)
    vars(record).update(fields)
    handler.emit(record)


def test_the_last_lines_as_text_and_as_objects(daemon_place, handler):
    for number in range(5):
        log(handler, f"message {number}", path="caf\udce9\n")
    with daemon_place.log.open("a") as file:
        file.write("a crash in \x1b[31mred\n")
    shown = daemon_place.run("logs", "-n", "3").out.splitlines()
    assert [line[20:] for line in shown[:2]] == [
        "info     message 3 path=caf\\xe9\\n",
        "info     message 4 path=caf\\xe9\\n",
    ]
    assert shown[2] == "a crash in \\x1b[31mred"
    objects = [json.loads(line) for line in daemon_place.run("logs", "--json").out.splitlines()]
    assert [each["message"] for each in objects[:5]] == [f"message {number}" for number in range(5)]
    assert objects[5] == {"message": "a crash in \x1b[31mred"}
    assert daemon_place.run("logs", "-n", "0").out == ""


def test_no_log_is_said_and_is_no_error(daemon_place):
    answer = daemon_place.run("logs")
    assert (answer.code, answer.out) == (0, "")
    assert "reindex start" in answer.err


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_following_misses_no_line_across_rotations_and_ends_with_ctrl_c(daemon_place, handler, form):
    log(handler, "number 0.")
    following = daemon_place.popen("logs", "-f", *form, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    seen = []
    reading = threading.Thread(target=lambda: seen.extend(following.stdout))
    reading.start()
    try:
        wait_until(lambda: len(seen) == 1, "what is there")
        for number in range(1, 101):
            log(handler, f"number {number}.")
            if number % 20 == 0:
                wait_until(lambda expected=number + 1: len(seen) == expected, "what came")
        assert daemon_place.log.with_name("daemon.log.1").exists()
        daemon_place.log.rename(daemon_place.log.with_name("elsewhere"))
        log(handler, "number 101.")
        wait_until(lambda: len(seen) == 102, "the line in the new file")
    finally:
        following.send_signal(signal.SIGINT)
        reading.join(60)
    assert following.wait(60) == 0
    assert following.stderr.read() == b""
    following.stdout.close()
    following.stderr.close()
    assert [f"number {n}." in line.decode() for n, line in enumerate(seen)] == [True] * 102


def test_help_has_an_example(daemon_place):
    assert "Example: reindex logs -f" in daemon_place.run("logs", "--help").out
