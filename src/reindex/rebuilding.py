"""`rebuild`: a new generation beside the live one, proved by the gate, and the switch to it."""

import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

from reindex.app import App
from reindex.attending import attend, wait_for_batches
from reindex.building import Building
from reindex.core.generations import Generation, GenerationState
from reindex.core.identity import Recipe
from reindex.embedders.catalog import recipe_for
from reindex.errors import DiskError
from reindex.gate import Answer, GateReport, documents_found
from reindex.maintenance import tidy_jobs
from reindex.probes import Probe, read_probes
from reindex.recovery import recover_beside
from reindex.report import PassReport, Progress
from reindex.settings import Settings
from reindex.stores.snapshot import Snapshot
from reindex.syncing import complete, sync_with
from reindex.writer import Writer

_SPARE = 1.2  # times the size of the live table: its own, and what indices take while they are made
_CACHE_ROW_BYTES = 1.5  # times the size of a vector: its row, and SQLite's log


@dataclass(frozen=True, slots=True)
class RebuildOptions:
    """How to rebuild. `model` and `provider` replace the settings' own; `fresh` trusts no cached vector;
    `wait_s` is how long to wait for what goes by batch.
    """

    model: str | None = None
    provider: Literal["local", "openai"] | None = None
    fresh: bool = False
    promotes: bool = True
    wait_s: float = 0.0

    def settings(self, settings: Settings) -> Settings:
        """With what the options replace."""
        embedding = settings.embedding
        embedding = replace(
            embedding, model=self.model or embedding.model, provider=self.provider or embedding.provider
        )
        return replace(settings, embedding=embedding)


@dataclass(slots=True)
class RebuildReport:
    """What a rebuild or a promotion did. `gate` is None where none was asked: a first generation."""

    from_generation: int | None
    generation: int
    promoted: bool
    gate: GateReport | None
    work: PassReport

    @property
    def is_refused(self) -> bool:
        """The gate's reasons kept it from being promoted."""
        return self.gate is not None and not self.gate.passed and not self.promoted


def rebuild(app: App, progress: Progress, options: RebuildOptions) -> RebuildReport:
    """Make a generation by the recipe of settings and options, or go on with the one that was begun; promote
    it if the gate lets it pass. The live one is kept fresh meanwhile.

    Raises LockedError, ConfigError, ModelError, EmbeddingError and StoreError; what is done stays, and the
    next run goes on from there.
    """
    started = time.monotonic()
    probes = probes_of(app)
    with app.writer("rebuild", progress.warn) as live:
        tidy_jobs(live)
        catalog = app.catalog(live.ledger, is_writable=True)
        recipe = recipe_for(options.settings(app.settings), catalog)
        report = None if live.is_live else _first_load(app, live, recipe, progress, options.wait_s)
        if report is None or _recipe_of(live).fingerprint != recipe.fingerprint:
            beside = _begin(live, recipe, options, progress)
            report = bring_up(
                app,
                live,
                beside,
                progress,
                probes,
                by="rebuild",
                promotes=options.promotes,
                wait_s=options.wait_s,
            )
    report.work.duration_s = round(time.monotonic() - started, 3)
    return report


def go_on(app: App, progress: Progress) -> RebuildReport | None:
    """With the generation that waited for its batches, as it was asked for. None where none is begun.

    Raises as `rebuild`.
    """
    with app.writer("rebuild", progress.warn) as live:
        begun = live.ledger.generations.unfinished()
        if begun is None or not live.is_live or begun.state is not GenerationState.BUILDING:
            return None
        beside = Writer(live.stores)
        beside.open_generation(begun)
        recover_beside(beside)
        if beside.generation is None:
            return None
        promotes = live.ledger.note(_wish(begun.number)) != _KEEP
        return bring_up(app, live, beside, progress, probes_of(app), by="rebuild", promotes=promotes)


def _wish(generation: int) -> str:
    """The note that it waits for batches, and what is to become of it then."""
    return f"generation {generation} waits"


_PROMOTE, _KEEP = "promote", "keep"


def is_due(live: Writer) -> int | None:
    """The generation that waited for batches, or for the budget, and may go on; None where there is none."""
    begun = live.ledger.generations.unfinished()
    if begun is None or not live.is_live or begun.state is not GenerationState.BUILDING:
        return None
    is_asked = live.ledger.note(_wish(begun.number)) is not None
    return begun.number if is_asked and not live.ledger.waits.are_in_flight(begun.number) else None


def abandon(app: App, progress: Progress) -> int | None:
    """Drop the generation that was begun and not promoted; its number, or None where there is none."""
    with app.writer("rebuild --abandon", progress.warn) as writer:
        begun = writer.ledger.generations.unfinished()
        if begun is None or writer.generation is None or begun.number == writer.generation.number:
            return None
        Writer(writer.stores).drop_unread(begun)
        return begun.number


def bring_up(
    app: App,
    live: Writer,
    beside: Writer,
    progress: Progress,
    probes: Sequence[Probe],
    *,
    by: str,
    promotes: bool,
    force: bool = False,
    wait_s: float = 0.0,
) -> RebuildReport:
    """Bring a generation up to date beside the live one, ask the gate, and switch to it. What goes by batch
    is waited for so long; with work in flight after that, it is not promoted, and goes on another time.
    """
    assert live.generation is not None and beside.generation is not None, "both are open"  # noqa: PT018
    before, number = live.generation.number, beside.generation.number
    with closing(Building(app, live, beside, progress)) as building:
        work = building.report
        fresh = building.keep_live_fresh
        attend(app, live, work, is_last=False, meanwhile=fresh)
        observation = building.catch_up()
        if building.waiting:
            attend(app, live, work, is_last=True, meanwhile=fresh)
            wait_for_batches(app, live, progress, work, wait_s, building.catch_up, fresh)
            observation = building.catch_up()
        if building.waiting:
            live.ledger.record_note(_wish(number), _PROMOTE if promotes else _KEEP)
            work.take_ahead()
            complete(beside, work)
            return RebuildReport(before, number, promoted=False, gate=None, work=work)
        building.finish_indices()
        building.mark_ready()
        gate = building.inspect(observation, probes, answer_of(app), app.settings.promotion.min_recall)
        promoted = False
        if promotes and (gate.passed or force):
            promoted = building.promote(by, gate, force=force)
    work.take_ahead()
    complete(beside, work)
    return RebuildReport(before, number, promoted, gate, work)


def answer_of(app: App) -> Answer:
    """Questions answered as a user's query is, by the snapshot's own model."""
    reader = app.reader()

    def answer(snapshot: Snapshot, question: str) -> Sequence[str]:
        return documents_found([(hit.source, hit.path) for hit in reader.ask(snapshot, question).hits])

    return answer


def probes_of(app: App) -> list[Probe]:
    """Those of [promotion] queries; none where it is not set."""
    queries = app.settings.promotion.queries
    return read_probes(queries) if queries is not None else []


def _first_load(app: App, writer: Writer, recipe: Recipe, progress: Progress, wait_s: float) -> RebuildReport:
    """Nothing is live: what there is to rebuild is made, or made again by its own recipe if it was lost."""
    work = sync_with(app, writer, progress, wanted=recipe)

    def again() -> None:
        work.go_on_with(sync_with(app, writer, progress, wanted=recipe, texts_ahead=work.texts_ahead))

    wait_for_batches(app, writer, progress, work, wait_s, again)
    assert writer.generation is not None, "a first pass leaves a generation"
    return RebuildReport(None, writer.generation.number, promoted=writer.is_live, gate=None, work=work)


def _recipe_of(writer: Writer) -> Recipe:
    assert writer.generation is not None, "it has one"
    return writer.generation.recipe


def _begin(live: Writer, recipe: Recipe, options: RebuildOptions, progress: Progress) -> Writer:
    """The generation that was begun by this recipe, or a new one."""
    beside = Writer(live.stores)
    begun = live.ledger.generations.unfinished()
    if begun is not None and _is_wanted(begun, recipe, options):
        beside.open_generation(begun)
        recover_beside(beside)
    elif begun is not None:
        progress.warn(
            f"generation {begun.number} ({begun.recipe.described}) was begun by another recipe,"
            " or not afresh: it is dropped"
        )
        beside.drop_unread(begun)
    if beside.generation is None:
        _check_space(live, recipe)
        beside.start_generation(recipe, fresh=options.fresh)
    return beside


def _is_wanted(begun: Generation, recipe: Recipe, options: RebuildOptions) -> bool:
    assert begun.state in {GenerationState.BUILDING, GenerationState.READY}, "it is unfinished"
    return begun.recipe.fingerprint == recipe.fingerprint and (begun.is_fresh or not options.fresh)


def _check_space(live: Writer, recipe: Recipe) -> None:
    """Raises DiskError where a second table, and the vectors that the cache is to take, have no room."""
    assert live.generation is not None, "it is live"
    space = live.generation.recipe.space
    chunks = live.ledger.documents.totals(live.generation.number)[1]
    old_vectors, new_vectors = 4 * chunks * space.dimensions, 4 * chunks * recipe.space.dimensions
    live_bytes = live.table().statistics().live_bytes
    needed = _SPARE * max(live_bytes, live_bytes - old_vectors + new_vectors)
    if recipe.space != space:
        needed += _CACHE_ROW_BYTES * new_vectors
    free = shutil.disk_usage(live.data_dir).free
    if needed > free:
        raise DiskError(
            f"a rebuild needs about {needed / 1e6:,.0f} MB beside the live index, and {live.data_dir} has"
            f" {free / 1e6:,.0f} MB free",
            "Free some space (`reindex gc` may), or index into another --data-dir.",
        )
