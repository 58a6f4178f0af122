"""The thread that keeps the index fresh: it waits for hints, for tasks and for the hour of the next look at
everything, and runs one pass at a time.

Every change to the stores is made here. A pass is the one that `sync` runs, over some places or all of them.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from reindex.app import App
from reindex.daemon.batch_rounds import BatchRounds, GoingOn
from reindex.daemon.condition import Condition
from reindex.daemon.schedule import Schedule
from reindex.daemon.underway import Overtaken, Stopping, Underway
from reindex.errors import LockedError, OutageError, ReindexError, StoreError
from reindex.model import Places
from reindex.rebuilding import is_due
from reindex.report import PassReport, Progress
from reindex.sources.watcher import Watcher
from reindex.stores.memory import give_back
from reindex.syncing import Look, sync_with
from reindex.tasks import Outcome, Task, TaskReporting, Tasks
from reindex.writer import Writer

TICK_S = 10.0  # at least so often it looks around
AT_ONCE = frozenset({"pause", "resume"})
LEAVES_WORK = frozenset({"retry", "cancel"})
ALLOCATES = frozenset({"rebuild", "promote", "rollback", "gc"})
TRIED_AGAIN = LEAVES_WORK | {"sync", "rebuild"}  # after these, what failed may well do better
BACKLOG_MIN = 50  # a pass over more documents than these is overtaken by a saved file, between two batches

_log = logging.getLogger("reindex.daemon")

Perform = Callable[[App, Task, Progress], Outcome]
"""Carries out what a client asked for, on stores that are kept open."""


class Keeper:
    """Runs in a thread of its own until it is stopped."""

    def __init__(self, app: App, tasks: Tasks, condition: Condition, perform: Perform) -> None:
        self._app = app
        self._tasks = tasks
        self._condition = condition
        self._perform = perform
        self._is_stopping = threading.Event()
        self._next_app: App | None = None
        self._watcher: Watcher | None = None
        self._writer: Writer | None = None
        self._are_stores_doubtful = False
        self._backlog = 0  # documents of a pass that was overtaken
        self._schedule = Schedule()
        self._batches = BatchRounds()
        self._going_on = GoingOn()

    def stop(self) -> None:
        """End soon, from any thread: after the batch, or the step, that is under way."""
        self._is_stopping.set()
        self._condition.is_stopping = True
        self._wake()

    def take_over(self, app: App) -> None:
        """Go on with another App (a reloaded configuration) from the next turn on. From any thread."""
        self._next_app = app
        self._wake()

    def doubt_stores(self) -> None:
        """Open them anew with the next turn: they may be gone. From any thread."""
        self._are_stores_doubtful = True
        self._wake()

    def run(self) -> None:
        """Until `stop`. What fails is told by the condition, and tried again."""
        self._tasks.wakes = self._wake
        while not self._is_stopping.is_set():
            try:
                self._run_with(self._app)
            except Stopping:
                break
            except Exception as error:  # noqa: BLE001 (the loop outlives every bug)
                self._failed(error)
                self._is_stopping.wait(max(0.0, self._schedule.not_before - time.monotonic()))
        self._tasks.fail_waiting("the daemon was stopped", "Run the command again.")

    def _run_with(self, app: App) -> None:
        """Until the App is to be another, or the stores have to be opened anew."""
        daemon = app.settings.daemon
        app.stop = self._is_stopping.is_set
        self._batches = BatchRounds()
        watcher = Watcher(app.sources(), daemon.settle_ms / 1000, daemon.poll_s)
        with closing(watcher), closing(app), app.keep_open("run", _log.warning):
            self._watcher = watcher
            self._schedule.is_everything_due, self._are_stores_doubtful = True, False
            self._condition.unscanned = {}  # the sources may be others
            try:
                while not (self._is_stopping.is_set() or self._next_app or self._are_stores_doubtful):
                    self._turn(app, watcher)
            finally:
                self._watcher = self._writer = None
        self._app, self._next_app = self._next_app or self._app, None

    def _turn(self, app: App, watcher: Watcher) -> None:
        watcher.wait(self._rest_s(), is_taking=self._is_working or self._is_offline)
        self._listen(watcher)
        while (task := self._tasks.take()) is not None:
            self._work_off(app, watcher, task)
        if self._are_stores_doubtful:
            return
        if self._is_offline and (saved := watcher.take()):
            self._pass(app, watcher, saved, self._schedule.outage)
        if not self._is_working:
            return
        if self._batches.is_due:
            self._attend(app, watcher)
        oldest_s = watcher.oldest_s()
        places = self._schedule.due(watcher, [source.name for source in app.settings.sources])
        if places is None or places:
            if self._condition.behind_since is None and (oldest_s or not self._condition.is_ready):
                self._condition.behind_since = time.monotonic() - oldest_s
            self._pass(app, watcher, places)

    @property
    def _is_working(self) -> bool:
        return not (self._condition.is_paused or self._schedule.is_backing_off)

    @property
    def _is_offline(self) -> bool:
        """Whether there is work for which no provider is needed, while one is not to be asked."""
        schedule = self._schedule
        is_down = schedule.is_backing_off and schedule.outage is not None
        return is_down and self._condition.is_ready and not self._condition.is_paused

    def _rest_s(self) -> float:
        """How long there is nothing to do, if nothing is heard."""
        return TICK_S if self._condition.is_paused else self._schedule.rest_s(self._batches.next_at, TICK_S)

    def _listen(self, watcher: Watcher) -> None:
        condition = self._condition
        condition.beat()
        watcher.listen()
        condition.waiting, condition.waiting_s = watcher.waiting, watcher.oldest_s()
        condition.overflows, condition.watches = watcher.overflows, watcher.watches
        condition.watching = tuple(watcher.troubles())

    def _take_note(self, watcher: Watcher) -> None:
        """What was taken from the watcher is pending until the pass has looked into it."""
        condition = self._condition
        condition.taken += max(0, condition.waiting - watcher.waiting)
        condition.waiting = watcher.waiting

    def _pass(
        self, app: App, watcher: Watcher, places: Places | None, outage: OutageError | None = None
    ) -> None:
        """One pass. When it fails, everything is looked at by the next: nothing is forgotten. In an `outage`
        it does what needs no provider.
        """
        started = time.monotonic()
        self._take_note(watcher)
        backlog = max(0, self._condition.planned - self._condition.worked)
        progress = self._underway(watcher, is_overtaken=lambda: self._lets_by(watcher))
        try:
            with self._open_writer(app) as writer:
                look = Look(places, watcher.entering, watcher.being_written())
                report = sync_with(app, writer, progress, look=look, attends=False, outage=outage)
                self._batches.look_soon(writer)
                failures = writer.ledger.failures.all()
        except Overtaken:
            self._schedule.overtaken(self._condition.planned_at - started)
            self._backlog = max(0, self._condition.planned - self._condition.worked)
            self._condition.phase = ""
            self._writer = None
            return
        except ReindexError as error:
            self._schedule.is_everything_due = True
            self._writer = None
            if isinstance(error, (Stopping, StoreError)):
                raise  # the stores are opened anew, which mends what can be mended
            if outage is not None:
                self._condition.planned = max(backlog, self._condition.planned)
            if outage is None or not isinstance(error, OutageError):
                self._failed(error, time.monotonic() - started)
            return
        self._schedule.retry(failures, app.clock.now())
        if places is None:
            self._schedule.looked_everywhere(app.settings.daemon.reconcile_s)
            self._backlog = 0
            self._condition.reconciles += 1
            self._condition.reconciles_s += time.monotonic() - started
        for name in report.postponed:
            watcher.hint(name.source, name.path, is_complete=False)
        if outage is not None:
            self._condition.planned, self._condition.worked, self._condition.taken = backlog, 0, 0
            return
        self._succeeded(report, time.monotonic() - started)

    def _attend(self, app: App, watcher: Watcher) -> None:
        """A look at the batches, beside which saved files have their passes. What a batch brought is taken in
        by the pass that follows.
        """

        def meanwhile() -> None:
            self._listen(watcher)
            self._take_at_once()
            if self._is_stopping.is_set():
                raise Stopping
            if self._is_working and self._condition.is_ready and watcher.has_saves_due:
                self._pass(app, watcher, dict(watcher.take()))

        with self._open_writer(app) as writer:
            ended = self._batches.attend(app, writer, meanwhile)
            self._condition.provider, self._condition.held = self._batches.trouble, self._batches.held
            if ended:
                self._schedule.is_everything_due = True
                self._going_on.batches_ended()
            due = is_due(writer)
            if due is not None:
                if self._going_on.begin_try(due):
                    self._tasks.submit("rebuild", {"go_on": True})
                self._batches.next_at = min(self._batches.next_at, self._going_on.next_at)

    def _succeeded(self, report: PassReport, took_s: float) -> None:
        self._schedule.succeeded()
        condition = self._condition
        condition.failure = ""
        condition.planned, condition.worked, condition.taken = self._backlog, 0, 0
        condition.postponed = len(report.postponed)
        condition.lacks(report)
        condition.passes += 1
        condition.last_success_at = time.time()
        condition.phase = ""
        if not self._schedule.is_everything_due:  # else a backlog was overtaken, and goes on now
            condition.behind_since = None
            condition.is_ready = True
        documents = report.documents
        worked = documents.added + documents.changed + documents.moved + documents.deleted
        if worked:
            _log.info(
                "generation %s, version %s: %d documents worked on, %d chunks embedded, in %.3f s",
                report.generation,
                report.version,
                worked,
                report.chunks.embedded,
                took_s,
            )

    def _failed(self, error: Exception, took_s: float = 0.0) -> None:
        """Nothing is given up: the next try comes after a while, which grows."""
        if self._is_stopping.is_set():  # the models are ended under it
            return
        if isinstance(error, ReindexError):
            self._condition.failed(error)
            _log.error("%s", error.message, extra={"hint": error.hint})
        else:
            self._condition.failed(ReindexError(f"a bug: {type(error).__name__}: {error}", "See the log."))
            _log.exception("a bug", exc_info=error)
        # Who waits for the start is to learn of this, and what was published before is served meanwhile.
        # (Another process that is just writing is waited for.)
        self._condition.is_ready = self._condition.is_ready or not isinstance(error, LockedError)
        self._schedule.failed(error, took_s)

    def _work_off(self, app: App, watcher: Watcher, task: Task) -> None:
        """What a task does to the stores, it does with a writer of its own."""
        self._writer = None
        _log.info("task %d: %s", task.id, task.command)

        def work(task: Task) -> Outcome:
            try:
                return self._perform(app, task, self._underway(watcher, TaskReporting(self._tasks, task)))
            except StoreError:
                self._are_stores_doubtful = True
                raise

        try:
            self._tasks.run(task, work)
        except Exception as error:  # noqa: BLE001 (a bug: the client was told)
            self._failed(error)
            self._are_stores_doubtful = True
        if task.error is not None:
            _log.warning("task %d: %s failed: %s", task.id, task.command, task.error["message"])
        elif task.command in TRIED_AGAIN:
            self._schedule.not_before = 0.0
            self._schedule.is_everything_due |= task.command in LEAVES_WORK
        self._condition.phase = ""
        if task.command in ALLOCATES:
            gc.collect()
            give_back()

    @contextmanager
    def _open_writer(self, app: App) -> Iterator[Writer]:
        """The same from pass to pass: its table stays open."""
        if self._writer is None:
            with app.writer("run", _log.warning) as writer:
                self._writer = writer
        yield self._writer

    def _lets_by(self, watcher: Watcher) -> bool:
        """Whether the pass that is under way is a backlog that a saved file overtakes now."""
        is_backlog = self._condition.planned > BACKLOG_MIN
        return is_backlog and self._schedule.may_overtake and watcher.has_saves_due

    def _underway(
        self,
        watcher: Watcher,
        inner: Progress | None = None,
        is_overtaken: Callable[[], bool] = lambda: False,
    ) -> Underway:
        was_paused = self._condition.is_paused  # what is asked for all the same is done

        def listen() -> None:
            self._listen(watcher)
            self._take_at_once()

        def meanwhile() -> None:
            listen()
            if self._condition.is_paused and inner is None:
                raise Overtaken  # what is asked for in the pause waits for no pass
            while self._condition.is_paused and not was_paused and not self._is_stopping.is_set():
                watcher.wait(TICK_S, is_taking=False)
                listen()

        return Underway(self._condition, self._is_stopping.is_set, meanwhile, listen, inner, is_overtaken)

    def _take_at_once(self) -> None:
        """Pause and resume wait for no work: it waits for them, at its next step."""
        while (task := self._tasks.take(lambda task: task.command in AT_ONCE)) is not None:
            self._tasks.run(
                task, lambda task: self._perform(self._app, task, TaskReporting(self._tasks, task))
            )

    def _wake(self) -> None:
        watcher = self._watcher
        if watcher is not None:
            watcher.wake()
