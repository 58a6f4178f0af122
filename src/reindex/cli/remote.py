"""The other way of a command: through the daemon, which has everything loaded and holds the lock.

Reading never depends on it: without an answer a reader does the work itself. Writing does, while a daemon is
there: it holds the lock.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from reindex import __version__
from reindex.cli.connection import Connection, NoAnswerError, Request, UnreachableError
from reindex.cli.following import InterruptedTaskError, follow
from reindex.cli.output import warn
from reindex.cli.progress import QuietProgress
from reindex.errors import LockedError, ReindexError
from reindex.presence import Presence, find_daemon

if TYPE_CHECKING:
    from reindex.objects import Object
    from reindex.settings import Settings
    from reindex.tasks import Outcome

START_WAIT_S = 60.0  # for a daemon that starts, or ends
STARTING_ANSWER_S = 2.0  # that a reader waits for the answer of a daemon that is not ready yet
_LOOK_EVERY_S = 0.05
_SAID_AFTER_S = 1.0


def read(settings: Settings, request: Request) -> Object | None:
    """A reader's answer by the daemon; None when it has to do the work itself. Raises RefusedError."""
    daemon = find_daemon(settings.data_dir)
    if daemon is None or not daemon.url:
        return None
    _say_skew(daemon)
    connection = Connection(daemon.url, settings.daemon.token)
    try:
        if daemon.is_ready:
            return connection.ask(request).checked()
        answer = connection.ask(request, STARTING_ANSWER_S)
    except (UnreachableError, NoAnswerError):
        return None
    return None if answer.status >= 400 else answer.value


def write(settings: Settings, request: Request, progress: QuietProgress) -> Outcome | None:
    """What a writing command came to in the daemon; None when there is none, and the lock is free to take.

    Raises LockedError when the daemon can't be asked, and what `follow` raises.
    """
    waiting = _Waiting(settings.data_dir, for_ready=request.waits)
    said: int | None = None
    while (daemon := waiting.ready_daemon()) is not None:
        if said != daemon.pid:
            _say_skew(daemon)
            said = daemon.pid
        connection = Connection(daemon.url, settings.daemon.token)
        try:
            answer = connection.ask(request)
        except UnreachableError:  # it has ended, or is about to
            waiting.pause("does not listen")
            continue
        except NoAnswerError as error:
            raise ReindexError(
                f"the daemon (process {daemon.pid}, {daemon.url}) was asked and did not answer: {error}",
                "`reindex status` shows how it stands; run the command again.",
            ) from error
        except KeyboardInterrupt:
            raise InterruptedTaskError(
                "the daemon was asked, and may go on", "`reindex status` shows how the index stands."
            ) from None
        return follow(connection, answer.checked(), progress)
    return None


def other_version(settings: Settings) -> str | None:
    """The version of a daemon that is there and is not this one."""
    daemon = find_daemon(settings.data_dir)
    return None if daemon is None or daemon.version == __version__ else daemon.version


class _Waiting:
    """For a daemon that can be asked, up to START_WAIT_S in all."""

    def __init__(self, data_dir: Path, *, for_ready: bool) -> None:
        self._data_dir = data_dir
        self._for_ready = for_ready
        self._begun = time.monotonic()
        self._has_said = False

    def ready_daemon(self) -> Presence | None:
        """None when there is none, or none any more. Raises LockedError."""
        while (daemon := find_daemon(self._data_dir)) is not None:
            if daemon.is_ready and not daemon.url:
                raise LockedError(
                    f"a daemon (process {daemon.pid}) writes to {self._data_dir}, and can't be asked to:"
                    ' its [daemon] http is off ("")',
                    "`reindex stop` ends it; or set [daemon] http and run `reindex restart`.",
                )
            if daemon.is_ready or (daemon.url and not self._for_ready):
                return daemon
            self.pause("is still starting")
        return None

    def pause(self, why: str) -> None:
        """A moment, while the limit allows. Raises LockedError."""
        waited = time.monotonic() - self._begun
        if waited >= START_WAIT_S:
            raise LockedError(
                f"the daemon of {self._data_dir} {why} after {waited:.0f} s",
                "`reindex logs` says what it does; `reindex stop` ends it.",
            )
        if waited >= _SAID_AFTER_S and not self._has_said:
            warn(f"note: the daemon {why}: waiting up to {START_WAIT_S:.0f} s")
            self._has_said = True
        time.sleep(_LOOK_EVERY_S)


def _say_skew(daemon: Presence) -> None:
    if daemon.version != __version__:
        warn(f"note: the daemon is version {daemon.version}, this is {__version__}: reindex restart")
