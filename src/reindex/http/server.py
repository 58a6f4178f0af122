"""The API as a thread of the daemon: a socket, uvicorn on an event loop of its own, and a graceful end."""

import asyncio
import logging
import math
import socket
import threading
from collections.abc import Awaitable, Callable

import uvicorn

from reindex.http.address import check_address, listen
from reindex.http.api import Api
from reindex.http.application import build_application
from reindex.http.guard import HEAD_BYTES_MAX
from reindex.http.protocol import TimedProtocol
from reindex.http.surface import Surface

KEEP_ALIVE_S = 20
_CUT_S = 1.0  # for what is cut off to end
_JOIN_EXTRA_S = 5.0

logger = logging.getLogger("reindex.http")


async def _nothing() -> None:
    return


class Server:
    """Listens from `bind` on, answers from `start` on, until `stop`. Used by one thread.

    `on_start` and `on_stop` run on the event loop before the first request and after the last: what belongs
    to that loop is made and closed there. `on_stop` runs only after an `on_start` that went well.
    """

    def __init__(
        self,
        surface: Surface,
        http: str,
        token: str = "",
        *,
        searches_max: int = 64,
        on_start: Callable[[], Awaitable[None]] = _nothing,
        on_stop: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """Raises ConfigError when the address is none, or needs a token."""
        self._surface = surface
        self._address = check_address(http, token)
        self._token = token
        self._searches_max = searches_max
        self._on_start, self._on_stop = on_start, on_stop
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._is_started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._uvicorn: _Uvicorn | None = None

    @property
    def url(self) -> str:
        """Where it listens, "" before `bind`."""
        return f"http://{self._address.shown}" if self._listener is not None else ""

    @property
    def is_running(self) -> bool:
        """Whether its thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def bind(self) -> str:
        """Take the address; clients that come before `start` wait. Returns the URL. Raises AddressError."""
        self._listener, self._address = listen(self._address)
        return self.url

    def start(self) -> str:
        """Serve, in a thread. Returns the URL when the first request can be answered. Raises AddressError,
        and what `on_start` raised.
        """
        if self._listener is None:
            self.bind()
        self._thread = threading.Thread(target=self._run, name="reindex-http", daemon=True)
        self._thread.start()
        self._is_started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self.url

    def stop(self, limit_s: float = 10.0) -> None:
        """Accept no more, end event streams and waiting polls, let requests under way finish within the
        limit, cut off the others. Also before `start`, and twice.
        """
        if self._thread is None:
            if self._listener is not None:
                self._listener.close()
            return
        if self._loop is not None and self._uvicorn is not None and self.is_running:
            self._loop.call_soon_threadsafe(self._uvicorn.end, limit_s)
        self._thread.join(limit_s + _JOIN_EXTRA_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            if self._is_started.is_set():
                logger.exception("the HTTP API ended by itself", extra={"event": "bug"})
        finally:
            self._is_started.set()
            if self._listener is not None:
                self._listener.close()

    async def _serve(self) -> None:
        assert self._listener is not None, "it is bound before"
        await self._on_start()
        api = Api(self._surface, self._searches_max)
        self._loop = asyncio.get_running_loop()
        self._surface.events.attach(self._loop)
        try:
            self._uvicorn = _Uvicorn(self._config(api), self._surface.events.close, self._is_started.set)
            await self._uvicorn.serve([self._listener])
        finally:
            self._surface.events.close()
            api.close()
            await self._on_stop()

    def _config(self, api: Api) -> uvicorn.Config:
        return uvicorn.Config(
            build_application(api, self._address, self._token),
            http=TimedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,  # the guard writes it: uvicorn would wake ten times a second for it
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        )


class _Uvicorn(uvicorn.Server):
    """One that waits to be told, instead of looking ten times a second whether it was."""

    def __init__(
        self, config: uvicorn.Config, ending: Callable[[], None], started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._is_ending = asyncio.Event()
        self._ending = ending
        self._told_started = started

    async def main_loop(self) -> None:
        """Serve until `end`."""
        self._told_started()
        await self._is_ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """What is cut off tells its client so; whatever is open after that is closed."""
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=_CUT_S)
        for connection in list(self.server_state.connections):
            if isinstance(connection, TimedProtocol):
                connection.transport.abort()
        await asyncio.sleep(0)

    def end(self, limit_s: float) -> None:
        """Called on the loop. Streams end now, so that nothing waits for them."""
        self.config.timeout_graceful_shutdown = math.ceil(limit_s)
        self._ending()
        self._is_ending.set()
