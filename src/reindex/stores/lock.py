"""One writer: a lock that the kernel frees with the process, whatever kills it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reindex.errors import DiskError, LockedError

_FILE = "lock"


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
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(
                f"{data_dir} is being written by {_holder(descriptor)}",
                "Wait for it to finish; readers (query, status) need no lock.",
            ) from None
        note = json.dumps({"pid": os.getpid(), "command": command, "since": now}).encode()
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note, 0)
        except OSError as error:
            raise DiskError(f"{data_dir / _FILE}: {error.strerror}", "Free some disk space.") from error
        yield
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
