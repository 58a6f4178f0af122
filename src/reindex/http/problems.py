"""Refusals and failures as problem details (RFC 9457), with our `hint` and `exit_code` beside."""

import json
from http import HTTPStatus

from starlette.responses import Response

from reindex.errors import (
    ConfigError,
    EmbeddingError,
    ExitCode,
    LockedError,
    ModelError,
    NothingIndexedError,
    ReindexError,
    StoreError,
)
from reindex.tasks import TooManyTasksError

_STATUSES: tuple[tuple[type[ReindexError], int], ...] = (
    (ConfigError, 422),
    (NothingIndexedError, 404),
    (LockedError, 409),
    (TooManyTasksError, 429),
    (ModelError, 503),
    (EmbeddingError, 503),
    (StoreError, 503),
)
_RETRY_AFTER_S = {429: 1, 503: 1}


class Refusal(Exception):  # noqa: N818 (it is the client's error, not ours)
    """A request that is not served. `status` is HTTP's."""

    def __init__(
        self,
        status: int,
        detail: str,
        hint: str = "",
        *,
        exit_code: ExitCode = ExitCode.ERROR,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.hint = hint
        self.exit_code = exit_code
        self.headers = headers or {}


def refusal_response(refusal: Refusal) -> Response:
    """The same as an answer."""
    return _problem(
        refusal.status, "about:blank", refusal.detail, refusal.hint, refusal.exit_code, refusal.headers
    )


def error_response(error: ReindexError) -> Response:
    """What a command would have said on stderr, and its exit code."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    name = "".join("-" * c.isupper() + c.lower() for c in type(error).__name__.removesuffix("Error"))
    return _problem(status, f"urn:reindex:{name.lstrip('-')}", error.message, error.hint, error.exit_code, {})


def bug_response() -> Response:
    """Something that must not happen: the log says what."""
    hint = "The daemon's log has the details: `reindex logs`."
    return _problem(500, "about:blank", "an error inside the daemon", hint, ExitCode.ERROR, {})


def _problem(
    status: int, kind: str, detail: str, hint: str, exit_code: ExitCode, headers: dict[str, str]
) -> Response:
    value = {
        "type": kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "hint": hint,
        "exit_code": int(exit_code),
    }
    if status in _RETRY_AFTER_S:
        headers = {"Retry-After": str(_RETRY_AFTER_S[status]), **headers}
    return Response(json.dumps(value).encode("ascii"), status, headers, "application/problem+json")
