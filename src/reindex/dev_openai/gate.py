"""What every request passes: its name and count, the faults that it meets, and the key."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reindex.dev_openai.connections import Connections
from reindex.dev_openai.faults import Call, Cut, Do, Hang, Refuse, Reset, Slow
from reindex.dev_openai.refusals import Refusal, no_key, wrong_key
from reindex.dev_openai.service import Service

ROUTES = {  # name -> method, path
    "embeddings": ("POST", r"/v1/embeddings"),
    "models.list": ("GET", r"/v1/models"),
    "models.retrieve": ("GET", r"/v1/models/.+"),
    "files.create": ("POST", r"/v1/files"),
    "files.list": ("GET", r"/v1/files"),
    "files.retrieve": ("GET", r"/v1/files/[^/]+"),
    "files.delete": ("DELETE", r"/v1/files/[^/]+"),
    "files.content": ("GET", r"/v1/files/[^/]+/content"),
    "batches.create": ("POST", r"/v1/batches"),
    "batches.list": ("GET", r"/v1/batches"),
    "batches.retrieve": ("GET", r"/v1/batches/[^/]+"),
    "batches.cancel": ("POST", r"/v1/batches/[^/]+/cancel"),
}
_PATTERNS = {name: (method, re.compile(path)) for name, (method, path) in ROUTES.items()}
_PIECE_S = 0.05  # between two pieces of a slow body


def name_route(method: str, path: str) -> str:
    """Its name in `ROUTES`, "" if it is none of them."""
    for name, (verb, pattern) in _PATTERNS.items():
        if verb == method and pattern.fullmatch(path):
            return name
    return ""


def is_known(path: str) -> bool:
    """Whether it is that of a route, by whatever method."""
    return any(pattern.fullmatch(path) for _, pattern in _PATTERNS.values())


class ClientGoneError(Exception):
    """There is nobody to send the rest to."""


class Gate:
    """The outermost part of the application."""

    def __init__(self, app: ASGIApp, service: Service, connections: Connections) -> None:
        self._app, self._service, self._connections = app, service, connections
        self._ending = asyncio.Event()

    def end(self) -> None:
        """The server ends: nothing hangs any more. Called on the event loop."""
        self._ending.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http", "uvicorn is told so"
        route = name_route(scope["method"], scope["path"])
        if not route:
            await self._app(scope, receive, send)
            return
        call, receive = await _read_call(route, scope, receive)
        self._service.count(route)
        faults = self._service.faults.take(route, call)
        scope["state"] = {"faults": faults}
        client = scope["client"]
        send = _Sending(send, self._connections, client, faults)
        has_effect = route != "files.content"
        befores = [fault for fault in faults if not (has_effect and getattr(fault, "after", False))]
        afters = [fault for fault in faults if has_effect and getattr(fault, "after", False)]
        try:
            if await self._is_ended_by(befores, client, send):
                return
            refusal = self._check_key(scope)
            if refusal is not None:
                await _send_refusal(refusal, send)
            elif not afters:
                await self._app(scope, receive, send)
            else:
                await self._run_then(afters, scope, receive, send)
        except ClientGoneError:
            await _until_gone(receive)

    async def _run_then(self, afters: Sequence[Any], scope: Scope, receive: Receive, send: Send) -> None:
        """Do all of it, and then let the answer be lost, or late."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        if not await self._is_ended_by(afters, scope["client"], send):
            for message in messages:
                await send(message)

    async def _is_ended_by(self, faults: Sequence[Any], client: Any, send: Send) -> bool:
        for fault in faults:
            match fault:
                case Hang(seconds):
                    await self._sleep(seconds)
                case Do(act):
                    await run_in_threadpool(act)
                case Reset():
                    self._connections.reset(client)
                    raise ClientGoneError
                case Refuse(refusal):
                    await _send_refusal(refusal, send)
                    return True
                case _:
                    pass
        return False

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return

    def _check_key(self, scope: Scope) -> Refusal | None:
        given = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        if not given.startswith("Bearer ") or not given[7:].strip():
            return no_key()
        key = given[7:].strip()
        wanted = self._service.options.key
        return (
            wrong_key(key) if wanted and not secrets.compare_digest(key.encode(), wanted.encode()) else None
        )


class _Sending:
    """Sends an answer's messages: with a request's id, slowly, or not to the end."""

    def __init__(self, send: Send, connections: Connections, client: Any, faults: Sequence[Any]) -> None:
        self._send, self._connections, self._client = send, connections, client
        self._cut = next((fault for fault in faults if isinstance(fault, Cut)), None)
        self._slow = next((fault for fault in faults if isinstance(fault, Slow)), None)
        self._left: int | None = None

    async def __call__(self, message: Message) -> None:
        if self._connections.is_gone(self._client):
            raise ClientGoneError
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            if self._cut is not None:
                length = int(dict(headers).get(b"content-length", b"0"))
                self._left = int(length * self._cut.share)
            headers += [
                (b"x-request-id", f"req_{secrets.token_hex(16)}".encode()),
                (b"openai-version", b"2020-10-01"),
                (b"openai-processing-ms", b"1"),
            ]
            await self._send({**message, "headers": headers})
            return
        await self._send_body(message)

    async def _send_body(self, message: Message) -> None:
        body: bytes = message.get("body", b"")
        if self._left is not None and self._cut is not None and len(body) >= self._left:
            await self._send_slowly({**message, "body": body[: self._left], "more_body": True})
            self._connections.close(self._client, reset=self._cut.reset)
            raise ClientGoneError
        if self._left is not None:
            self._left -= len(body)
        await self._send_slowly(message)

    async def _send_slowly(self, message: Message) -> None:
        body: bytes = message.get("body", b"")
        size = max(1, int(self._slow.bytes_per_s * _PIECE_S)) if self._slow is not None else len(body) or 1
        while len(body) > size:
            if self._connections.is_gone(self._client):
                raise ClientGoneError
            await self._send({**message, "body": body[:size], "more_body": True})
            body = body[size:]
            await asyncio.sleep(_PIECE_S)
        await self._send({**message, "body": body})


async def _read_call(route: str, scope: Scope, receive: Receive) -> tuple[Call, Receive]:
    """The call with its body, unless that is a file, and a `receive` that gives the body once more."""
    query = scope["query_string"].decode("latin-1")
    if route == "files.create":
        return Call(route, scope["path"], query), receive
    body = bytearray()
    is_more = True
    while is_more:
        message = await receive()
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
    waiting: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return Call(route, scope["path"], query, bytes(body)), again


async def _send_refusal(refusal: Refusal, send: Send) -> None:
    content = json.dumps(refusal.body(), indent=2).encode()
    headers = {"content-type": "application/json", "content-length": str(len(content)), **refusal.headers()}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": encoded})
    await send({"type": "http.response.body", "body": content})


async def _until_gone(receive: Receive) -> None:
    """Wait for the end of the connection, so that uvicorn does not take the missing answer for a bug."""
    while (await receive())["type"] != "http.disconnect":
        pass
