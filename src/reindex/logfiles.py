"""A daemon's log on disk: written with a limit on its size, and read again across its rotations."""

import contextlib
import logging
import os
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

LOG_BYTES_MAX = 10_000_000
LOG_FILES_KEPT = 3
"""Beside the one that is written: daemon.log.1 is the youngest of them."""

_READ_BYTES = 1 << 16
_LINE_BYTES_MAX = 1 << 20


def log_path(data_dir: Path) -> Path:
    """Where the daemon of a data directory writes its log."""
    return data_dir / "logs" / "daemon.log"


def open_log(path: Path) -> int:
    """A descriptor that appends to a log; it is made if absent, for its owner's eyes only. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


class LogFile(logging.Handler):
    """Writes lines to a log file. At its limit the file is put aside; one that somebody else moved or removed
    is made again. A line that can't be written is counted, and the count is told with the next one that can.

    With `takes_output` the process's own stdout and stderr follow the file, so that what a crashing library
    says is in it.
    """

    def __init__(self, path: Path, *, takes_output: bool, bytes_max: int = LOG_BYTES_MAX) -> None:
        super().__init__()
        self._path = path
        self._takes_output = takes_output
        self._bytes_max = bytes_max
        self._descriptor = -1
        self._lost = 0
        self._is_torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """One line. Never raises: what logs must not fail for it."""
        try:
            line = self.format(record)
            if self._lost:
                line = f"{self.format(_lost_record(self._lost))}\n{line}"
        except Exception:  # noqa: BLE001 (as logging itself does: an argument that can't be shown)
            self.handleError(record)
            return
        try:
            self._write(f"{line}\n".encode(errors="backslashreplace"))
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    def close(self) -> None:
        """Close the file; stdout and stderr stay where they are."""
        with self.lock or contextlib.nullcontext():
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1
        super().close()

    def _write(self, content: bytes) -> None:
        if self._descriptor < 0 or not _is_at(self._path, self._descriptor):
            self._open()
        elif os.fstat(self._descriptor).st_size + len(content) > self._bytes_max:
            _put_aside(self._path)
            self._open()
        if self._is_torn:
            content = b"\n" + content
        written = os.write(self._descriptor, content)
        self._is_torn = written < len(content)
        if self._is_torn:  # the disk is full in the middle of a line
            raise OSError

    def _open(self) -> None:
        descriptor = open_log(self._path)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        if self._takes_output:
            os.dup2(descriptor, 1)
            os.dup2(descriptor, 2)


def last_lines(path: Path, count: int) -> list[bytes]:
    """The last lines of a log and of the files that were put aside before it, oldest first, without their
    ends. Empty where there is no log. Raises OSError.
    """
    found: deque[bytes] = deque(maxlen=count)
    for each in [*reversed(_aside(path)), path]:
        with contextlib.suppress(FileNotFoundError), each.open("rb") as file:
            found.extend(line.rstrip(b"\n") for line in file)
    return list(found)


class Follower:
    """Reads a log as it grows, across rotation, removal and truncation. It begins at the end of the file,
    or at `position` (bytes) in it.
    """

    def __init__(self, path: Path, position: int | None = None) -> None:
        self._path = path
        self._rest = b""
        self._descriptor = _open_to_read(path)
        if self._descriptor >= 0:
            size = os.fstat(self._descriptor).st_size
            os.lseek(self._descriptor, size if position is None else min(position, size), os.SEEK_SET)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def lines(self) -> Iterator[bytes]:
        """Every whole line that came since the last time, without its end."""
        while True:
            yield from self._rest_of_file()
            if self._descriptor >= 0 and _is_at(self._path, self._descriptor):
                return
            following = self._following()
            if following < 0:
                return
            yield from self._rest_of_file()  # what came before it was put aside
            if self._rest:
                yield self._rest
                self._rest = b""
            self.close()
            self._descriptor = following

    def _rest_of_file(self) -> Iterator[bytes]:
        if self._descriptor < 0:
            return
        if os.lseek(self._descriptor, 0, os.SEEK_CUR) > os.fstat(self._descriptor).st_size:
            os.lseek(self._descriptor, 0, os.SEEK_SET)  # truncated under us
            self._rest = b""
        while content := os.read(self._descriptor, _READ_BYTES):
            *lines, self._rest = (self._rest + content).split(b"\n")
            yield from lines
            if len(self._rest) > _LINE_BYTES_MAX:
                yield self._rest
                self._rest = b""

    def _following(self) -> int:
        """The file that was begun after the one we have: it may have been put aside meanwhile as well."""
        if self._descriptor >= 0:
            files = [self._path, *_aside(self._path)]
            for younger, each in pairwise(files):
                if _is_at(each, self._descriptor):
                    return _open_to_read(younger)
        return _open_to_read(self._path)


def _aside(path: Path) -> list[Path]:
    """The files that were put aside, youngest first; not all need be there."""
    return [path.with_name(f"{path.name}.{number}") for number in range(1, LOG_FILES_KEPT + 1)]


def _put_aside(path: Path) -> None:
    files = [path, *_aside(path)]
    for younger, older in reversed(list(pairwise(files))):
        with contextlib.suppress(FileNotFoundError):
            younger.replace(older)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat()
    except OSError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _open_to_read(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _lost_record(count: int) -> logging.LogRecord:
    return logging.LogRecord(
        __name__, logging.WARNING, __file__, 0, "%d lines of log could not be written", (count,), None
    )
