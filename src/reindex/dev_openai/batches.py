"""The batches of the account: what each is and shows, and creating, listing and cancelling them."""

from __future__ import annotations

import itertools
import secrets
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reindex.dev_openai.batch_input import Contents, Problem
from reindex.dev_openai.faults import BATCH, Faults
from reindex.dev_openai.files import Files, cut_page, read_expiry
from reindex.dev_openai.options import Clock, Options
from reindex.dev_openai.refusals import Refusal, no_batch, no_file

ENDPOINT = "/v1/embeddings"
_PAIRS_MAX, _KEY_MAX, _VALUE_MAX = 16, 64, 512


class Status(StrEnum):
    """Of a batch, as the API names it."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


TERMINAL = frozenset({Status.FAILED, Status.COMPLETED, Status.EXPIRED, Status.CANCELLED})
_STAMPED = tuple(status for status in Status if status is not Status.VALIDATING)


@dataclass(slots=True, eq=False)
class Batch:
    """A batch. Written by the worker's thread, and by requests, under the lock of `Batches`."""

    id: str
    number: int  # order of creation, from 1
    endpoint: str
    input_file_id: str
    metadata: dict[str, str] | None
    output_expires_s: int | None
    created: float
    expires_at: int
    status: Status = Status.VALIDATING
    entered: float = 0.0  # its status, on the server's clock
    stamps: dict[Status, int] = field(default_factory=dict)
    total: int = 0
    completed: int = 0
    failed: int = 0
    tokens: int = 0  # of the lines that were answered
    contents: Contents | None = None
    problems: list[Problem] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None
    is_executed: bool = False
    progress: float | None = None  # the share of its lines that is done when it is stopped; None: by time
    is_hurried: bool = False  # neither held nor delayed any more
    faults: tuple[Any, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it may still change."""
        return self.status not in TERMINAL

    def to_json(self, options: Options) -> dict[str, Any]:
        """The API's object."""
        is_over = not self.is_open
        usage = {
            "input_tokens": self.tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": self.tokens,
        }
        errors = {"object": "list", "data": [problem.to_json() for problem in self.problems]}
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": errors if self.problems else None,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status.upper() if options.has_upper_case else self.status.value,
            "output_file_id": (is_over and self.output_file_id) or options.no_id,
            "error_file_id": (is_over and self.error_file_id) or options.no_id,
            "created_at": int(self.created),
            "expires_at": self.expires_at,
            **{f"{status.value}_at": self.stamps.get(status) for status in _STAMPED},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "metadata": self.metadata,
            "usage": usage if is_over else None,
            "model": self.contents.model if is_over and self.contents else None,
        }


class Batches:
    """Used by several threads. `changed` is notified when a batch is created or changed from outside."""

    def __init__(self, files: Files, faults: Faults, clock: Clock, options: Options) -> None:
        self._files, self._faults, self._clock, self._options = files, faults, clock, options
        self._batches: dict[str, Batch] = {}
        self._numbers = itertools.count(1)
        self.changed = threading.Condition(threading.RLock())

    def create(self, body: dict[str, Any]) -> Batch:
        """Raises Refusal."""
        if body.get("endpoint") != ENDPOINT:
            raise Refusal(400, f"Invalid value for 'endpoint': '{body.get('endpoint')}'.", param="endpoint")
        if body.get("completion_window") != "24h":
            raise Refusal(
                400,
                f"Invalid value: '{body.get('completion_window')}'. Supported values are: '24h'.",
                param="completion_window",
                code="invalid_value",
            )
        metadata = _read_metadata(body.get("metadata"))
        expiry = body.get("output_expires_after")
        expires_s = None
        if expiry is not None:
            given = expiry if isinstance(expiry, dict) else {}
            expires_s = read_expiry(given.get("seconds"), given.get("anchor"), "output_expires_after")
        file_id = self._input_file(body.get("input_file_id"))
        now = self._clock.now()
        with self.changed:
            batch = Batch(
                id=f"batch_{secrets.token_hex(16)}",
                number=next(self._numbers),
                endpoint=ENDPOINT,
                input_file_id=file_id,
                metadata=metadata,
                output_expires_s=expires_s,
                created=now,
                expires_at=int(now) + self._options.window_s,
                entered=now,
            )
            batch.faults = self._faults.take(BATCH, batch)
            self._batches[batch.id] = batch
            self.changed.notify_all()
        return batch

    def get(self, batch_id: str, *, is_fresh_missing: bool = True) -> Batch:
        """Raises Refusal: there is none, or not yet."""
        with self.changed:
            batch = self._batches.get(batch_id)
        if batch is None:
            raise no_batch(batch_id)
        if is_fresh_missing and self._clock.now() - batch.created < self._options.fresh_missing_s:
            raise no_batch(batch_id)
        return batch

    def shown(self, batch: Batch) -> dict[str, Any]:
        """The API's object, as of one moment."""
        with self.changed:
            return batch.to_json(self._options)

    def page(self, after: str, limit: int) -> tuple[list[Batch], bool]:
        """Newest first, and whether there is more. Raises Refusal for an unknown cursor."""
        now = self._clock.now()
        shown = [batch for batch in self.all() if now - batch.created >= self._options.listing_lag_s]
        return cut_page(shown[::-1], after, limit)

    def cancel(self, batch: Batch) -> None:
        """Begin to. Again: nothing. Raises Refusal when it is over otherwise."""
        with self.changed:
            if batch.status in {Status.CANCELLING, Status.CANCELLED}:
                return
            if not batch.is_open:
                raise Refusal(409, f"Cannot cancel a batch with status '{batch.status}'.")
            self.move(batch, Status.CANCELLING)

    def move(self, batch: Batch, status: Status) -> None:
        """To its next status, now."""
        now = self._clock.now()
        with self.changed:
            batch.status, batch.entered = status, now
            batch.stamps[status] = int(now)
            self.changed.notify_all()

    def all(self) -> list[Batch]:
        """Oldest first."""
        with self.changed:
            return list(self._batches.values())

    def _input_file(self, file_id: Any) -> str:
        try:
            file = self._files.get(str(file_id))
        except Refusal:
            raise no_file(str(file_id), 400, "input_file_id") from None
        if file.purpose != "batch":
            raise Refusal(
                400, f"Invalid file purpose '{file.purpose}': must be 'batch'.", param="input_file_id"
            )
        return file.id


def _read_metadata(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise Refusal(
            400, "Invalid type for 'metadata': expected an object with string values.", param="metadata"
        )
    if len(value) > _PAIRS_MAX:
        raise _beyond(
            "metadata",
            f"too many properties. Expected an object with at most {_PAIRS_MAX} properties, "
            f"but got an object with {len(value)} properties instead.",
            "object_above_max_properties",
        )
    for key, text in value.items():
        for what, content, limit in (("key", key, _KEY_MAX), ("value", text, _VALUE_MAX)):
            if len(content) > limit:
                raise _beyond(
                    f"metadata.{key[:_KEY_MAX]}",
                    f"{what} too long. Expected a string with maximum length {limit}, "
                    f"but got a string with length {len(content)} instead.",
                    "string_above_max_length",
                )
    return dict(value)


def _beyond(name: str, message: str, code: str) -> Refusal:
    return Refusal(400, f"Invalid '{name}': {message}", param=name, code=code)
