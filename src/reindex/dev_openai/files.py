"""The files of the account, on disk in one folder: never whole in memory."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from reindex.dev_openai.options import DEFAULT_EXPIRY_S, Clock, Options
from reindex.dev_openai.refusals import Refusal, no_file

LIST_MAX = 10_000
EXPIRY_MIN_S, EXPIRY_MAX_S = 3600, DEFAULT_EXPIRY_S


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Listed = TypeVar("Listed", bound=_HasId)


@dataclass(slots=True, eq=False)
class File:
    """A file of the account. Times are seconds since the epoch; `number` is the order of creation."""

    id: str
    number: int
    filename: str
    purpose: str
    path: Path
    created: float
    expires_at: int | None = None
    bytes: int = 0
    is_fetched: bool = False  # its content was sent to the end

    def to_json(self) -> dict[str, Any]:
        """The API's object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": int(self.created),
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class Files:
    """Used by several threads; contents are written by one each, before `publish`."""

    def __init__(self, folder: Path, clock: Clock, options: Options) -> None:
        self._folder, self._clock, self._options = folder, clock, options
        self._lock = threading.Lock()
        self._files: dict[str, File] = {}
        self._numbers = itertools.count()

    def new_path(self) -> Path:
        """Where a content may be written."""
        return self._folder / secrets.token_hex(12)

    def publish(self, path: Path, filename: str, purpose: str, expires_s: int | None) -> File:
        """The file whose content is whole at `path`."""
        now = self._clock.now()
        if expires_s is None and purpose in {"batch", "batch_output"}:
            expires_s = DEFAULT_EXPIRY_S
        with self._lock:
            file = File(
                id=f"file-{secrets.token_urlsafe(16).replace('-', 'A').replace('_', 'B')}",
                number=next(self._numbers),
                filename=filename,
                purpose=purpose,
                path=path,
                created=now,
                expires_at=None if expires_s is None else int(now) + expires_s,
                bytes=path.stat().st_size,
            )
            self._files[file.id] = file
        return file

    def get(self, file_id: str, *, is_fresh_missing: bool = True) -> File:
        """Raises Refusal: there is none, not yet, or no longer."""
        now = self._clock.now()
        with self._lock:
            file = self._files.get(file_id)
        if file is None or (file.expires_at is not None and now >= file.expires_at):
            raise no_file(file_id)
        if is_fresh_missing and now - file.created < self._options.fresh_missing_s:
            raise no_file(file_id)
        return file

    def delete(self, file_id: str) -> None:
        """Raises Refusal when there is none."""
        self.get(file_id)
        self.discard(file_id)

    def discard(self, file_id: str) -> None:
        """It is gone, if it was there."""
        with self._lock:
            file = self._files.pop(file_id, None)
        if file is not None:
            file.path.unlink(missing_ok=True)

    def page(self, *, purpose: str, after: str, limit: int, is_ascending: bool) -> tuple[list[File], bool]:
        """A page of the list, and whether there is more. Raises Refusal for an unknown cursor."""
        now = self._clock.now()
        files = [
            file
            for file in self.all()
            if (not purpose or file.purpose == purpose) and (file.expires_at is None or now < file.expires_at)
        ]
        files.sort(key=lambda file: file.number, reverse=not is_ascending)
        return cut_page(files, after, limit)

    def all(self) -> list[File]:
        """Every file that was not deleted, oldest first; expired ones too."""
        with self._lock:
            return list(self._files.values())


def cut_page(rows: Sequence[Listed], after: str, limit: int) -> tuple[list[Listed], bool]:
    """The rows behind the one with the id `after`, and whether more follow. Raises Refusal: no such row."""
    start = 0
    if after:
        places = [place for place, row in enumerate(rows) if row.id == after]
        if not places:
            raise Refusal(400, f"Invalid cursor: no object with id '{after}'.", param="after")
        start = places[0] + 1
    return list(rows[start : start + limit]), start + limit < len(rows)


def read_expiry(seconds: Any, anchor: Any, name: str) -> int:
    """Seconds of an `expires_after`. Raises Refusal."""
    if anchor != "created_at":
        raise Refusal(
            400, f"Invalid value for '{name}.anchor': must be 'created_at'.", param=f"{name}.anchor"
        )
    try:
        value = int(seconds)
    except (TypeError, ValueError):
        value = 0
    if not EXPIRY_MIN_S <= value <= EXPIRY_MAX_S:
        raise Refusal(
            400,
            f"Invalid value for '{name}.seconds': must be between {EXPIRY_MIN_S} and {EXPIRY_MAX_S}.",
            param=f"{name}.seconds",
        )
    return value
