"""One writer: a lock that the kernel frees with the process, whatever kills it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reindex.errors import DiskError, LockedError

_FILE = "lock"


class Lock:
    """The lock while it is held."""

    def __init__(self, data_dir: Path, descriptor: int) -> None:
        self._data_dir = data_dir
        self._descriptor = descriptor

    def check(self) -> None:
        """Raise DiskError if the data directory is not the one any more that was locked: what is written by
        its path would go into another, which may have a writer of its own.
        """
        held = os.fstat(self._descriptor)
        try:
            there = (self._data_dir / _FILE).stat()
        except OSError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != (held.st_dev, held.st_ino):
            raise DiskError(
                f"the data directory {self._data_dir} was removed or replaced while it was written",
                "Run the command again: what is missing is made anew.",
            )


@contextmanager
def writer_lock(data_dir: Path, command: str, now: float) -> Iterator[Lock]:
    """Hold the data directory for writing; made if absent. LockedError names who has it.

    What stands in the file is information; the flock is the truth. After a Ctrl-C it is held until the
    process has ended: LanceDB's own threads may still be about to commit.
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
        yield Lock(data_dir, descriptor)
    except KeyboardInterrupt:
        raise
    except BaseException:
        os.close(descriptor)
        raise
    else:
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
