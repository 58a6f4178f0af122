"""A daemon that is none: present in a data directory, it listens on HTTP and answers what a test tells it."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

from reindex import __version__
from reindex.presence import announce
from reindex.tasks import Task, TaskProgress, TaskState

CLOSED = "http://127.0.0.1:1"  # nobody listens there
HANG_UP = "hang up"  # an answer that is none
TASK = 7
SYNCED = {  # the object of a sync
    "generation": 1,
    "version": 3,
    "documents": dict.fromkeys("added changed moved deleted unchanged failed held pending".split(), 0),
    "chunks": dict.fromkeys("total embedded reused deleted in_flight rows_written".split(), 0),
    "tokens_embedded": 0,
    "cost_usd": 0.0,
    "commits": 0,
    "duration_s": 0.1,
}


@dataclass
class StandIn:
    """`answers` by "METHOD /path": (status, object), HANG_UP, or a function of what was asked that gives one
    of them. `states` of the one task are told one after the other, the last for ever.
    """

    url: str = ""
    announcement: object = None
    answers: dict = field(default_factory=dict)
    states: list = field(default_factory=list)
    seen: list = field(default_factory=list)

    def answer(self, asked):
        self.seen.append(asked)
        found = self.answers.get(f"{asked.method} {asked.path}")
        if found is None and asked.path == f"/v1/tasks/{TASK}":
            found = 200, self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if found is None:
            found = 404, {"title": "Not Found", "detail": f"nothing at {asked.path}"}
        return found(asked) if callable(found) else found

    def tells(self, order, *states):
        """What a writing command is answered, and how its task goes on."""
        self.answers[f"POST {order}"] = (202, states[0])
        self.states = list(states[1:] or states)

    @property
    def orders(self):
        """The paths that were posted to."""
        return [asked.path for asked in self.seen if asked.method == "POST"]


def task(state=TaskState.RUNNING, created_at="2026-01-01T00:00:00.000Z", progress=None, **changes):
    """The task as the API shows it."""
    found = Task(TASK, "sync", {}, 0.0, state, progress=TaskProgress(**(progress or {})))
    return asdict(found) | {"created_at": created_at} | changes


def succeeded(result, *, messages=(), exit_code=0):
    return task(TaskState.SUCCEEDED, result=result, messages=list(messages), exit_code=exit_code)


def failed(message, hint, exit_code, *, messages=()):
    error = {"message": message, "hint": hint, "exit_code": exit_code}
    return task(TaskState.FAILED, error=error, messages=list(messages), exit_code=exit_code)


@contextmanager
def daemon_standing_in(data_dir, *, url=None, is_ready=True, version=__version__):
    """`url` is another than where it listens."""
    stand_in = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stand_in))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    try:
        with announce(data_dir, version, time.time()) as announcement:
            stand_in.announcement = announcement
            announcement.change(url=stand_in.url if url is None else url, is_ready=is_ready)
            yield stand_in
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(stand_in):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            place = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = stand_in.answer(
                SimpleNamespace(
                    method=self.command,
                    path=place.path,
                    query=parse_qsl(place.query, errors="surrogateescape"),
                    headers=self.headers,
                    body=json.loads(body) if body else None,
                )
            )
            if found == HANG_UP:
                return
            status, value = found
            content = json.dumps(value).encode("ascii")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    return Handler
