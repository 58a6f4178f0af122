"""What clients asked a daemon to do: a queue of tasks that one thread works off, and their state for those
who ask. Safe from any thread.
"""

import itertools
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reindex.errors import ExitCode, ReindexError

QUEUED_MAX = 100
KEPT_MAX = 1000  # of those that are over
MESSAGES_MAX = 1000  # of one task


class TaskState(StrEnum):
    """A task waits, runs, and is over in one of two ways."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class TooManyTasksError(ReindexError):
    """More was asked for than can wait."""


@dataclass(slots=True)
class TaskProgress:
    """How far it is: the phase by name, and of how many units how many are done (0: the total is unknown)."""

    phase: str = ""
    unit: str = ""
    total: int = 0
    done: int = 0
    documents: int = 0
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task came to: the object that the command prints with --json, the lines that it says on stderr,
    and its exit code.
    """

    result: Mapping[str, object]
    messages: tuple[str, ...] = ()
    exit_code: ExitCode = ExitCode.OK


@dataclass(slots=True)
class Task:
    """One command that a client asked for. Times are in seconds since the epoch. `error` has message, hint
    and exit_code of a ReindexError. `messages` grow while it runs.
    """

    id: int
    command: str
    options: Mapping[str, object]
    created_at: float
    state: TaskState = TaskState.QUEUED
    started_at: float | None = None
    ended_at: float | None = None
    progress: TaskProgress = field(default_factory=TaskProgress)
    messages: list[str] = field(default_factory=list)
    result: Mapping[str, object] | None = None
    exit_code: int | None = None
    error: Mapping[str, object] | None = None

    @property
    def is_over(self) -> bool:
        return self.state in {TaskState.SUCCEEDED, TaskState.FAILED}


class Tasks:
    """The queue and the memory of it. `told` is called after each change of a task, from whatever thread made
    it, and must be quick.
    """

    def __init__(self, told: Callable[[Task], None] = lambda _: None) -> None:
        self._told = told
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._tasks: OrderedDict[int, Task] = OrderedDict()
        self._waiting: deque[Task] = deque()
        self.wakes: Callable[[], None] = lambda: None
        """Called after a task was submitted: the thread that works may be asleep."""

    def submit(self, command: str, options: Mapping[str, object]) -> Task:
        """Put one at the end. Raises TooManyTasksError."""
        with self._lock:
            if len(self._waiting) >= QUEUED_MAX:
                raise TooManyTasksError(f"{QUEUED_MAX} tasks are waiting already", "Wait for some of them.")
            task = Task(next(self._numbers), command, options, time.time())
            self._tasks[task.id] = task
            self._waiting.append(task)
            self._forget_oldest()
        self._told(task)
        self.wakes()
        return task

    def get(self, number: int) -> Task | None:
        """One that waits, runs, or was among the last to be over."""
        return self._tasks.get(number)

    def all(self) -> list[Task]:
        """Newest first."""
        with self._lock:
            return list(reversed(self._tasks.values()))

    def take(self, wanted: Callable[[Task], bool] = lambda _: True) -> Task | None:
        """The first that waits and is wanted, now running; None without one."""
        with self._lock:
            task = next((task for task in self._waiting if wanted(task)), None)
            if task is None:
                return None
            self._waiting.remove(task)
            task.state, task.started_at = TaskState.RUNNING, time.time()
        self._told(task)
        return task

    def run(self, task: Task, work: Callable[[Task], Outcome]) -> None:
        """Run one that was taken. A ReindexError is its failure; any other exception too, and is raised."""
        try:
            outcome = work(task)
        except ReindexError as error:
            self._fail(task, error.message, error.hint, error.exit_code)
        except BaseException as error:
            self._fail(task, f"a bug: {type(error).__name__}: {error}", "", ExitCode.ERROR)
            raise
        else:
            task.messages += outcome.messages
            task.result, task.exit_code = outcome.result, int(outcome.exit_code)
            self._end(task, TaskState.SUCCEEDED)

    def fail_waiting(self, message: str, hint: str) -> None:
        """None of those that wait will be done any more."""
        while (task := self.take()) is not None:
            self._fail(task, message, hint, ExitCode.ERROR)

    def changed(self, task: Task) -> None:
        """Its progress or its messages grew."""
        self._told(task)

    def _fail(self, task: Task, message: str, hint: str, exit_code: ExitCode) -> None:
        task.error = {"message": message, "hint": hint, "exit_code": int(exit_code)}
        task.exit_code = int(exit_code)
        self._end(task, TaskState.FAILED)

    def _end(self, task: Task, state: TaskState) -> None:
        task.ended_at = time.time()
        task.state = state
        self._told(task)

    def _forget_oldest(self) -> None:
        over = [number for number, task in self._tasks.items() if task.is_over]
        for number in over[: max(0, len(over) - KEPT_MAX)]:
            del self._tasks[number]


class TaskReporting:
    """A Progress that fills a task: clients follow it there."""

    def __init__(self, tasks: Tasks, task: Task) -> None:
        self._tasks = tasks
        self._task = task

    def phase(self, name: str, total: int, unit: str) -> None:
        """A phase begins."""
        before = self._task.progress
        self._task.progress = TaskProgress(name, unit, total, 0, before.documents, before.chunks)
        self._tasks.changed(self._task)

    def advance(self, amount: int) -> None:
        """So many more units are done."""
        self._task.progress.done += amount
        self._tasks.changed(self._task)

    def waiting(self) -> None:
        """Not told."""

    def planned(self, documents: int) -> None:
        """Not told."""

    def count(self, *, documents: int, chunks: int) -> None:
        """Published and embedded in all."""
        self._task.progress.documents, self._task.progress.chunks = documents, chunks
        self._tasks.changed(self._task)

    def warn(self, message: str) -> None:
        """Kept for whoever follows the task."""
        if len(self._task.messages) < MESSAGES_MAX:
            self._task.messages.append(f"warning: {message}")
            self._tasks.changed(self._task)

    def close(self) -> None:
        """Nothing is open."""
