"""Asking the daemon over HTTP: one request, one answer, on a connection of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reindex.errors import ExitCode, ReindexError

CONNECT_TIMEOUT_S = 2.0
ANSWER_TIMEOUT_S = 60.0
ANSWER_BYTES_MAX = 1 << 30


class UnreachableError(Exception):
    """Nobody listens: nothing was asked."""


class NoAnswerError(Exception):
    """It was asked, and no answer came, or none that a daemon would give."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask for. With `body` it is a POST of a JSON object; `makes_task`: the answer is a task that may
    not be over. `waits`: a daemon that still starts is not asked yet.
    """

    path: str
    query: Sequence[tuple[str, object]] = ()
    body: Mapping[str, object] | None = None
    makes_task: bool = False
    waits: bool = True


def order(path: str, *, waits: bool = True, **options: object) -> Request:
    """Of a writing command; options that are None are not given."""
    return Request(path, body=_given(options), makes_task=True, waits=waits)


def question(path: str, **options: object) -> Request:
    """Whose parameters go as a JSON object: text of any length, and of bytes that are no UTF-8."""
    return Request(path, body=_given(options))


@dataclass(frozen=True, slots=True)
class Answer:
    """`value` is what the daemon says: of a status from 400 on, a problem."""

    status: int
    value: dict[str, Any]

    def checked(self) -> dict[str, Any]:
        """The value. A problem is raised as the error that the command would have met itself."""
        if self.status >= 400:
            message = self.value.get("detail") or self.value.get("title") or f"HTTP status {self.status}"
            raise RefusedError(message, self.value.get("hint"), self.value.get("exit_code"))
        return self.value


class RefusedError(ReindexError):
    """An error that the daemon met, with the exit code that goes with it."""

    def __init__(self, message: object, hint: object, exit_code: object) -> None:
        super().__init__(str(message), str(hint or ""))
        known = (code for code in ExitCode if code == exit_code and code is not ExitCode.OK)
        self.exit_code = next(known, ExitCode.ERROR)


@dataclass(frozen=True, slots=True)
class Connection:
    """A daemon's address, and the token that it wants to see ("": none). No proxy is ever asked."""

    url: str
    token: str = ""

    def ask(self, request: Request, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> Answer:
        """Raises UnreachableError and NoAnswerError."""
        from http.client import HTTPConnection, HTTPException
        from urllib.parse import urlencode, urlsplit

        place = urlsplit(self.url)
        target = request.path
        if request.query:
            target += "?" + urlencode(request.query, errors="surrogateescape")
        body = None if request.body is None else json.dumps(request.body).encode("ascii")
        connection = HTTPConnection(place.hostname or "", place.port, timeout=CONNECT_TIMEOUT_S)
        try:
            connection.connect()
        except OSError as error:
            raise UnreachableError(str(error)) from error
        try:
            connection.sock.settimeout(answer_timeout_s)
            connection.request("GET" if body is None else "POST", target, body, self._headers())
            response = connection.getresponse()
            content = response.read(ANSWER_BYTES_MAX)
            value = json.loads(content)
        except (OSError, HTTPException, ValueError) as error:
            raise NoAnswerError(str(error) or type(error).__name__) from error
        finally:
            connection.close()
        if not isinstance(value, dict):
            raise NoAnswerError("the answer is no JSON object")
        return Answer(response.status, value)

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Connection": "close"}
        return headers | {"Authorization": f"Bearer {self.token}"} if self.token else headers


def _given(options: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}
