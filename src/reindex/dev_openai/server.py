"""The server on its socket: in the foreground, or in a thread of a test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn

from reindex.dev_openai.application import build_gate
from reindex.dev_openai.connections import Connections
from reindex.dev_openai.service import Service
from reindex.errors import ReindexError

_KEEP_ALIVE_S = 3600  # it never ends a connection that a client is about to use
_JOIN_S = 30.0


class Server:
    """Listens from the start, answers in `run` or between `start` and `stop`."""

    def __init__(
        self, service: Service, host: str = "127.0.0.1", port: int = 0, *, has_control: bool = False
    ) -> None:
        """Port 0: a free one. Raises ReindexError when the address can't be had."""
        self.service = service
        self._connections = Connections()
        self._gate = build_gate(service, self._connections, has_control=has_control)
        self._socket = _listen(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_started = threading.Event()
        self._thread: threading.Thread | None = None
        self._uvicorn = _Uvicorn(self._config(), self._is_started.set)

    @property
    def base_url(self) -> str:
        """For `base_url` of a client."""
        return f"http://{self.host}:{self.port}/v1"

    def run(self) -> None:
        """Serve until Ctrl-C."""
        self.service.worker.start()
        try:
            asyncio.run(self._serve())
        finally:
            self.service.worker.stop()

    def start(self) -> None:
        """Serve, in a thread."""
        self._thread = threading.Thread(target=self.run, name="dev-openai", daemon=True)
        self._thread.start()
        assert self._is_started.wait(_JOIN_S), "it starts at once"

    def stop(self) -> None:
        """Break what is under way, and end."""
        if self._thread is None:
            self._socket.close()
            return
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join(_JOIN_S)

    def _end(self) -> None:
        self._gate.end()
        self._connections.abort_all()
        assert self._loop is not None, "it runs"
        self._loop.call_soon(self._uvicorn.end)  # when they are gone: uvicorn would wait for them

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self._uvicorn.serve([self._socket])
        finally:
            self._socket.close()

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            self._gate,
            http=self._connections.protocol(),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # uvicorn would wake for it all the time
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=2,
        )


class _Uvicorn(uvicorn.Server):
    """One that waits to be told, instead of looking ten times a second whether it was."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._is_ending = asyncio.Event()
        self._told_started = started
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._told_started()
        await self._is_ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """At once where nothing is open any more: uvicorn's own begins with a sleep."""
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for each in (*self.servers, *(sockets or ())):
            each.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._is_ending.set)

    def end(self) -> None:
        """Called on the loop."""
        self._is_ending.set()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise ReindexError(
            f"can't listen on {host}:{port}: {error.strerror or error}", "give another --port"
        ) from None
