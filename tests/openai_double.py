"""A server that speaks the embeddings API on loopback, and does to each request what a test has in line."""

import base64
import json
import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from logging_model import hash_vectors
from reindex.embedders.openai_client import OpenAIConnection
from reindex.embedders.openai_realtime import OpenAIEmbedder
from reindex.embedders.rate_limit import RateLimiter
from reindex.settings import OpenAISettings
from reindex.vectors import check_vectors

MODEL = "text-embedding-3-small"
NATIVE = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
TEXTS = [f"lantern {number} in the harbour" for number in range(7)]
KEY = "sk-canary-0123456789abcdef"


_HEADERS = {"content-type": "application/json", "x-request-id": "req_7"}


@dataclass
class Reply:
    """`cut`: hang up after so many bytes of the body (-1: before any answer); `drip_s`: a byte at a time."""

    status: int = 200
    body: object = None
    headers: dict = field(default_factory=dict)
    cut: int | None = None
    drip_s: float | None = None
    change: object = None  # what it does to the right answer


@dataclass
class Double:
    url: str = ""
    replies: list = field(default_factory=list)  # for the next requests, one each; then all is well
    always: Reply | None = None
    seen: list = field(default_factory=list)  # the bodies of requests for embeddings
    keys: list = field(default_factory=list)
    paths: list = field(default_factory=list)
    native: int = 0
    inputs_max: int = 2048
    knows_base64: bool = True
    knows_dimensions: bool = True
    has_batches: bool = True
    headers: dict = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def texts(self):
        return [text for body in self.seen for text in body["input"]]


def error_body(message, code=None, kind="invalid_request_error", param=None):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def vectors_of(texts, dimensions, native=1536):
    """What a right answer comes to: the first dimensions of a longer vector, of unit length."""
    cut = hash_vectors(texts, native)[:, :dimensions].astype(np.float64)
    return (cut / np.linalg.norm(cut, axis=1, keepdims=True)).astype(np.float32)


def right_answer(double, asked):
    texts = asked["input"]
    native = double.native or NATIVE.get(asked["model"], 8)
    dimensions = asked.get("dimensions", native) if double.knows_dimensions else native
    wants_base64 = double.knows_base64 and asked.get("encoding_format") == "base64"
    rows = vectors_of(texts, dimensions, native)
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(row.tobytes()).decode() if wants_base64 else row.tolist(),
        }
        for index, row in enumerate(rows)
    ]
    tokens = sum(math.ceil(len(text) / 4) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": asked["model"], "usage": usage}


@contextmanager
def openai_double(**how):
    double = Double(**how)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(double))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield double
    finally:
        double.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Books:
    def __init__(self):
        self.used, self.lost = [], []

    @property
    def how(self):
        return {
            "on_usage": lambda texts, tokens: self.used.append((texts, tokens)),
            "on_lost": lambda texts, tokens: self.lost.append((texts, tokens)),
        }


def is_right(vectors, texts=TEXTS, dimensions=1536, native=1536):
    check_vectors(vectors, len(texts))
    assert vectors.dtype == np.float32
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return np.allclose(vectors, vectors_of(texts, dimensions, native), atol=1e-6) and np.allclose(
        norms, 1, atol=1e-6
    )


def scaled(by):
    def change(answer):
        for item in answer["data"]:
            vector = np.frombuffer(base64.b64decode(item["embedding"]), "<f4") * by
            item["embedding"] = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        return answer

    return change


def headers_of(limit, remaining, reset, kind="tokens"):
    return {
        f"x-ratelimit-limit-{kind}": str(limit),
        f"x-ratelimit-remaining-{kind}": str(remaining),
        f"x-ratelimit-reset-{kind}": reset,
    }


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self):
        self.now = 1000.0
        self.waits = []
        self._lock = threading.Lock()

    def time(self):
        return self.now

    def sleep(self, seconds):
        with self._lock:
            self.now += seconds
            self.waits.append(seconds)


def connection_to(double, clock=None, environment=None, **settings):
    clock = clock or Clock()
    limiter = RateLimiter(clock.time, clock.sleep, jitter=lambda: 0.0)
    environment = {"OPENAI_API_KEY": KEY} if environment is None else environment
    return OpenAIConnection(OpenAISettings(base_url=double.url, **settings), environment, limiter)


def embedder_of(double, dimensions=1536, *, model=MODEL, clock=None, how=None, **settings):
    return OpenAIEmbedder(connection_to(double, clock, **settings), model, dimensions, **(how or {}))


def _handler(double):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            double.paths.append(self.path)
            double.keys.append(self.headers.get("Authorization"))
            double.seen.append(asked)
            reply = double.replies.pop(0) if double.replies else double.always or self._usual(asked)
            body = reply.body
            if body is None and reply.status == 200:
                body = right_answer(double, asked)
                if reply.change is not None:
                    body = reply.change(body)
            self._send(reply, body if isinstance(body, bytes) else json.dumps(body).encode())

        def do_GET(self):
            double.paths.append(self.path)
            if double.always is not None:
                body = double.always.body
                self._send(double.always, body if isinstance(body, bytes) else json.dumps(body).encode())
            elif self.path.startswith("/v1/batches") and double.has_batches:
                self._send(Reply(), json.dumps({"object": "list", "data": [], "has_more": False}).encode())
            else:
                self._send(Reply(404), json.dumps(error_body("Not Found")).encode())

        def _usual(self, asked):
            if len(asked["input"]) > double.inputs_max:
                return Reply(413, {"error": f"batch size {len(asked['input'])} > {double.inputs_max}"})
            if asked.get("dimensions") and not double.knows_dimensions:
                words = "This model does not support specifying dimensions."
                return Reply(400, error_body(words, param="dimensions"))
            return Reply()

        def _send(self, reply, content):
            if reply.cut == -1:
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in {**_HEADERS, **double.headers, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if reply.cut is not None:
                self.wfile.write(content[: reply.cut])
                self.close_connection = True
            elif reply.drip_s is not None:
                for each in content:
                    if double.stopped.wait(reply.drip_s):
                        return
                    self.wfile.write(bytes([each]))
                    self.wfile.flush()
            else:
                self.wfile.write(content)

        def handle(self):
            try:
                super().handle()
            except (BrokenPipeError, ConnectionResetError):
                pass

        def log_message(self, *_):
            pass

    return Handler
