"""Who may ask: the door before every route. Also what every answer says, and one log record for each."""

import hmac
import logging
import time
from collections.abc import Iterable
from email.utils import formatdate

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reindex import __version__
from reindex.http.address import Address
from reindex.http.problems import Refusal, refusal_response

logger = logging.getLogger("reindex.http")

HEAD_BYTES_MAX = 16_384
REQUESTS_MAX = 256  # under way at a time, waiting ones and event streams included
OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz"})
SHOWN_TO_ALL = OPEN_PATHS | {"/"}  # the page holds nothing but its own script, which asks for the token
SERVER = f"reindex/{__version__}"
_READING = frozenset({"GET", "HEAD"})
_HEADERS = {
    "Server": SERVER,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_POLICY = "default-src 'none'; frame-ancestors 'none'"


class Guard:
    """Wraps the routes. For an address of this machine alone, only names of this machine are answered to:
    a page of another site, whose name was made to point here, is not (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, address: Address, token: str) -> None:
        self._app = app
        self._token = token.encode("utf-8")
        self._hosts = _names(address) if address.is_loopback else None
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        assert scope["type"] == "http", "there are no websockets, and the lifespan is the server's"
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["Date"] = formatdate(usegmt=True)
                headers.update(_HEADERS)
                headers.setdefault("Content-Security-Policy", _POLICY)
            await send(message)

        self._under_way += 1
        try:
            self._check(scope)
        except Refusal as refusal:
            await refusal_response(refusal)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)
        finally:
            self._under_way -= 1
            _log(scope, status, time.perf_counter() - started)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if _head_bytes(scope) > HEAD_BYTES_MAX:  # a parser sees a limit only where a head comes in parts
            raise Refusal(431, f"a request's head may have {HEAD_BYTES_MAX} bytes", "Use POST with a body.")
        if self._hosts is not None and headers.get("host", "").lower() not in self._hosts:
            raise Refusal(
                421, "this name is not the daemon's", "Use the address that `reindex status` shows."
            )
        is_open = scope["path"] in SHOWN_TO_ALL and not scope["query_string"]
        if self._token and not is_open and not self._is_known(headers.getlist("authorization")):
            raise Refusal(
                401,
                "a token is needed",
                "Send the header `Authorization: Bearer TOKEN` with the configured [daemon] token.",
                headers={"WWW-Authenticate": 'Bearer realm="reindex"'},
            )
        if scope["method"] not in _READING and not _is_same_site(headers):
            raise Refusal(403, "a page of another site asked for this", "Only the daemon's own page may.")
        if self._under_way > REQUESTS_MAX and scope["path"] not in OPEN_PATHS:
            raise Refusal(503, f"{REQUESTS_MAX} requests are under way already", "Try again in a moment.")

    def _is_known(self, given: Iterable[str]) -> bool:
        scheme, _, shown = ",".join(given).partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            shown.strip().encode("latin-1"), self._token
        )


def _names(address: Address) -> frozenset[str]:
    hosts = {"localhost", "127.0.0.1", "[::1]", address.host.lower(), address.ip.lower()}
    named = {f"[{host}]" if ":" in host and not host.startswith("[") else host for host in hosts}
    return frozenset({*named, *(f"{host}:{address.port}" for host in named)})


def _head_bytes(scope: Scope) -> int:
    target = len(scope["raw_path"]) + len(scope["query_string"])
    return target + sum(len(name) + len(value) for name, value in scope["headers"])


def _is_same_site(headers: Headers) -> bool:
    """No browser asks, or for a page that came from here."""
    host = headers.get("host", "").lower()
    return all(
        origin.lower() in {f"http://{host}", f"https://{host}"} for origin in headers.getlist("origin")
    )


def _log(scope: Scope, status: int, duration_s: float) -> None:
    """Without the query: what somebody looks for is nobody else's business."""
    logger.debug(
        "%s %s %d",
        scope["method"],
        scope["raw_path"].decode("ascii", "replace"),
        status,
        extra={
            "event": "request",
            "method": scope["method"],
            "path": scope["raw_path"].decode("ascii", "replace"),
            "status": status,
            "duration_ms": round(duration_s * 1000, 3),
            "client": (scope.get("client") or ("", 0))[0],
        },
    )
