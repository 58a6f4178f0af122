"""`sync`: one pass under the lock, with everything around it that a person wants to know."""

import time
from collections.abc import Mapping

from reindex.app import App
from reindex.changes import Changes, find_changes
from reindex.core.generations import GenerationState
from reindex.core.identity import Recipe
from reindex.embedders.catalog import ModelCatalog, recipe_for, recipe_notice
from reindex.errors import ConfigError
from reindex.maintenance import maintain, tidy_jobs
from reindex.observe import Observation, observe
from reindex.pipeline import Pipeline, remember
from reindex.recovery import recover
from reindex.report import PassReport, Progress
from reindex.sources.files import FileSource, RootState
from reindex.stores.cache import FILE as CACHE_FILE
from reindex.stores.lance import TableMissingError
from reindex.stores.sqlite import CorruptDatabaseError
from reindex.writer import Writer


def sync(app: App, progress: Progress, *, accept_deletes: bool) -> PassReport:
    """Bring the live generation up to date with the disk.

    Raises LockedError, ConfigError, ModelError, EmbeddingError and StoreError; what was published until then
    stays, and the next run goes on from there.
    """
    started = time.monotonic()
    report = PassReport()
    with app.writer("sync", progress.warn) as writer:
        tidy_jobs(writer)
        sources = app.sources()
        progress.phase("scanning", 0, "files")
        observation = observe(list(sources.values()), writer.ledger.files, app.clock, progress.advance)
        _report_sources(observation, writer, report)
        try:
            _run_pass(app, writer, sources, observation, progress, report, accept_deletes=accept_deletes)
        except (TableMissingError, CorruptDatabaseError) as damage:
            _replace_damaged(writer, damage)
            _run_pass(app, writer, sources, observation, progress, report, accept_deletes=accept_deletes)
        _complete(writer, report)
    report.duration_s = round(time.monotonic() - started, 3)
    return report


def _replace_damaged(writer: Writer, damage: TableMissingError | CorruptDatabaseError) -> None:
    """Damage that only the work itself met: give up what is damaged, and make it again from the rest."""
    if isinstance(damage, TableMissingError):
        if writer.generation is None:  # it vanished while it was made
            raise damage
        writer.give_up_table(writer.generation)
    elif damage.path.name == CACHE_FILE:
        writer.stores.replace_cache(damage)
        recover(writer)
    else:
        raise damage
    tidy_jobs(writer)


def _run_pass(
    app: App,
    writer: Writer,
    sources: Mapping[str, FileSource],
    observation: Observation,
    progress: Progress,
    report: PassReport,
    *,
    accept_deletes: bool,
) -> None:
    catalog = app.catalog(writer.ledger, is_writable=True)
    recipe = _recipe(app, writer, catalog, report)
    now = app.clock.now()
    generation = writer.generation.number if writer.generation is not None else None
    changes = find_changes(observation, writer.ledger, generation, accept_deletes=accept_deletes, now=now)
    remember(writer, observation, changes, now)
    _count_unworked(changes, report)
    if changes.plan.is_empty and writer.generation is not None and _is_live(writer):
        return
    if writer.generation is None:
        writer.start_generation(recipe)
    writer.check_rows()
    embedding = app.settings.embedding
    pipeline = Pipeline(
        writer,
        app.preparer(recipe, catalog, sources),
        app.embedder(recipe, catalog, report.notices.append),
        window_chunks=embedding.window_chunks,
        batch_tokens=embedding.batch_tokens,
        progress=progress,
        report=report,
    )
    pipeline.run(observation, changes)
    progress.phase("upkeep", 0, "steps")
    maintain(writer, app.settings)


def _recipe(app: App, writer: Writer, catalog: ModelCatalog, report: PassReport) -> Recipe:
    """The live generation's own recipe, and a difference is said; the settings' one when none is live."""
    wanted = recipe_for(app.settings, catalog)
    if writer.generation is not None and not _is_live(writer):
        if wanted != writer.generation.recipe:
            writer.drop_unpublished(writer.generation)  # nobody ever read it
        return wanted
    if writer.generation is None:
        return wanted
    live = writer.generation.recipe
    if wanted.fingerprint != live.fingerprint:
        report.notices.append(recipe_notice(writer.generation.number, live, wanted))
    return live


def _is_live(writer: Writer) -> bool:
    return writer.generation is not None and writer.generation.state is GenerationState.LIVE


def _report_sources(observation: Observation, writer: Writer, report: PassReport) -> None:
    """A folder that can't be scanned is an error where nothing is known of it, and a hold where it is."""
    broken = {name: s for name, s in observation.scans.items() if s.root_state is not RootState.OK}
    if broken and len(broken) == len(observation.scans) and writer.generation is None:
        name, scan = next(iter(broken.items()))
        raise ConfigError(
            f"source {name!r}: its folder can't be scanned: {scan.root_reason}",
            "Check [[sources]] path in the configuration.",
        )
    for name, scan in broken.items():
        report.notices.append(f"source {name!r}: its folder can't be scanned: {scan.root_reason}")
    for scan in observation.scans.values():
        report.notices += [f"skipped {scan.source}:{p.path}: {p.reason}" for p in scan.skipped]


def _count_unworked(changes: Changes, report: PassReport) -> None:
    if changes.plan.reparsed:
        report.notices.append(
            f"{changes.plan.reparsed} documents are parsed again, because parser or chunker are of another"
            " version; chunks that stay the same cost nothing"
        )
    report.documents.unchanged = changes.plan.unchanged
    report.documents.held = len(changes.held)
    report.documents.pending = changes.pending


def _complete(writer: Writer, report: PassReport) -> None:
    generation = writer.generation
    assert generation is not None, "a pass leaves a generation"
    report.generation, report.version = generation.number, generation.version
    report.chunks.total = writer.ledger.documents.totals(generation.number)[1]
    failures = writer.ledger.failures.all()
    report.documents.failed = len(failures)
    report.failures = {str(name): failure.reason for name, failure in failures.items()}
    report.notices += [
        f"source {hold.source!r}: {hold.documents} deletions are held, because {hold.reason}"
        " (--accept-deletes lets them go)"
        for hold in writer.ledger.failures.holds()
    ]
