"""Ending a daemon, and telling it to read its configuration anew: signals to that very process."""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from reindex.daemon.asking import ask
from reindex.errors import ReindexError
from reindex.presence import Presence, find_daemon, send_signal, started_ticks

STOP_MARGIN_S = 5.0
"""On top of what the daemon allows itself: to close its stores, and for the kernel to take it away."""

KILL_LIMIT_S = 10.0
RELOAD_LIMIT_S = 30.0
_POLL_S = 0.02


class Ending(StrEnum):
    """How it went."""

    NOT_RUNNING = "not running"
    STOPPED = "stopped"
    KILLED = "killed"
    STILL_THERE = "still there"


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of a daemon; `presence` is None where there was none."""

    ending: Ending
    presence: Presence | None = None
    took_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reloaded:
    """`ok` is None where the daemon was told, and there is no way to learn what came of it. `error` says why
    it kept its old configuration.
    """

    presence: Presence
    ok: bool | None
    error: str = ""


def stop_daemon(data_dir: Path, limit_s: float, *, kills: bool) -> Stopped:
    """Ask the daemon to end, and wait until it is gone; after `limit_s` kill it, if that is wanted.

    Raises ReindexError where it is there and can't be signalled.
    """
    begun = time.monotonic()
    presence = find_daemon(data_dir)
    if presence is None:
        return Stopped(Ending.NOT_RUNNING)
    with _handle(data_dir, presence) as handle:
        ending = Ending.STOPPED
        if handle is not None:
            _signal(data_dir, presence, signal.SIGTERM)
            if not _has_ended(handle, limit_s):
                ending = Ending.STILL_THERE
                if kills:
                    _signal(data_dir, presence, signal.SIGKILL)
                    if _has_ended(handle, KILL_LIMIT_S):
                        ending = Ending.KILLED
    return Stopped(ending, presence, time.monotonic() - begun)


def reload_daemon(data_dir: Path, token: str) -> Reloaded | None:
    """Tell the daemon to read its configuration anew, and learn what came of it. None: there is no daemon.

    Raises ReindexError where it can't be signalled, or does not answer in time.
    """
    presence = find_daemon(data_dir)
    if presence is None:
        return None
    before = _last_reload(presence, token)
    _signal(data_dir, presence, signal.SIGHUP)
    if before is None:
        return Reloaded(presence, None)
    deadline = time.monotonic() + RELOAD_LIMIT_S
    while time.monotonic() < deadline:
        now = _last_reload(presence, token)
        if now is not None and now.get("at") != before.get("at"):
            return Reloaded(presence, now.get("ok") is True, str(now.get("error") or ""))
        if find_daemon(data_dir) != presence:
            break
        time.sleep(_POLL_S)
    raise ReindexError(
        f"the daemon (process {presence.pid}) did not say what came of the reload",
        "`reindex logs` shows what it does.",
    )


def _last_reload(presence: Presence, token: str) -> dict[str, object] | None:
    """Its last reload and what came of it; empty for none yet, None where it can't be asked."""
    status = ask(presence, "/v1/status", token)
    if status is None:
        return None
    found = status.get("reload")
    return found if isinstance(found, dict) else {}


@contextmanager
def _handle(data_dir: Path, presence: Presence) -> Iterator[int | None]:
    """A pidfd of that very process; None when it is gone meanwhile."""
    try:
        handle = os.pidfd_open(presence.pid)
    except ProcessLookupError:
        handle = -1
    try:
        is_it = handle >= 0 and started_ticks(presence.pid) == presence.started_ticks
        if not is_it:
            _refuse_if_there(data_dir, presence)
        yield handle if is_it else None
    finally:
        if handle >= 0:
            os.close(handle)


def _signal(data_dir: Path, presence: Presence, number: signal.Signals) -> None:
    try:
        if not send_signal(presence, number):
            _refuse_if_there(data_dir, presence)
    except PermissionError:
        raise ReindexError(
            f"the daemon (process {presence.pid}) belongs to another user", "Let that user do it, or root."
        ) from None


def _refuse_if_there(data_dir: Path, presence: Presence) -> None:
    """Its process is not that number here: either it is gone, or the number means somebody else."""
    if find_daemon(data_dir) == presence:
        raise ReindexError(
            f"a daemon holds {data_dir}, but process {presence.pid} is not that daemon here",
            "It runs in another container, or on another machine: stop it there.",
        )


def _has_ended(handle: int, limit_s: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(max(0.0, limit_s) * 1000))
