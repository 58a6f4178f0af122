"""One writer: a lock that the kernel frees with the process, whatever kills it."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reindex.errors import DiskError, LockedError

_FILE = "lock"
_PATIENCE_S = 0.1


@contextmanager
def writer_lock(data_dir: Path, command: str, now: float) -> Iterator[None]:
    """Hold the data directory for writing; made if absent. LockedError names who has it.

    What stands in the file is information; the flock is the truth.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DiskError(
            f"the data directory {data_dir} can't be written: {error.strerror}",
            "Choose another with --data-dir, or mend its permissions.",
        ) from error
    try:
        if not _taken(descriptor):
            raise LockedError(
                f"{data_dir} is being written by {_holder(descriptor)}",
                "Wait for it to finish; readers (query, status) need no lock.",
            )
        note = json.dumps({"pid": os.getpid(), "command": command, "since": now}).encode()
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note, 0)
        except OSError as error:
            raise DiskError(f"{data_dir / _FILE}: {error.strerror}", "Free some disk space.") from error
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Try for a moment: `lock_holder` of another process may hold the lock for some microseconds."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PATIENCE_S / 10)
        else:
            return True


def lock_holder(data_dir: Path) -> dict[str, object] | None:
    """Who writes to the data directory now, or None. Takes nothing and writes nothing."""
    try:
        descriptor = os.open(data_dir / _FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _note(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _note(descriptor: int) -> dict[str, object]:
    try:
        value = json.loads(os.pread(descriptor, 4096, 0))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _holder(descriptor: int) -> str:
    note = _note(descriptor)
    return f"process {note.get('pid', '?')} (reindex {note.get('command', '?')})"
