"""A keeper in a thread of the test, over a folder of documents, with a model that is none."""

import ctypes
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest

from doubles import House
from reindex import changes
from reindex.core import guard, settling
from reindex.daemon import retries, schedule
from reindex.daemon.condition import Condition
from reindex.daemon.keeper import Keeper
from reindex.settings import DaemonSettings
from reindex.sources import inotify, roots
from reindex.tasks import Tasks
from served import served

__all__ = ["served"]

LIMIT_S = 180.0


def no_commands(app, task, progress):
    raise AssertionError(task.command)


class Kept:
    """A house that a keeper keeps fresh. `until` waits for a condition, with a limit."""

    def __init__(self, house, perform=no_commands, *, awaits_ready=True):
        self.house = house
        self._awaits_ready = awaits_ready
        self.tasks = Tasks()
        self.condition = Condition()
        self.keeper = Keeper(house.app, self.tasks, self.condition, perform)
        self._thread = threading.Thread(target=self.keeper.run, name="keeper")

    def __enter__(self):
        self._thread.start()
        if self._awaits_ready:
            self.until(lambda: self.condition.is_ready)
        return self

    def __exit__(self, *_):
        self.keeper.stop()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def until(self, is_so, limit_s=LIMIT_S):
        end = time.monotonic() + limit_s
        while not is_so():
            assert time.monotonic() < end, f"{is_so} {self.condition}"
            time.sleep(0.01)

    @property
    def is_idle(self):
        condition = self.condition
        return condition.waiting == 0 and condition.phase == "" and condition.postponed == 0

    def look_at_everything(self):
        """As it does periodically."""
        self.keeper._schedule.is_everything_due = True
        self.keeper._wake()

    def until_equal(self, limit_s=LIMIT_S):
        """Until the index equals the disk. It is not asked to look: what is missed stays missed."""
        found = []

        def is_equal():
            found[:] = [self.house.verify()] if self.is_idle else []
            return found and found[0].ok

        try:
            self.until(is_equal, limit_s)
        except AssertionError as error:
            raise AssertionError(f"{self.condition}\n{found}") from error


class LossyQueue:
    """The kernel's queue of events, which runs over when it is told to."""

    def __init__(self):
        self._is_losing = threading.Event()

    def lose(self):
        """What is in the queue, and what comes next, is lost."""
        self._is_losing.set()

    def read(self, instance, plain):
        plain(instance)
        if self._is_losing.is_set():
            with instance._lock:
                instance._buffers.clear()
                instance._buffers.append(inotify._HEADER.pack(-1, inotify.OVERFLOWN, 0, 0))
            self._is_losing.clear()


@pytest.fixture
def lossy_queue(monkeypatch):
    queue = LossyQueue()
    plain = inotify.Inotify._read
    monkeypatch.setattr(inotify.Inotify, "_read", lambda self: queue.read(self, plain))
    return queue


@pytest.fixture
def quickly(monkeypatch):
    """The quiet times of bursts and open files, and the pauses between looks, a tenth of what they are."""
    monkeypatch.setattr(settling, "OPEN_QUIET_S", 0.25)
    monkeypatch.setattr(settling, "BURST_QUIET_S", (0.05, 0.25))
    monkeypatch.setattr(settling, "WAIT_MAX_S", 3.0)
    monkeypatch.setattr(roots, "EVERY_S", 0.5)
    monkeypatch.setattr(schedule, "RETRY_S", (0.5, 5.0))
    monkeypatch.setattr(retries, "RETRY_S", (0.5, 5.0))
    monkeypatch.setattr(schedule, "BACKOFF_S", (0.1, 1.0))


@pytest.fixture
def no_guard(monkeypatch):
    """Many documents may go at once: a source with held deletions is looked at whole, which hides misses."""
    monkeypatch.setattr(guard, "HOLD_DOCUMENTS", 10**6)
    monkeypatch.setattr(changes, "HOLD_DOCUMENTS", 10**6)


@pytest.fixture
def no_override():
    """This thread, and those that it starts, may read only what its user may: root may read everything."""
    if os.geteuid():
        yield
        return
    with effective_without(CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        yield


CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
_CAPABILITIES_V3 = 0x20080522


@contextmanager
def effective_without(*capabilities):
    """Capabilities of this thread put aside."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3, 0)
    held = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable, and the same of the upper half
    assert libc.capget(header, held) == 0
    reduced = (ctypes.c_uint32 * 6)(*held)
    for number in capabilities:
        reduced[0] &= ~(1 << number)
    assert libc.capset(header, reduced) == 0
    try:
        yield
    finally:
        assert libc.capset(header, held) == 0


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    # Periodic looks at everything would hide what the watcher misses.
    made.settings = replace(made.settings, daemon=DaemonSettings(http="", reconcile_s=1e9, poll_s=0.3))
    return made


@pytest.fixture
def kept(house):
    house.write("first.md", "The first document of all.")
    with Kept(house) as kept:
        yield kept
