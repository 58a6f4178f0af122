"""One pass over one generation, put together from the parts of the App: what every writing command runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reindex.app import App
from reindex.changes import Changes, find_changes
from reindex.core.identity import Recipe
from reindex.embedders.catalog import ModelCatalog
from reindex.maintenance import maintain
from reindex.model import DocumentName
from reindex.observe import Observation
from reindex.parsers.process import ParserProcess
from reindex.pipeline import Pipeline, remember
from reindex.report import PassReport, Progress
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
    stays.
    """
    now = writer.clock.now()
    number = writer.generation.number if writer.generation is not None else None
    changes = find_changes(observation, writer.ledger, number, accept_deletes=accept_deletes, now=now)
    if changes.unsure:
        return changes
    remember(writer, observation, changes, now)
    _count_unworked(changes, context.report)
    if not changes.plan.is_empty or writer.generation is None or not writer.is_live:
        if writer.generation is None:
            writer.start_generation(recipe)
        writer.check_rows()
        pipeline = _pipeline(context, writer, recipe, writer.ledger.failures.record)
        pipeline.run(observation, changes)
        context.progress.phase("upkeep", 0, "steps")
        maintain(writer, context.app.settings)
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
) -> Changes:
    """Bring a generation that nobody reads up to date with a look at the disk. `failures` are its own: what
    failed in the live one is tried here, for another recipe may do better. `parser` is for this pass alone.

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

    if not changes.plan.is_empty:
        writer.check_rows()
        recipe = writer.generation.recipe
        pipeline = _pipeline(context, writer, recipe, failed, parser, meanwhile)
        pipeline.run(observation, changes)
    return changes


def _pipeline(
    context: PassContext,
    writer: Writer,
    recipe: Recipe,
    failed: Callable[[Sequence[Failure]], None],
    parser: ParserProcess | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Pipeline:
    app = context.app
    embedding = app.settings.embedding
    return Pipeline(
        writer,
        app.preparer(recipe, context.catalog, context.sources, parser),
        app.embedder(recipe, context.catalog, context.report.notices.append),
        window_chunks=embedding.window_chunks,
        batch_tokens=embedding.batch_tokens,
        progress=context.progress,
        report=context.report,
        failed=failed,
        meanwhile=meanwhile,
    )


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
