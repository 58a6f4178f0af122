"""Is there a daemon for a data directory, and where: a locked file that says so.

The lock is the truth: the kernel frees it with the process, whatever ends it. What stands in the file is
information, believed only while the lock is held.
"""

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from reindex.errors import DiskError, LockedError

_FILE = "daemon.json"
_ATTEMPTS = 20  # who asks holds the file for an instant
_ATTEMPT_S = 0.01
_NOTE_BYTES_MAX = 65536


@dataclass(frozen=True, slots=True)
class Presence:
    """A daemon that runs. `url` is "" while it is not reachable (yet, or at all); `since` is in seconds since
    the epoch, `started_ticks` the kernel's own start time of the process, by which a reused pid is told.
    """

    pid: int
    url: str
    version: str
    since: float
    is_ready: bool = False
    started_ticks: int = 0


_FIELDS = tuple(each.name for each in fields(Presence))  # another version's note may have more


class Announcement:
    """A daemon's own presence, for as long as it lives."""

    def __init__(self, data_dir: Path, descriptor: int, presence: Presence) -> None:
        self._data_dir = data_dir
        self._descriptor = descriptor
        self.presence = presence

    @property
    def is_there(self) -> bool:
        """Whether it can be found: not when the data directory was removed, or replaced."""
        return _is_at(self._data_dir / _FILE, self._descriptor)

    def renew(self) -> None:
        """Announce it again in the data directory as it is now, if there is one.

        Raises LockedError when another daemon is there, and DiskError.
        """
        if not self._data_dir.is_dir():
            return
        descriptor = _open_locked(self._data_dir)
        os.close(self._descriptor)
        self._descriptor = descriptor
        _write(descriptor, self.presence)

    def end(self) -> None:
        """There is no daemon any more."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)

    def change(self, *, url: str | None = None, is_ready: bool | None = None) -> None:
        """Tell more of it. Raises DiskError."""
        self.presence = replace(
            self.presence,
            url=self.presence.url if url is None else url,
            is_ready=self.presence.is_ready if is_ready is None else is_ready,
        )
        _write(self._descriptor, self.presence)


@contextmanager
def announce(data_dir: Path, version: str, now: float) -> Iterator[Announcement]:
    """Be the daemon of a data directory. Raises LockedError naming the one that is there, and DiskError."""
    presence = Presence(os.getpid(), "", version, now, started_ticks=started_ticks(os.getpid()))
    announcement = Announcement(data_dir, _open_locked(data_dir), presence)
    try:
        announcement.change()
        yield announcement
    finally:
        announcement.end()


def find_daemon(data_dir: Path) -> Presence | None:
    """The daemon of a data directory, or None. Takes no part in who may be one for more than an instant."""
    try:
        descriptor = os.open(data_dir / _FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for _ in range(_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                presence = _read(descriptor)
                if presence is not None:
                    return presence
                time.sleep(_ATTEMPT_S)  # it has the lock, and is about to write
            else:
                return None
        return None
    finally:
        os.close(descriptor)


def send_signal(presence: Presence, number: signal.Signals) -> bool:
    """Signal that very process. False when it is gone, also when another one has its number by now."""
    try:
        handle = os.pidfd_open(presence.pid)
    except ProcessLookupError:
        return False
    try:
        if started_ticks(presence.pid) != presence.started_ticks:
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def started_ticks(pid: int) -> int:
    """When the kernel started a process, in its clock ticks since boot; 0 where that can't be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def _open_locked(data_dir: Path) -> int:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data_dir / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DiskError(
            f"the data directory {data_dir} can't be written: {error.strerror}",
            "Choose another with --data-dir, or mend its permissions.",
        ) from error
    if not _lock(descriptor):
        there = _read(descriptor)
        os.close(descriptor)
        who = f": {_shown(there)}" if there is not None else ""
        raise LockedError(f"a daemon is already running for {data_dir}{who}", "`reindex stop` ends it.")
    return descriptor


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _lock(descriptor: int) -> bool:
    for attempt in range(_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_ATTEMPT_S)
        else:
            return True
    return False


def _write(descriptor: int, presence: Presence) -> None:
    note = json.dumps(asdict(presence)).encode()
    try:
        os.pwrite(descriptor, note, 0)
        os.ftruncate(descriptor, len(note))
    except OSError as error:
        raise DiskError(f"{_FILE} can't be written: {error.strerror}", "Free some disk space.") from error


def _read(descriptor: int) -> Presence | None:
    try:
        note = json.loads(os.pread(descriptor, _NOTE_BYTES_MAX, 0))
        return Presence(**{name: note[name] for name in _FIELDS if name in note})
    except (ValueError, TypeError):  # being written
        return None


def _shown(presence: Presence) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(presence.since))
    return f"process {presence.pid}, {presence.url or 'no HTTP'}, since {since}"
