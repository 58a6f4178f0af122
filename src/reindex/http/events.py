"""What happens in the daemon, told to everyone who listens: a bounded memory that each listener reads at its
own pace. Anything may be published from any thread.
"""

import asyncio
import json
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from reindex.tasks import Task, TaskState

EVENTS_KEPT = 1000  # who is further behind has missed some, and is told so
PROGRESS_S = 0.1  # a task's progress is told at most so often; another state at once
_TASKS_KNOWN = 2000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: `data` is a JSON object as text, of ASCII."""

    number: int
    kind: str
    data: str


@dataclass(frozen=True, slots=True)
class Missed:
    """A listener asked for events that are not remembered: it should look at the present state instead."""


class Events:
    """The memory of events, and the waiting for more of them.

    `told` of Tasks may be `task_changed`. Its events have the kind "task"; their object is a part of the
    task, and `revision` the number of the event, by which a client waits for the next change.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._run = secrets.token_hex(4)  # numbers of an earlier daemon mean nothing here
        self._last = 0
        self._kept: deque[Event] = deque(maxlen=EVENTS_KEPT)
        self._told: OrderedDict[int, tuple[int, TaskState, float]] = (
            OrderedDict()
        )  # task -> event, state, when
        self._untold: dict[int, Task] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._is_waking = False
        self.is_closed = False

    def publish(self, kind: str, data: Mapping[str, object]) -> int:
        """Tell all. `kind` is one word. Returns the event's number."""
        text = json.dumps(data)
        with self._lock:
            return self._append(kind, text)

    def task_changed(self, task: Task) -> None:
        """A task is in another state, or further on."""
        with self._lock:
            told = self._told.get(task.id)
            if told is None or told[1] is not task.state or time.monotonic() - told[2] >= PROGRESS_S:
                self._tell(task)
            elif self._loop is not None:
                if not self._untold:
                    self._call(self._tell_later)
                self._untold[task.id] = task

    def revision(self, task_id: int) -> int:
        """The number of the last event of a task, 0 before the first."""
        with self._lock:
            told = self._told.get(task_id)
            return told[0] if told is not None else 0

    def event_id(self, number: int) -> str:
        """What a listener may give back to go on after that event."""
        return f"{self._run}-{number}"

    def position(self, event_id: str | None) -> int | Missed:
        """After which event a listener goes on: the one that it names, or the last one."""
        with self._lock:
            if event_id is None:
                return self._last
            run, _, number = event_id.partition("-")
            if run != self._run or not number.isdecimal() or not 0 <= int(number[:18]) <= self._last:
                return Missed()
            return int(number)

    def after(self, number: int) -> list[Event] | Missed:
        """All since that event, oldest first."""
        with self._lock:
            if self._last - number > len(self._kept):
                return Missed()
            return [self._kept[i] for i in range(len(self._kept) - (self._last - number), len(self._kept))]

    async def wait(self, timeout_s: float) -> bool:
        """Until there may be something new, or the time is over (False). Check before it, with no await
        between the check and this call.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._news.wait()
        except TimeoutError:
            return False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listeners wait on this loop from now on."""
        with self._lock:
            self._loop, self._is_waking, self.is_closed = loop, False, False
            self._news = asyncio.Event()  # one belongs to the loop that first waited for it
            self._untold.clear()

    def close(self) -> None:
        """No more will come: every listener is woken to see it. Called on the loop."""
        with self._lock:
            self._loop, self.is_closed = None, True
        self._wake()

    def _append(self, kind: str, text: str) -> int:
        self._last += 1
        self._kept.append(Event(self._last, kind, text))
        if not self._is_waking and self._loop is not None:
            self._is_waking = True
            self._call(self._wake)
        return self._last

    def _call(self, what: Callable[[], None]) -> None:
        assert self._loop is not None, "it is looked at before"
        self._loop.call_soon_threadsafe(what)

    def _wake(self) -> None:
        self._is_waking = False
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _tell(self, task: Task) -> None:
        self._untold.pop(task.id, None)
        state = task.state
        value = {
            "id": task.id,
            "command": task.command,
            "state": state.value,
            "progress": asdict(task.progress),
            "exit_code": task.exit_code,
            "revision": self._last + 1,
        }
        self._told[task.id] = (self._append("task", json.dumps(value)), state, time.monotonic())
        self._told.move_to_end(task.id)
        while len(self._told) > _TASKS_KNOWN:
            self._told.popitem(last=False)

    def _tell_later(self) -> None:
        asyncio.get_running_loop().call_later(PROGRESS_S, self._tell_untold)

    def _tell_untold(self) -> None:
        with self._lock:
            for task in list(self._untold.values()):
                self._tell(task)
