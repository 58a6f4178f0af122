"""What clients may ask a daemon to do: each command by the same service as without it."""

from collections.abc import Callable

from reindex.app import App
from reindex.daemon.condition import Condition
from reindex.outcomes import (
    abandon_outcome,
    cancel_outcome,
    drop_outcome,
    gc_outcome,
    pause_outcome,
    rebuild_outcome,
    retry_outcome,
    sync_outcome,
)
from reindex.report import Progress
from reindex.tasks import Outcome, Task


class Commands:
    """Carried out in the keeper's thread, on its open stores."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition
        self._known: dict[str, Callable[[App, Task, Progress], Outcome]] = {
            "sync": self._sync,
            "rebuild": _rebuild,
            "promote": _promote,
            "rollback": _rollback,
            "drop": _drop,
            "gc": _gc,
            "retry": _retry,
            "cancel": _cancel,
            "pause": self._pause,
            "resume": self._resume,
        }

    def perform(self, app: App, task: Task, progress: Progress) -> Outcome:
        """Raises any ReindexError of the command."""
        return self._known[task.command](app, task, progress)

    def _sync(self, app: App, task: Task, progress: Progress) -> Outcome:
        from reindex.syncing import sync

        report = sync(
            app,
            progress,
            accept_deletes=bool(task.options.get("accept_deletes")),
            is_now=bool(task.options.get("now")),
            wait_s=_seconds(task),
        )
        self._condition.lacks(report)
        return sync_outcome(report)

    def _pause(self, app: App, task: Task, progress: Progress) -> Outcome:
        del app, task, progress
        self._condition.is_paused = True
        return pause_outcome(paused=True)

    def _resume(self, app: App, task: Task, progress: Progress) -> Outcome:
        del app, task, progress
        self._condition.is_paused = False
        return pause_outcome(paused=False)


def _rebuild(app: App, task: Task, progress: Progress) -> Outcome:
    from reindex.rebuilding import RebuildOptions, abandon, go_on, rebuild

    options = task.options
    if options.get("abandon"):
        return abandon_outcome(abandon(app, progress))
    if options.get("go_on"):
        report = go_on(app, progress)
        return abandon_outcome(None) if report is None else rebuild_outcome(report)
    return rebuild_outcome(
        rebuild(
            app,
            progress,
            RebuildOptions(
                model=_text(options.get("model")),
                provider=options.get("provider"),  # type: ignore[arg-type]  # the API checked the choice
                fresh=bool(options.get("fresh")),
                promotes=not options.get("no_promote"),
                wait_s=_seconds(task),
            ),
        )
    )


def _promote(app: App, task: Task, progress: Progress) -> Outcome:
    from reindex.switching import promote_generation

    force = bool(task.options.get("force"))
    return rebuild_outcome(promote_generation(app, progress, _number(task, "generation"), force=force))


def _rollback(app: App, task: Task, progress: Progress) -> Outcome:
    from reindex.switching import rollback

    return rebuild_outcome(rollback(app, progress, force=bool(task.options.get("force"))))


def _drop(app: App, task: Task, progress: Progress) -> Outcome:
    from reindex.switching import drop

    return drop_outcome(drop(app, progress, _number(task, "generation")).number)


def _gc(app: App, task: Task, progress: Progress) -> Outcome:
    from reindex.attending import remove_uploads
    from reindex.maintenance import collect_garbage

    del task
    with app.writer("gc", progress.warn) as writer:
        progress.phase("collecting garbage", 0, "steps")
        remove_uploads(app, writer)
        return gc_outcome(collect_garbage(writer, app.settings))


def _retry(app: App, task: Task, progress: Progress) -> Outcome:
    from reindex.retrying import retry

    with app.writer("jobs retry", progress.warn) as writer:
        return retry_outcome(retry(writer, _text(task.options.get("job"))))


def _cancel(app: App, task: Task, progress: Progress) -> Outcome:
    from reindex.retrying import cancel

    with app.writer("jobs cancel", progress.warn) as writer:
        return cancel_outcome(cancel(app, writer, str(task.options["job"])))


def _seconds(task: Task) -> float:
    """How long to wait for work in flight."""
    value = task.options.get("wait")
    return float(value) if isinstance(value, (int, float)) else 0.0


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(task: Task, name: str) -> int:
    value = task.options.get(name)
    assert isinstance(value, int), "the API checked it"
    return value
