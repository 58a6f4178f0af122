"""An HTTP API on a real socket, over a surface whose parts a test can replace; and a client for it."""

import asyncio
import http.client
import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus

from reindex.http.events import Events
from reindex.http.metrics import Numbers
from reindex.http.server import Server
from reindex.http.surface import Health, Surface
from reindex.search import Hit, SearchResult
from reindex.tasks import Tasks

LIMIT_S = 60
MEMBERS = {"type", "title", "status", "detail", "hint", "exit_code"}
HIT = Hit(1, 0.5, "docs", "a/b.md", "A > B", 3, 7, "some <script>alert(1)</script> text", "00ff")
RESULT = SearchResult([HIT], 2, 14, "a-model", took_ms=1.5)


class Searches:
    """Remembers what was asked; `hold` keeps answers back until `let_go`."""

    def __init__(self, result=RESULT):
        self.asked = []
        self.result = result
        self.error = None
        self.under_way = 0
        self._free = threading.Event()
        self._free.set()

    def hold(self):
        self._free.clear()

    def let_go(self):
        self._free.set()

    async def __call__(self, request):
        self.asked.append(request)
        self.under_way += 1
        try:
            while not self._free.is_set():  # noqa: ASYNC110 (another thread lets go)
                await asyncio.sleep(0.005)
        finally:
            self.under_way -= 1
        if self.error is not None:
            raise self.error
        return self.result


def make_surface(**parts):
    events = Events()
    surface = Surface(
        search=Searches(),
        status=lambda: {"state": "ready", "reasons": []},
        document_status=lambda path: {"path": path, "state": "indexed"},
        jobs=lambda: {"jobs": [], "dead_letters": []},
        job=lambda number: {"id": number} if number in {"3", "d4"} else None,
        generations=lambda: {"live": 2, "generations": []},
        diff=lambda a, b, queries: {"a": a, "b": b, "overlap": 1.0, "queries": queries},
        tasks=Tasks(events.task_changed),
        events=events,
        health=lambda: Health(is_alive=True, is_ready=True, components={"watcher": (True, "3 folders")}),
        numbers=lambda: Numbers(build_info={"version": "1"}, documents=5),
    )
    return replace(surface, **parts)


@contextmanager
def serving(surface=None, http="127.0.0.1:0", token="", **options):
    """A client of a server that runs."""
    surface = surface or make_surface()
    server = Server(surface, http, token, **options)
    server.start()
    client = Client(server, surface)
    try:
        yield client
    finally:
        server.stop(limit_s=1)
        for stream in client.streams:
            stream.close()
        assert not server.is_running


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)


class Client:
    def __init__(self, server, surface):
        self.server = server
        self.surface = surface
        self.host, _, port = server.url.removeprefix("http://").rpartition(":")
        self.port = int(port)
        self.streams = []

    def connect(self):
        return http.client.HTTPConnection(self.host.strip("[]"), self.port, timeout=LIMIT_S)

    def socket(self):
        return socket.create_connection((self.host.strip("[]"), self.port), timeout=LIMIT_S)

    def ask(self, method, path, body=None, headers=None):
        """One request on a connection of its own. `body` is bytes, or an object that becomes JSON."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.ask("GET", path, None, headers)

    def post(self, path, body=None, headers=None):
        return self.ask("POST", path, body, headers)

    def stream(self, path="/v1/events", headers=None):
        connection = self.connect()
        connection.request("GET", path, headers=headers or {})
        self.streams.append(EventStream(connection))
        return self.streams[-1]


class EventStream:
    """Reads server-sent events: (id, kind, data)."""

    def __init__(self, connection):
        self.connection = connection
        self.response = connection.getresponse()
        assert self.response.status == 200
        assert self.response.readline() == b"retry: 2000\n"
        assert self.response.readline() == b"\n"

    def next(self):
        """The next event, or None at the end. Comments are passed over."""
        found = {}
        while line := self.response.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            found[name] = value
        if "event" in found:
            return found["id"], found["event"], json.loads(found["data"])
        return self.next() if found else None

    def close(self):
        self.response.close()
        self.connection.close()


def until(condition):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.005)


def refused(answer, status):
    """A problem of that status: its object."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json
    assert problem.keys() == MEMBERS
    assert (problem["status"], problem["title"]) == (status, HTTPStatus(status).phrase)
    assert problem["detail"]
    return problem
