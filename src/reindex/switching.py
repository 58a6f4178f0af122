"""`generations promote`, `rollback` and `drop`: sending readers elsewhere by hand."""

import time
from collections.abc import Iterable

from reindex.app import App
from reindex.core.canary import CANARY_TEXT
from reindex.core.generations import Generation, GenerationState
from reindex.errors import ConfigError, EmbeddingError, ModelError, NothingIndexedError, StoreError
from reindex.maintenance import tidy_jobs
from reindex.promotion import lag_behind, promote
from reindex.rebuilding import RebuildReport, bring_up, probes_of
from reindex.recovery import recover_beside
from reindex.report import PassReport, Progress
from reindex.syncing import complete, sync_with
from reindex.writer import Writer

_SWITCHED = {  # why a generation in this state can't take the live one's place
    GenerationState.BUILDING: ("is not whole", "`reindex rebuild` goes on with it."),
    GenerationState.LIVE: ("is the live one already", ""),
    GenerationState.LOST: ("has lost its table", "`reindex rebuild` makes another."),
    GenerationState.DROPPED: ("was dropped", "`reindex rebuild` makes another."),
}


def promote_generation(app: App, progress: Progress, number: int, *, force: bool) -> RebuildReport:
    """Bring a generation that is ready, or was live before, up to date, ask the gate, and switch to it.

    `force` switches whatever the gate says.
    """
    started = time.monotonic()
    probes = probes_of(app)
    with app.writer("generations promote", progress.warn) as live:
        tidy_jobs(live)
        target = _switchable(find_generation(live.ledger.generations.all(), number))
        beside = _open_beside(live, target)
        report = bring_up(
            app, live, beside, progress, probes, by="generations promote", promotes=True, force=force
        )
    report.work.duration_s = round(time.monotonic() - started, 3)
    return report


def rollback(app: App, progress: Progress, *, force: bool) -> RebuildReport:
    """Send readers back to the generation that was live before, at once; then bring it up to date.

    Raises ModelError when its query model can't be had; with `force` it answers by words alone.
    """
    started = time.monotonic()
    with app.writer("generations rollback", progress.warn) as writer:
        live = _live(writer)
        target = _previous(writer.ledger.generations.all())
        beside = _open_beside(writer, target)
        if not force:
            _check_model(app, beside, target)
        behind = lag_behind(writer.stores, target, live)
        promote(beside, "rollback", behind)
        if behind is not None:
            progress.warn(f"readers are on generation {target.number} again; it is brought up to date now")
        work = PassReport()
        try:
            work = sync_with(app, beside, progress)
        except ModelError as error:
            if not force:
                raise
            complete(beside, work)
            work.notices.append(f"it could not be brought up to date: {error.message}")
    work.duration_s = round(time.monotonic() - started, 3)
    return RebuildReport(live.number, target.number, promoted=True, gate=None, work=work)


def drop(app: App, progress: Progress, number: int) -> Generation:
    """Give up a generation that readers are not on. The files of one that they were on stay until nobody can
    be reading them any more: `gc` removes them.
    """
    with app.writer("generations drop", progress.warn) as writer:
        generation = find_generation(writer.ledger.generations.all(), number)
        if writer.generation is not None and number == writer.generation.number:
            raise ConfigError(
                f"generation {number} is the one that is searched", "Promote another one first."
            )
        if generation.state is not GenerationState.DROPPED:
            Writer(writer.stores).drop_unread(generation)
    return generation


def find_generation(generations: Iterable[Generation], number: int) -> Generation:
    """Raises ConfigError when there is none of that number."""
    found = next((g for g in generations if g.number == number), None)
    if found is None:
        raise ConfigError(f"there is no generation {number}", "`reindex generations` lists them.")
    return found


def _switchable(generation: Generation) -> Generation:
    if generation.state in _SWITCHED:
        what, hint = _SWITCHED[generation.state]
        raise ConfigError(f"generation {generation.number} {what}", hint)
    return generation


def _live(writer: Writer) -> Generation:
    if writer.generation is None or not writer.is_live:
        raise NothingIndexedError("nothing indexed yet: run sync", "reindex sync")
    return writer.generation


def _previous(generations: Iterable[Generation]) -> Generation:
    """The one that readers left last."""
    retired = [g for g in generations if g.state is GenerationState.RETIRED]
    if not retired:
        raise ConfigError("there is no earlier generation to go back to", "`reindex generations` lists them.")
    return max(retired, key=lambda generation: generation.promoted_at or 0.0)


def _open_beside(live: Writer, target: Generation) -> Writer:
    _live(live)
    beside = Writer(live.stores, target)
    recover_beside(beside)
    if beside.generation is None:
        raise StoreError(
            f"the table of generation {target.number} is missing or broken",
            "`reindex rebuild` makes another.",
        )
    return beside


def _check_model(app: App, writer: Writer, target: Generation) -> None:
    """Answers need a model that embeds queries."""
    try:
        app.embedder(target.recipe, app.catalog(writer.ledger)).embed([CANARY_TEXT])
    except (ModelError, EmbeddingError) as error:
        raise ModelError(
            f"generation {target.number} would answer by words alone: {error.message}",
            "Mend that, or take it all the same with --force.",
        ) from error
