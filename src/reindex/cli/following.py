"""Following a task of the daemon to its end: its progress and its messages, as if the work were done here."""

from __future__ import annotations

import time
from typing import Any

from reindex.cli.connection import Connection, NoAnswerError, RefusedError, Request, UnreachableError
from reindex.cli.progress import QuietProgress
from reindex.errors import ExitCode, ReindexError
from reindex.tasks import Outcome

POLL_WAIT_S = 5.0  # that the daemon keeps a question until there is news
QUEUED_WAIT_S = 1.0  # until it is said what it waits for
_ANSWER_S = POLL_WAIT_S + 60.0
_PAUSE_MAX_S = 0.2  # between two questions: a task may change thousands of times a second
_PAUSE_SHARE = 0.1  # of how long it has taken so far, so that a short task is told of at once


class InterruptedTaskError(ReindexError):
    """Ctrl-C: who asked has gone, and the daemon goes on."""

    exit_code = ExitCode.INTERRUPTED


def follow(connection: Connection, task: dict[str, Any], progress: QuietProgress) -> Outcome:
    """Until it is over. Raises RefusedError with the task's own error, ReindexError when the daemon is gone,
    and InterruptedTaskError.
    """
    try:
        shown = _Shown(progress)
        begun = time.monotonic()
        last = task
        while not shown.show(last):
            time.sleep(min(_PAUSE_MAX_S, _PAUSE_SHARE * (time.monotonic() - begun)))
            last = _next(connection, last)
            if last["state"] == "queued" and not shown.has_said_why:
                shown.waits_for(_running(connection))
    except KeyboardInterrupt:
        raise InterruptedTaskError(
            f"task {task['id']} goes on in the daemon", "`reindex status` shows how the index stands."
        ) from None
    if last["state"] == "failed":
        error = last["error"]
        raise RefusedError(error["message"], error["hint"], error["exit_code"])
    return Outcome(last["result"], shown.messages_left(last), ExitCode(last["exit_code"]))


def _next(connection: Connection, task: dict[str, Any]) -> dict[str, Any]:
    """The task as it is now, when there is news of it since it was as given."""
    wait_s = QUEUED_WAIT_S if task["state"] == "queued" else POLL_WAIT_S
    query: list[tuple[str, object]] = [("wait", f"{wait_s:g}")]
    if "revision" in task:
        query.append(("since", task["revision"]))
    request = Request(f"/v1/tasks/{task['id']}", query)
    try:
        answer = connection.ask(request, _ANSWER_S)
    except UnreachableError as error:
        raise _ended("the daemon ended before the task was done") from error
    except NoAnswerError as error:
        raise _ended(f"the daemon ended before the task was done, or hangs ({error})") from error
    if answer.status == 404 or answer.value.get("created_at", task["created_at"]) != task["created_at"]:
        raise _ended("the daemon was restarted before the task was done")
    return answer.checked()


def _running(connection: Connection) -> str:
    """The command that the daemon is at; "" for none, or none that is known."""
    try:
        found = connection.ask(Request("/v1/tasks"), _ANSWER_S).value.get("tasks", ())
    except (UnreachableError, NoAnswerError):
        return ""
    return next(
        (f"{each['command']} (task {each['id']})" for each in found if each["state"] == "running"), ""
    )


def _ended(message: str) -> ReindexError:
    return ReindexError(message, "What was published stays; run the command again to go on.")


class _Shown:
    """What of a task was shown already."""

    def __init__(self, progress: QuietProgress) -> None:
        self._progress = progress
        self._phase: tuple[object, ...] = ()
        self._done = 0
        self._messages = 0
        self.has_said_why = False

    def show(self, task: dict[str, Any]) -> bool:
        """What is new of it. Whether it is over; then what is left is said when the bar is gone."""
        if task["state"] in {"succeeded", "failed"}:
            if task["state"] == "failed":
                self._tell(task)
            return True
        if task["state"] == "queued":
            self._show_phase("waiting for its turn in the daemon", 0, "tasks", 0)
            return False
        now = task["progress"]
        if now["phase"]:
            self._show_phase(now["phase"], now["total"], now["unit"], now["done"])
            self._progress.count(documents=now["documents"], chunks=now["chunks"])
        self._tell(task)
        return False

    def waits_for(self, running: str) -> None:
        """It still has to wait: that is said once."""
        if running:
            self._progress.tell(f"note: the daemon has to end another command first: {running}")
            self.has_said_why = True

    def messages_left(self, task: dict[str, Any]) -> tuple[str, ...]:
        """Those that were not shown."""
        return tuple(task["messages"][self._messages :])

    def _show_phase(self, name: str, total: int, unit: str, done: int) -> None:
        if (name, total, unit) != self._phase or done < self._done:
            self._phase, self._done = (name, total, unit), 0
            self._progress.phase(name, total, unit)
        if done > self._done:
            self._progress.advance(done - self._done)
            self._done = done

    def _tell(self, task: dict[str, Any]) -> None:
        for message in self.messages_left(task):
            self._progress.tell(message)
        self._messages = len(task["messages"])
