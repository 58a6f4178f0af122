"""The image's recipe, as far as it can be proven without building it."""

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def instructions():
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]


def last(name):
    return [rest for word, rest in instructions() if word == name][-1]


def test_it_does_not_run_as_root_and_gets_its_signals():
    assert last("USER") == "reindex"
    assert json.loads(last("ENTRYPOINT")) == ["reindex"]
    assert json.loads(last("CMD")) == ["run"]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_torch_is_the_one_of_the_makefile_and_comes_first():
    pin = re.search(r"torch==[0-9.]+", (ROOT / "Makefile").read_text())[0]
    installs = [rest for word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert installs[0].endswith(pin)
    assert all("--constraint constraints.txt" in each for each in installs)


def test_what_it_copies_is_there_and_let_through():
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        part
        for word, rest in instructions()
        if word == "COPY" and "--from" not in rest
        for part in rest.split()[:-1]
    }
    assert copied == let_through
    assert all((ROOT / each).exists() for each in copied)


@pytest.mark.parametrize(("answer", "is_healthy"), [(200, True), (503, False)])
def test_the_health_check_asks_livez(answer, is_healthy):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(answer)
            self.end_headers()

        def log_message(self, *_):
            pass

    command = json.loads(last("HEALTHCHECK").partition("CMD")[2])
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [sys.executable, *(each.replace("7700", str(server.server_port)) for each in command[1:])]
        ended = subprocess.run(command, timeout=180, check=False, capture_output=True)
        server.shutdown()
    assert (ended.returncode == 0) == is_healthy
    assert asked == ["/livez"]
