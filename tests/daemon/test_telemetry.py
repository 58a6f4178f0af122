"""Logging as a process does it: what is written where, and what never is."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from reindex.telemetry import Masker

CANARY = 'canary-key-9"\\8'
TOKEN = "hush"
SETUP = """
import logging, os, sys, threading, warnings
from pathlib import Path
from reindex.telemetry import set_up_logging
file = Path(os.environ["LOG_FILE"]) if "LOG_FILE" in os.environ else None
telemetry = set_up_logging("info", ["hush"], environment=os.environ, log_file=file)
log = logging.getLogger("reindex.test")
"""
EVERYTHING = """
log.debug("never seen")
log.info("published", extra={"generation": 3, "path": "caf\\udce9\\n\\x1b[31m", "ts": "not this"})
log.warning("key %s, token hush", os.environ["OPENAI_API_KEY"], extra={"headers": dict(os.environ)})
log.info("http://user:pass@host:99/v1 and Authorization: Bearer abc.def-123 and sk-proj-1234567890")
try:
    raise ValueError(os.environ["OPENAI_API_KEY"])
except ValueError:
    log.exception("it failed")
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
warnings.warn("careful: hush")
telemetry.change("debug", ["another secret"])
log.debug("seen now, with another secret")
raise RuntimeError("the end, hush")
"""


def run(code, **options):
    environment = {**os.environ, "OPENAI_API_KEY": CANARY, **options.pop("environment", {})}
    return subprocess.run(
        [sys.executable, "-c", SETUP + code], env=environment, timeout=180, check=False, **options
    )


def parsed(text):
    return [json.loads(line) for line in text.splitlines()]


def check_no_secret(text):
    for secret in (CANARY, "canary-key", TOKEN, "user:pass", "abc.def", "sk-proj", "another secret"):
        assert secret not in text


def test_lines_elsewhere_than_on_a_terminal_are_json_and_hold_no_secret():
    ended = run(EVERYTHING, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stdout == ""
    check_no_secret(ended.stderr)
    found = parsed(ended.stderr)
    assert [(each["level"], each["message"]) for each in found[:3]] == [
        ("info", "published"),
        ("warning", "key ***, token ***"),
        ("info", "http://***@host:99/v1 and Authorization: Bearer *** and ***"),
    ]
    assert found[0]["generation"] == 3
    assert found[0]["path"] == "caf\udce9\n\x1b[31m"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found[0]["ts"])
    assert {each["logger"] for each in found} == {"reindex.test", "reindex", "py.warnings"}
    assert "ValueError: ***" in found[3]["exception"]
    assert found[4]["message"] == "nobody caught this in thread worker"
    assert "ZeroDivisionError" in found[4]["exception"]
    assert "careful: ***" in found[5]["message"]
    assert found[6]["message"] == "seen now, with ***"
    assert found[7]["level"] == "critical"
    assert "RuntimeError: the end, ***" in found[7]["exception"]
    assert len(found) == 8


def test_a_terminal_gets_text_a_line_for_each_message():
    ours, theirs = pty.openpty()
    try:
        ended = run('log.info("two\\nlines \\x1b[31m", extra={"n": 1})', stderr=theirs)
        os.close(theirs)
        assert ended.returncode == 0
        text = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
    assert re.fullmatch(r"\d\d:\d\d:\d\d info     two\\nlines \\x1b\[31m n=1\r\n", text)


def test_the_journal_gets_a_priority_only_if_stderr_is_the_journal(tmp_path):
    code = 'log.info("a"); log.warning("b"); log.error("c"); log.critical("d")'
    code += '; telemetry.change("debug"); log.debug("e")'
    target = tmp_path / "journal"
    with target.open("wb") as stream:
        stat = os.fstat(stream.fileno())
        journal = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        assert run(code, stderr=stream, environment=journal).returncode == 0
    lines = target.read_text().splitlines()
    assert [line[:3] for line in lines] == ["<6>", "<4>", "<3>", "<2>", "<7>"]
    assert [json.loads(line[3:])["message"] for line in lines] == ["a", "b", "c", "d", "e"]
    other = run(code, capture_output=True, text=True, environment=journal)
    assert [each["message"] for each in parsed(other.stderr)] == ["a", "b", "c", "d", "e"]


def test_a_log_file_takes_stdout_and_stderr_too_also_after_it_was_moved(tmp_path):
    file = tmp_path / "logs" / "daemon.log"
    code = """
log.info("first")
os.rename(file, file.with_name("moved"))
log.info("second")
os.write(1, b"a library's own words\\n")
os.write(2, b"and its last ones\\n")
"""
    ended = run(code, capture_output=True, environment={"LOG_FILE": str(file)})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert parsed((tmp_path / "logs" / "moved").read_text())[0]["message"] == "first"
    lines = file.read_text().splitlines()
    assert json.loads(lines[0])["message"] == "second"
    assert lines[1:] == ["a library's own words", "and its last ones"]
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("secret", ['a"b\\c', "per%cent /slash", "näh", "x" * 300])
def test_a_secret_is_masked_in_every_form_that_a_line_may_give_it(secret):
    masker = Masker([secret, ""])
    for text in (secret, json.dumps(secret), json.dumps({"k": [secret]}), repr(secret)):
        shown = masker.masked(f"<{text}>")
        assert "***" in shown
        assert secret not in shown
    assert masker.masked("nothing of it") == "nothing of it"
