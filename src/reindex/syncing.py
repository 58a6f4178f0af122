"""`sync`: one pass under the lock, with everything around it that a person wants to know."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from reindex.app import App
from reindex.attending import attend, is_awaiting, wait_for_batches
from reindex.changes import Changes, code_digest
from reindex.core.generations import Generation, GenerationState
from reindex.core.identity import Recipe
from reindex.embedders.catalog import ModelCatalog, recipe_for, recipe_notice
from reindex.errors import ConfigError, ModelError, OutageError
from reindex.maintenance import tidy_jobs
from reindex.model import WHOLE, DocumentName, Places, outermost
from reindex.observe import Observation, observe, other_names, unscanned_reason
from reindex.passes import PassContext, serve_pass
from reindex.recovery import recover
from reindex.report import PassReport, Progress
from reindex.sources.files import RootState
from reindex.stores.cache import FILE as CACHE_FILE
from reindex.stores.lance import TableMissingError
from reindex.stores.sqlite import CorruptDatabaseError
from reindex.writer import Writer


@dataclass(frozen=True, slots=True)
class Look:
    """What of the sources a pass looks at (None: everything), whom it tells of each folder right before it is
    listed, as (source, folder), and what is known to be half written and must not be read yet.
    """

    places: Places | None = None
    entering: Callable[[str, str], None] = lambda _, __: None
    writing: frozenset[DocumentName] = frozenset()


EVERYTHING = Look()


def sync(
    app: App,
    progress: Progress,
    *,
    accept_deletes: bool,
    is_now: bool = False,
    wait_s: float = 0.0,
) -> PassReport:
    """Bring the live generation up to date with the disk. What goes by batch is sent, and waited for so long.
    `is_now`: nothing goes by batch, and what is on its way so is embedded at once.

    Raises LockedError, ConfigError, ModelError, EmbeddingError and StoreError; what was published until then
    stays, and the next run goes on from there.
    """
    started = time.monotonic()
    with app.writer("sync", progress.warn) as writer:
        report = sync_with(app, writer, progress, accept_deletes=accept_deletes, is_now=is_now)

        def again() -> None:
            report.go_on_with(sync_with(app, writer, progress, texts_ahead=report.texts_ahead))

        if wait_s > 0 and is_awaiting(writer):
            wait_for_batches(app, writer, progress, report, wait_s, again)
        begun = writer.ledger.generations.unfinished()
        if begun is not None and begun != writer.generation:
            report.notices.append(unfinished_notice(begun))
    report.duration_s = round(time.monotonic() - started, 3)
    if report.outage is not None:
        raise report.outage
    return report


def sync_with(
    app: App,
    writer: Writer,
    progress: Progress,
    *,
    accept_deletes: bool = False,
    wanted: Recipe | None = None,
    look: Look = EVERYTHING,
    is_now: bool = False,
    attends: bool = True,
    outage: OutageError | None = None,
    texts_ahead: int = 0,
) -> PassReport:
    """The same on stores that are open already. `attends`: batches are looked after before and behind it, and
    what goes by batch is sent, however little it is. `wanted` is the recipe of a first generation, if it is
    to be another than the settings ask for. `texts_ahead` were taken in from batches before. A look at some
    places becomes one at all of a source where what was found there must not be believed otherwise.
    `outage`: the provider is known to be down; it is raised if anything needs it, after the rest was
    published.
    """
    tidy_jobs(writer)
    report = PassReport(texts_ahead=texts_ahead)
    catalog = app.catalog(writer.ledger, is_writable=True)
    context = PassContext(app, app.sources(), catalog, progress, report, is_now, outage)
    if attends:
        attend(app, writer, report, is_last=False)
    collected, report.texts_ahead = report.texts_ahead, 0  # their documents are written by this pass
    wanted = wanted or recipe_for(app.settings, context.catalog)
    progress.phase("scanning", 0, "files")
    observation = _observe(context, writer, look)
    report_sources(observation, writer, report)
    try:
        changes = _run_pass(context, writer, wanted, observation, accept_deletes=accept_deletes)
    except (TableMissingError, CorruptDatabaseError) as damage:
        _replace_damaged(writer, damage)
        observation = _observe(context, writer, EVERYTHING)  # what is made again is made of all of it
        changes = _run_pass(context, writer, wanted, observation, accept_deletes=accept_deletes)
    wider = dict(look.places or {})
    while changes.unsure:  # a wider look may find that another source is to be looked at whole, too
        assert all(wider.get(source) != WHOLE for source in changes.unsure), "the whole of it is sure"
        wider |= dict.fromkeys(changes.unsure, WHOLE)
        observation = _observe(context, writer, replace(look, places=wider))
        changes = _run_pass(context, writer, wanted, observation, accept_deletes=accept_deletes)
    generation = writer.generation
    if generation is not None and generation.recipe.fingerprint != wanted.fingerprint:
        tokens = writer.ledger.documents.tokens(generation.number)
        report.notices.append(recipe_notice(generation.number, generation.recipe, wanted, tokens))
    if attends:
        attend(app, writer, report, is_last=True)
    report.chunks.reused = max(0, report.chunks.reused - collected)
    complete(writer, report)
    return report


def _observe(context: PassContext, writer: Writer, look: Look) -> Observation:
    """With the other names of files that were found changed."""
    files = writer.ledger.files
    settled: dict[str, bytes] = {}
    if writer.generation is not None and writer.is_live:  # another may be given up before it is compared
        settled = writer.ledger.settled.of(writer.generation.number, code_digest())

    def seen(places: Places | None) -> Observation:
        return observe(
            list(context.sources.values()),
            files,
            context.app.clock,
            context.progress.advance,
            places=places,
            entering=look.entering,
            writing=look.writing,
            settled=settled,
        )

    observation = seen(look.places)
    if look.places is None:
        return observation
    others = other_names(observation, files)
    if not others:
        return observation
    wider = {source: set(paths) for source, paths in look.places.items()}
    for name in others:
        wider.setdefault(name.source, set()).add(name.path)
    return seen({source: outermost(paths) for source, paths in wider.items()})


def unfinished_notice(begun: Generation) -> str:
    """What to tell of a rebuild that was interrupted, or whose generation waits."""
    if begun.state is GenerationState.READY:
        return (
            f"generation {begun.number} is whole and waits: `reindex generations promote {begun.number}`"
            " sends readers to it, `reindex rebuild --abandon` drops it"
        )
    return (
        f"generation {begun.number} is not done, and only the live one was synced:"
        " `reindex rebuild` goes on with it, `reindex rebuild --abandon` drops it"
    )


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
    context: PassContext, writer: Writer, wanted: Recipe, observation: Observation, *, accept_deletes: bool
) -> Changes:
    recipe = _recipe(writer, wanted, context.catalog)
    return serve_pass(context, writer, recipe, observation, accept_deletes=accept_deletes)


def _recipe(writer: Writer, wanted: Recipe, catalog: ModelCatalog) -> Recipe:
    """The live generation's own recipe. When none is live: that of the one whose table was lost, or else what
    is wanted.
    """
    generation = writer.generation
    if generation is not None and writer.is_live:
        return generation.recipe
    recipe = _recipe_of_lost(writer, catalog) or wanted
    if generation is not None and generation.recipe.fingerprint != recipe.fingerprint:
        writer.drop_unread(generation)  # nobody ever read it
    return recipe


def _recipe_of_lost(writer: Writer, catalog: ModelCatalog) -> Recipe | None:
    """Of the generation that readers were on, when its table was lost: made again so, it costs nothing."""
    lost = [g for g in writer.ledger.generations.all() if g.promoted_at and g.state is GenerationState.LOST]
    if not lost:
        return None
    recipe = max(lost, key=lambda g: g.promoted_at or 0.0).recipe
    try:
        catalog.check(recipe)
    except ModelError:
        return None
    return recipe


def report_sources(observation: Observation, writer: Writer, report: PassReport) -> None:
    """A folder that can't be scanned is an error where nothing is known of it, and a hold where it is."""
    broken = {name: s for name, s in observation.scans.items() if s.root_state is not RootState.OK}
    if broken and len(broken) == len(observation.scans) and writer.generation is None:
        name, scan = next(iter(broken.items()))
        raise ConfigError(
            f"source {name!r}: its folder can't be scanned: {scan.root_reason}",
            "Check [[sources]] path in the configuration.",
        )
    for name, scan in observation.scans.items():
        report.unscanned[name] = scan.root_reason if name in broken else ""
    report.notices += [unscanned_reason(name, scan.root_reason) for name, scan in broken.items()]
    for scan in observation.scans.values():
        report.notices += [f"skipped {scan.source}:{p.path}: {p.reason}" for p in scan.skipped]


def complete(writer: Writer, report: PassReport) -> None:
    """What the report says of the generation as it is now, and of what is failed and held."""
    generation = writer.generation
    assert generation is not None, "a pass leaves a generation"
    if generation.promoted_at is not None:  # before the first publish there is nothing to name
        report.generation, report.version = generation.number, generation.version
    report.chunks.total = writer.ledger.documents.totals(generation.number)[1]
    failures = writer.ledger.failures.all()
    holds = writer.ledger.failures.holds()
    report.documents.failed = len(failures)
    report.documents.held = sum(hold.documents for hold in holds)  # also in sources not looked at
    report.failures = {str(name): failure.reason for name, failure in failures.items()}
    report.notices += [
        f"source {hold.source!r}: {hold.documents} deletions are held, because {hold.reason}"
        " (--accept-deletes lets them go)"
        for hold in holds
    ]
