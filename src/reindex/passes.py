"""One pass over one generation, put together from the parts of the App: what every writing command runs."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace

from reindex.app import App
from reindex.batch.adopting import may_have_unknown
from reindex.batch.gathering import Gatherer
from reindex.changes import Changes, find_changes
from reindex.core.identity import Recipe
from reindex.embedders.catalog import ModelCatalog
from reindex.errors import BudgetError, OutageError
from reindex.maintenance import maintain
from reindex.model import DocumentName
from reindex.observe import Observation
from reindex.parsers.process import ParserProcess
from reindex.pipeline import Pipeline
from reindex.remembering import remember
from reindex.report import PassReport, Progress
from reindex.routing import Router, straight_on
from reindex.sources.files import FileSource
from reindex.stores.failure_rows import Failure
from reindex.writer import Writer


@dataclass(frozen=True, slots=True)
class PassContext:
    """What a pass works from and tells: the sources as configured, the models, whom to tell how far it is."""

    app: App
    sources: Mapping[str, FileSource]
    catalog: ModelCatalog
    progress: Progress
    report: PassReport
    is_now: bool = False  # nothing waits for a batch
    outage: OutageError | None = None  # of the provider, which is not to be asked for anything


def serve_pass(
    context: PassContext,
    writer: Writer,
    recipe: Recipe,
    observation: Observation,
    *,
    accept_deletes: bool,
) -> Changes:
    """Bring the generation that readers see up to date with a look at the disk; make the first one if there
    is none. What the look found beside it (failures, held deletions) is written down. Nothing is done when
    the look was at some places and the changes are `unsure`.

    Raises ModelError, EmbeddingError, ParserUnavailableError and StoreError; what was published until then
    stays. Where a provider can't be used, what does not need it is published before that is raised.
    """
    now = writer.clock.now()
    number = writer.generation.number if writer.generation is not None else None
    changes = find_changes(
        observation,
        writer.ledger,
        number,
        accept_deletes=accept_deletes,
        now=now,
        awaits=not context.is_now,
    )
    if changes.unsure:
        return changes
    remember(writer, observation, changes, now)
    _count_unworked(changes, context.report)
    is_all = True
    if not changes.plan.is_empty or writer.generation is None or not writer.is_live:
        if writer.generation is None:
            writer.start_generation(recipe)
        writer.check_rows()
        is_all = _run(context, writer, recipe, observation, changes, writer.ledger.failures.record)
        context.progress.phase("upkeep", 0, "steps")
        maintain(writer, context.app.settings, context.progress.waiting)
    if is_all:
        _forget_due(writer, observation)
    if observation.places is None and not changes.pending:
        writer.mark_caught_up()
    return changes


def build_pass(
    context: PassContext,
    writer: Writer,
    parser: ParserProcess,
    observation: Observation,
    *,
    accept_deletes: bool,
    failures: dict[DocumentName, Failure],
    meanwhile: Callable[[], None],
) -> tuple[Changes, bool]:
    """Bring a generation that nobody reads up to date with a look at the disk. `failures` are its own: what
    failed in the live one is tried here, for another recipe may do better. `parser` is for this pass alone.
    Returns what was found changed, and whether all of it was worked on: False where documents were held back,
    by the budget or because batches may be unknown.

    Raises as `serve_pass` does; the next pass goes on from what was recorded.
    """
    assert writer.generation is not None, "it was started"
    changes = find_changes(
        observation,
        writer.ledger,
        writer.generation.number,
        accept_deletes=accept_deletes,
        now=writer.clock.now(),
        failures=failures,
    )

    def failed(more: Sequence[Failure]) -> None:
        failures.update((failure.name, failure) for failure in more)

    is_all = True
    if not changes.plan.is_empty:
        writer.check_rows()
        recipe = writer.generation.recipe
        is_all = _run(context, writer, recipe, observation, changes, failed, parser, meanwhile)
    if is_all:
        _forget_due(writer, observation)
    return changes, is_all


def _run(
    context: PassContext,
    writer: Writer,
    recipe: Recipe,
    observation: Observation,
    changes: Changes,
    failed: Callable[[Sequence[Failure]], None],
    parser: ParserProcess | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> bool:
    """One run of the pipeline, with the lanes of the recipe's provider. False: documents were held back, by
    the budget or because batches may be unknown.
    """
    app = context.app
    lanes = app.lanes(
        writer.stores, recipe, context.catalog, context.report.notices.append, context.progress.waiting
    )
    preparer = app.preparer(recipe, context.catalog, context.sources, parser)
    route, gatherer, is_all = straight_on, None, True
    if lanes.batch is not None:
        assert writer.generation is not None, "a pass has a generation"
        gatherer = Gatherer(lanes.batch, writer.generation, lanes.sent_dimensions)
        policy = replace(lanes.policy, is_now=context.is_now)
        router = Router(writer, policy, gatherer, preparer, context.report, context.progress)
        router.is_blind = may_have_unknown(writer.stores)
        is_all = not router.is_blind
        route = router.route
    pipeline = Pipeline(
        writer,
        preparer,
        lanes.direct,
        window_chunks=lanes.window_chunks,
        window_room=lanes.window_room,
        progress=context.progress,
        report=context.report,
        failed=failed,
        meanwhile=meanwhile,
        route=route,
        outage=context.outage,
    )
    with closing(gatherer) if gatherer is not None else nullcontext():
        try:
            pipeline.run(observation, changes)
        except BudgetError as error:
            notice = f"{error.message} ({error.hint})"
            if notice not in context.report.notices:
                context.report.notices.append(notice)
            context.report.documents.pending += pipeline.left
            assert writer.generation is not None, "a pass has a generation"
            writer.ledger.waits.hold_back(writer.generation.number, pipeline.lacking, writer.clock.now())
            is_all = False
    return is_all


def _forget_due(writer: Writer, observation: Observation) -> None:
    """After a look at everything, that was worked off."""
    assert writer.generation is not None, "a pass has a generation"
    if observation.places is None and writer.ledger.waits.any():
        writer.ledger.waits.forget_due(writer.generation.number)


def _count_unworked(changes: Changes, report: PassReport) -> None:
    if changes.plan.reparsed:
        report.notices.append(
            f"{changes.plan.reparsed} documents are parsed again, because parser or chunker are of another"
            " version; chunks that stay the same cost nothing"
        )
    report.documents.unchanged = changes.plan.unchanged
    report.documents.held = len(changes.held)
    report.documents.pending = changes.pending
    report.postponed += sorted(changes.unstable)
