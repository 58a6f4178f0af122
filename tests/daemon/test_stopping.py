"""The end of a daemon, whatever it does: in time, with code 0, and what it told its manager before."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from doubles import paragraphs
from processes import DOUBLE, wait_until
from served import children_of, is_alive

STOP_S = 30.0  # some seconds, on a machine with much else to do; what it must not wait for takes a minute


def listener(served, request):
    """A connection that has asked for something, and reads nothing."""
    place = urlsplit(served.presence.url)
    connection = socket.create_connection((place.hostname, place.port), timeout=STOP_S)
    connection.sendall(request.replace("HOST", place.netloc).encode())
    return connection


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: HOST\r\n\r\n"


def test_it_stops_in_time_with_a_model_that_hangs_and_clients_that_wait(served):
    served.environment |= {"MODEL_PROCESS": "1", "REINDEX_DAEMON__STOP_S": "3"}
    served.up()
    served.fault.write_text("hang")
    served.write("second.md", paragraphs(1, 2, 3))
    task = served.post("/v1/sync")
    requests = [
        get("/v1/search?query=never+answered&mode=vector"),
        get("/v1/search?query=never+answered+either"),
        get("/v1/events"),
        get(f"/v1/tasks/{task['id']}?wait=60"),
        "POST /v1/search HTTP/1.1\r\nHost: HOST\r\nContent-Length: 100\r\n\r\n{",
        "GET /v1/st",
    ]
    clients = [listener(served, each) for each in requests]
    wait_until(lambda: len(served.children()) >= 3, "the parser and both models")
    family = {served.presence.pid, *served.children()}
    begun = time.monotonic()
    stopping = [served.start("stop", "--json") for _ in range(2)]
    answers = [each.communicate(timeout=180) for each in stopping]
    assert [each.returncode for each in stopping] == [0, 0]
    assert {json.loads(out)["ending"] for out, _ in answers} <= {"stopped", "not running"}
    assert time.monotonic() - begun < STOP_S + 5
    wait_until(lambda: not any(map(is_alive, family)), "all of it to be gone")
    for client in clients:
        client.close()
    log = (served.data_dir / "logs" / "daemon.log").read_text()
    assert "Traceback" not in log
    assert '"level": "error"' not in log
    served.fault.unlink()
    served.up()
    assert served.house.verify().ok
    assert not served.sent_twice()


def test_a_restart_is_nothing_but_refused_connections_to_clients(served):
    served.configure(":0", f":{free_port()}")
    served.up()
    url = served.presence.url + "/v1/search?mode=text&query=copper"
    answers, refused, other = [], [], []
    is_over = threading.Event()

    def client():
        while not is_over.is_set():
            try:
                with urllib.request.urlopen(url, timeout=180) as answer:
                    answers.append(json.load(answer)["hits"])
            except urllib.error.HTTPError as error:
                with error:
                    other.append(error.read())
            except OSError as error:
                refused.append(error)

    clients = [threading.Thread(target=client) for _ in range(3)]
    for each in clients:
        each.start()
    try:
        wait_until(lambda: answers, "the first answers")
        pid = served.presence.pid
        assert served.run("restart").code == 0
        assert served.presence.pid != pid
        before = len(answers)
        wait_until(lambda: len(answers) > before + 10, "more answers")
    finally:
        is_over.set()
        for each in clients:
            each.join()
    assert all(answers)
    assert refused
    assert other == []


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        return found.getsockname()[1]


class Manager:
    """A service manager that listens."""

    def __init__(self, folder):
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.setblocking(False)
        self.heard = []

    def listen(self):
        while True:
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return self.heard

    def pings(self):
        return self.listen().count("WATCHDOG=1")

    def close(self):
        self._socket.close()


@pytest.fixture
def managed(served):
    """A daemon in the foreground, with a manager that wants to hear of it every 0.4 s."""
    manager = Manager(served.folder)
    served.environment |= {
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": "400000",
        "WEDGED_AFTER_S": "1.5",
        "MODEL_PROCESS": "1",
    }
    process = served.start("run")
    yield served, manager, process
    process.kill()
    process.communicate()
    manager.close()


def test_a_worker_that_hangs_stops_the_pings(managed):
    served, manager, process = managed
    wait_until(lambda: "READY=1" in " ".join(manager.listen()), "it to be ready")
    wait_until(lambda: manager.pings() > 2, "pings")
    served.fault.write_text("hang")
    served.write("second.md", paragraphs(1))
    wait_until(lambda: served.ask("/livez")[0] == 503, "it to be taken for stuck")
    pings = manager.pings()
    for _ in range(20):
        assert served.ask("/livez")[0] == 503
        time.sleep(0.05)
    assert manager.pings() <= pings + 1, "one may have been under way"
    assert served.finds("copper lanterns"), "search does not hang with it"
    assert "[-]keeper failed" in served.ask("/livez?verbose=true")[1]
    served.fault.unlink()
    wait_until(lambda: served.ask("/livez")[0] == 200, "it to go on")
    pings = manager.pings()
    wait_until(lambda: manager.pings() > pings + 2, "pings")
    served.fault.write_text("down")
    served.write("third.md", paragraphs(2))
    wait_until(lambda: "STATUS=degraded: the model fails" in " ".join(manager.listen()), "the reason")
    served.fault.unlink()
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: any("RELOADING=1" in each for each in manager.listen()), "the reload")
    reloading = next(each for each in manager.heard if "RELOADING=1" in each)
    assert "MONOTONIC_USEC=" in reloading
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_S + 5) == 0
    assert "STOPPING=1" in "\n".join(manager.listen())


def test_as_the_first_process_of_a_container_it_ends_on_sigterm(served):
    unshare = shutil.which("unshare")
    probe = [unshare or "false", "--fork", "--pid", "--mount-proc", "true"]
    if subprocess.run(probe, check=False, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody make a namespace of processes")
    served.environment["MODEL_PROCESS"] = "1"
    process = subprocess.Popen(
        [*probe[:-1], sys.executable, DOUBLE, "run"],
        cwd=served.folder,
        env={**os.environ, **served.environment},
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: (p := served.presence) is not None and p.is_ready, "it to be ready")
        assert served.presence.pid == 1
        assert served.finds("copper lanterns")
        assert served.get("/v1/search?mode=vector&query=lantern")["hits"]
        refused = served.run("stop")
        assert refused.code == 1
        assert "another container" in refused.err
        (first,) = children_of(process.pid)
        begun = time.monotonic()
        os.kill(first, signal.SIGTERM)
        assert process.wait(STOP_S + 5) == 0
        assert time.monotonic() - begun < STOP_S
    finally:
        process.kill()
        process.communicate()
