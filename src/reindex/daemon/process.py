"""The daemon's process: announced, serving, kept fresh, told by signals, ended cleanly."""

import gc
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from reindex.app import App
from reindex.daemon.commands import Commands
from reindex.daemon.condition import Condition, Reload
from reindex.daemon.keeper import Keeper
from reindex.daemon.models import Models
from reindex.daemon.notify import Notifier, watchdog_interval_s
from reindex.daemon.surface import Shown, make_surface
from reindex.errors import ConfigError, DiskError, ExitCode, ReindexError
from reindex.http.events import Events
from reindex.http.server import Server
from reindex.presence import Announcement, announce
from reindex.serving import SearchService
from reindex.tasks import Tasks

COLLECT_AFTER = (700, 10, 10)  # Python's own: a command sets it higher, and ends before it matters
LOOK_S = 5.0  # between two looks at how the parts are
STARTING_LOOK_S = 0.02
SERVER_STOP_S = 2.0  # for requests under way
STOP_MARGIN_S = 0.5  # of what there is to stop in: to close what is open

_log = logging.getLogger("reindex.daemon")


def run(load: Callable[[], App], version: str, taken: Callable[[App], None]) -> ExitCode:
    """Be the daemon until SIGTERM or SIGINT; a second one ends it at once. SIGHUP has `load` read the
    configuration anew; `taken` is told of one that holds from now on. Raises ConfigError, LockedError,
    AddressError and DiskError while it starts.
    """
    app = load()
    gc.freeze()  # what is there by now stays
    gc.set_threshold(*COLLECT_AFTER)
    with ExitStack() as stack:
        signals = stack.enter_context(_signals())
        announcement = stack.enter_context(announce(app.data_dir, version, time.time()))
        daemon = Daemon(load, app, version, announcement, taken)
        return daemon.run(signals)


class Daemon:
    """All parts of it. Belongs to the main thread."""

    def __init__(
        self,
        load: Callable[[], App],
        app: App,
        version: str,
        announcement: Announcement,
        taken: Callable[[App], None],
    ) -> None:
        """Takes the address. Raises ConfigError and AddressError."""
        settings = app.settings.daemon
        self._load = load
        self._taken = taken
        self._app = app
        self._announcement = announcement
        self._notifier = Notifier.from_environment(os.environ)
        self._condition = Condition()
        self._events = Events()
        self._tasks = Tasks(self._events.task_changed)
        self._models = Models(app)
        commands = Commands(self._condition)
        self._keeper = Keeper(app, self._tasks, self._condition, commands.perform)
        self._thread = threading.Thread(target=self._keeper.run, name="keeper", daemon=True)
        self._service: SearchService | None = None
        self._server: Server | None = None
        if settings.http:
            self._server = self._make_server(version)
            self._server.bind()

    def run(self, signals: "Signals") -> ExitCode:
        """Until a signal ends it, or a part of it is lost."""
        self._thread.start()
        try:
            if self._server is not None:
                self._announcement.change(url=self._server.start())
            return self._look_after(signals)
        finally:
            self._stop(signals)

    def _look_after(self, signals: "Signals") -> ExitCode:
        watchdog_s = watchdog_interval_s(os.environ)
        is_ready = False
        told = ""
        while True:
            for number in signals.wait(min(LOOK_S, watchdog_s or LOOK_S) if is_ready else STARTING_LOOK_S):
                if number != signal.SIGHUP:
                    return ExitCode.OK
                self._reload()
            if self._condition.is_ready and not is_ready:
                is_ready = True
                self._announcement.change(is_ready=True)
                self._notifier.ready(self._condition.state)
                _log.info("ready: %s", self._announcement.presence.url or "no HTTP")
            if not self._thread.is_alive() or not (self._server is None or self._server.is_running):
                _log.critical("a part of the daemon was lost: it ends, to be started anew")
                return ExitCode.ERROR
            if watchdog_s is not None and not self._condition.is_wedged:
                self._notifier.watchdog()
            told = self._tell_manager(told)
            self._models.close_if_idle(self._app.settings.daemon.model_idle_s)
            if not self._announcement.is_there:
                self._announce_again()

    def _announce_again(self) -> None:
        """The data directory was removed, or is another: the keeper makes one, and what was in it, anew."""
        self._keeper.doubt_stores()
        try:
            self._announcement.renew()
        except DiskError as error:
            _log.warning("%s", error.message)

    def _tell_manager(self, told: str) -> str:
        """How it is, when that is another than was told."""
        now = ": ".join([self._condition.state, *self._condition.reasons()[:1]])
        if now != told:
            self._notifier.status(now)
        return now

    def _reload(self) -> None:
        self._notifier.reloading()
        error = ""
        try:
            app = self._load()
            if _for_life(app) != _for_life(self._app):
                what = "data_dir, or http, token or searches_max of [daemon],"
                raise ConfigError(f"{what} is another", "`reindex restart` takes it.")
        except ReindexError as failure:
            error = f"{failure.message} ({failure.hint})" if failure.hint else failure.message
            _log.error("the configuration was not reloaded: %s", error)
        else:
            self._app = app
            self._taken(app)
            self._models.take_over(app)
            if self._service is not None:
                self._service.take_over(self._searching(app))
            self._keeper.take_over(app)
            _log.info("the configuration was reloaded")
        self._condition.reload = Reload(time.time(), error)
        self._notifier.ready(self._condition.state)

    def _stop(self, signals: "Signals") -> None:
        """What is under way ends at its next step, or is cut off: every commit is safe."""
        limit_s = self._app.settings.daemon.stop_s
        deadline = time.monotonic() + max(0.0, limit_s - STOP_MARGIN_S)
        last = threading.Timer(limit_s, _cut_off)  # also of what the interpreter waits for at its end
        last.daemon = True
        last.start()
        _log.info("stopping")
        self._notifier.stopping()
        signals.end_at_once()
        self._keeper.stop()
        if self._server is not None:
            self._server.stop(min(SERVER_STOP_S, limit_s))
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._models.close()
        if self._thread.is_alive():
            self._thread.join(STOP_MARGIN_S)
        if self._thread.is_alive():
            _cut_off()

    def _searching(self, app: App) -> App:
        """The same for searches: local models for questions are processes of their own."""
        return replace(app, embedder_for=self._models.query_embedder)

    def _make_server(self, version: str) -> Server:
        settings = self._app.settings.daemon
        service = self._service = SearchService(self._searching(self._app))
        shown = Shown(
            lambda: self._app, self._condition, self._announcement, version, self._keeper.doubt_stores
        )
        return Server(
            make_surface(shown, service, self._tasks, self._events),
            settings.http,
            settings.token,
            searches_max=settings.searches_max,
            on_stop=service.close,
        )


def _for_life(app: App) -> tuple[object, ...]:
    """What a daemon keeps until it ends."""
    daemon = app.settings.daemon
    return app.data_dir, daemon.http, daemon.token, daemon.searches_max


def _cut_off() -> None:
    _log.warning("cut off: the next start goes on from the last commit")
    logging.shutdown()
    os._exit(ExitCode.OK)


class Signals:
    """Signals as they arrive, for a thread that waits for them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def wait(self, limit_s: float) -> Iterator[int]:
        """Those that came within the limit."""
        if self._poll.poll(limit_s * 1000):
            yield from os.read(self._descriptor, 64)

    def end_at_once(self) -> None:
        """From now on, SIGTERM and SIGINT end the process: it is as safe as a crash."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: os._exit(128 + number))


@contextmanager
def _signals() -> Iterator[Signals]:
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.signal(number, lambda *_: None) for number in handled}
    try:
        yield Signals(reading)
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
