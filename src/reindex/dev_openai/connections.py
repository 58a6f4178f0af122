"""The server's connections by their clients' addresses, so that one can be broken on purpose."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]


class Connections:
    """Used on the event loop only."""

    def __init__(self) -> None:
        self._transports: dict[Address, asyncio.Transport] = {}

    def protocol(self) -> type[H11Protocol]:
        """A protocol for uvicorn that reports here."""
        transports = self._transports

        class Reporting(H11Protocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                if self.client is not None:
                    transports[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                if self.client is not None:
                    transports.pop(self.client, None)
                super().connection_lost(exc)

        return Reporting

    def is_gone(self, client: Any) -> bool:
        """Whether nobody can be answered there any more."""
        transport = self._transports.get(tuple(client))
        return transport is None or transport.is_closing()

    def reset(self, client: Any) -> None:
        """End it at once: the client reads ECONNRESET."""
        transport = self._transports.get(tuple(client))
        if transport is not None:
            _no_linger(transport)
            transport.abort()

    def close(self, client: Any, *, reset: bool) -> None:
        """End it when what was written is sent; `reset`: not in the orderly way."""
        transport = self._transports.get(tuple(client))
        if transport is not None:
            if reset:
                _no_linger(transport)
            transport.close()

    def abort_all(self) -> None:
        """The server ends."""
        for transport in list(self._transports.values()):
            transport.abort()


def _no_linger(transport: asyncio.Transport) -> None:
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
