"""Starting a daemon in the background: its process, detached, and the wait until it is ready or fails."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reindex.errors import DiskError, ExitCode, ReindexError
from reindex.logfiles import log_path, open_log
from reindex.presence import Presence, find_daemon

POLL_S = 0.01
SAY_EVERY_S = 10.0
END_LIMIT_S = 5.0
_LAST_WORDS_BYTES_MAX = 65536
_LAST_WORDS_LINES_MAX = 20
_OF_OUR_MANAGER = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"})


DYING_S = 0.3


class StartError(ReindexError):
    """The daemon ended before it was ready, or was not ready in time. `exit_code` is its own."""

    def __init__(self, message: str, hint: str, exit_code: ExitCode) -> None:
        super().__init__(message, hint)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Started:
    """A daemon that is ready. `was_running`: another call started it."""

    presence: Presence
    was_running: bool


def own_command(*arguments: str) -> list[str]:
    """The program that runs here with other arguments, however it was called."""
    script = Path(sys.argv[0])
    if script.is_file():
        return [sys.executable, os.path.abspath(script), *arguments]  # noqa: PTH100 (links stay as they are)
    return [sys.executable, "-c", "from reindex.cli.main import main; main()", *arguments]


def start_daemon(
    command: Sequence[str], data_dir: Path, *, limit_s: float, say: Callable[[str], None]
) -> Started:
    """Have `command` run detached, its output in the daemon's log, and return when it is ready.

    Where a daemon runs already, wait for that one. `say` is told how it goes. Raises StartError with the
    daemon's own last words; then, as after Ctrl-C, no process is left. Raises DiskError for the log.
    """
    deadline = time.monotonic() + limit_s
    present = find_daemon(data_dir)
    if present is not None:  # one that was just killed keeps its lock for an instant
        time.sleep(DYING_S)
        present = find_daemon(data_dir)
    if present is not None:
        return Started(_wait_for_other(data_dir, present, deadline, say), was_running=True)
    log = log_path(data_dir)
    process, position = _spawn(command, log)
    try:
        say(f"starting: process {process.pid}, its log is {log}")
        ready = _wait_for_own(process, data_dir, deadline, say)
        if ready is not None:
            process.returncode = 0  # it outlives us, and that is meant
            return Started(ready, was_running=False)
        if process.poll() is None:
            words = f"the daemon was not ready within {limit_s:g} s, and was ended"
            raise StartError(words, f"Give it longer with --timeout, or look into {log}.", ExitCode.ERROR)
        other = find_daemon(data_dir) if process.returncode == ExitCode.LOCKED else None
        if other is not None:  # somebody started it at the same moment
            return Started(_wait_for_other(data_dir, other, deadline, say), was_running=True)
        raise _ended(process.returncode, log, position)
    finally:
        if process.returncode is None:
            _end(process)


def _spawn(command: Sequence[str], log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and how long its log was before."""
    try:
        descriptor = open_log(log)
    except OSError as error:
        raise DiskError(
            f"the log {log} can't be written: {error.strerror}", "Choose another --data-dir, or mend that."
        ) from error
    try:
        position = os.fstat(descriptor).st_size
        process = subprocess.Popen(  # noqa: S603 (our own program)
            command,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd="/",
            env=_its_environment(os.environ),
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    return process, position


def _its_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Module paths are meant from here, and a service manager that waits for us does not wait for it."""
    kept = {name: value for name, value in environment.items() if name not in _OF_OUR_MANAGER}
    paths = [each for each in kept.pop("PYTHONPATH", "").split(os.pathsep) if each]
    if paths:
        kept["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, paths))
    return kept


def _wait_for_own(
    process: subprocess.Popen[bytes], data_dir: Path, deadline: float, say: Callable[[str], None]
) -> Presence | None:
    """The presence of our child when it is ready; None when it ended, or the time is over."""
    progress = _Progress(say)
    while process.poll() is None and time.monotonic() < deadline:
        found = find_daemon(data_dir)
        if found is not None and found.pid == process.pid:
            if found.is_ready:
                return found
            progress.tell(found)
        time.sleep(POLL_S)
    return None


def _wait_for_other(data_dir: Path, found: Presence, deadline: float, say: Callable[[str], None]) -> Presence:
    progress = _Progress(say)
    present: Presence | None = found
    while present is not None and time.monotonic() < deadline:
        if present.is_ready:
            return present
        progress.tell(present)
        time.sleep(POLL_S)
        present = find_daemon(data_dir)
    log = log_path(data_dir)
    how = "is not ready yet" if present is not None else "ended before it was ready"
    raise StartError(
        f"the daemon that somebody else started (process {found.pid}) {how}",
        f"Look into {log}.",
        ExitCode.ERROR,
    )


class _Progress:
    """Says what a daemon does before it is ready: once for each step, and now and then that it still does."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._begun = self._said = time.monotonic()
        self._step = ""

    def tell(self, presence: Presence) -> None:
        step = "the first look at the documents"
        if presence.url:
            step = f"reachable at {presence.url}, {step} is under way"
        now = time.monotonic()
        if step != self._step:
            self._say(f"starting: {step}")
        elif now - self._said >= SAY_EVERY_S:
            self._say(f"starting: {step}, for {now - self._begun:.0f} s")
        else:
            return
        self._step, self._said = step, now


def _ended(code: int, log: Path, position: int) -> StartError:
    words, hint = _last_words(log, position)
    if code < 0:
        with contextlib.suppress(ValueError):
            words = f"the daemon died of {signal.Signals(-code).name} while it started" + (
                f": {words}" if words else ""
            )
    elif not words:
        words = f"the daemon ended with code {code} while it started"
    known = {each.value for each in ExitCode} - {ExitCode.OK}
    exit_code = ExitCode(code) if code in known else ExitCode.ERROR
    return StartError(words, hint or f"Look into {log}.", exit_code)


def _last_words(log: Path, position: int) -> tuple[str, str]:
    """Why it ended, by what it wrote since `position`: its last error (of an exception the last line) and the
    hint with it, or the last lines that are no log lines.
    """
    try:
        with log.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(position if position <= size else 0, size - _LAST_WORDS_BYTES_MAX))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "", ""
    plain: list[str] = []
    for line in reversed(lines):
        try:
            value = json.loads(line)
            if value["level"] in {"critical", "error"}:
                cause = str(value.get("exception", "")).rpartition("\n")[2]
                return ": ".join(filter(None, (str(value["message"]), cause))), str(value.get("hint", ""))
        except (ValueError, KeyError, TypeError):
            plain.append(line)
    return "\n".join(reversed(plain[:_LAST_WORDS_LINES_MAX])), ""


def _end(process: subprocess.Popen[bytes]) -> None:
    """It, and all of its session: the number is its own until we have waited for it."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_LIMIT_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_LIMIT_S)
