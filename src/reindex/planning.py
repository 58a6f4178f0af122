"""`plan`: what a sync would do and cost. Embeds nothing and writes nothing."""

from dataclasses import dataclass

from reindex.app import App
from reindex.changes import find_changes
from reindex.core.identity import chunk_ids, unpack_keys
from reindex.core.jobs import Lane
from reindex.core.money import FREE
from reindex.embedders.catalog import LOCAL, recipe_for, recipe_notice
from reindex.lanes import prices_of
from reindex.model import DocumentName, EmbeddingKey
from reindex.observe import observe
from reindex.preparing import Prepared
from reindex.report import Progress
from reindex.stores.cache import VectorCache
from reindex.stores.ledger import Ledger

TOKENS_PER_SECOND = 3_000.0  # of the default model on two cores: another machine or model takes its own time


@dataclass(frozen=True, slots=True)
class PlanReport:
    """The `plan` object of the interface, flat."""

    added: int
    changed: int
    moved: int
    deleted: int
    unchanged: int
    ignored: int
    pending: int
    failed: int
    held: int
    to_embed: int
    cached: int
    in_flight: int
    tokens: int
    usd_realtime: float
    usd_batch: float
    notices: tuple[str, ...]

    @property
    def eta_s(self) -> float:
        return round(self.tokens / TOKENS_PER_SECOND, 1)


def make_plan(app: App, progress: Progress) -> PlanReport:
    """Look at the disk, parse and chunk what changed, and ask the cache what is there already."""
    sources = app.sources()
    with app.ledger() as ledger:
        catalog = app.catalog(ledger)
        wanted = recipe_for(app.settings, catalog)
        live = ledger.generations.live() if ledger is not None else None
        recipe = live.recipe if live is not None else wanted
        progress.phase("scanning", 0, "files")
        files = ledger.files if ledger is not None else None
        observation = observe(list(sources.values()), files, app.clock, progress.advance)
        number = live.number if live is not None else None
        changes = find_changes(observation, ledger, number, accept_deletes=False, now=app.clock.now())
        work = [*changes.plan.added, *changes.plan.changed, *changes.plan.moved]
        progress.phase("chunking", len(work), "documents")
        texts: dict[EmbeddingKey, int] = {}
        unread = failed = 0
        preparer = app.preparer(recipe, catalog, sources) if work else None
        for name in work:
            assert preparer is not None, "there is work"
            prepared = preparer.prepare(name)
            progress.advance(1)
            if isinstance(prepared, Prepared):
                texts |= _new_texts(ledger, number, name, prepared, preparer.extra_tokens)
            else:
                unread += prepared is None
                failed += prepared is not None
        cached = _cached(app, list(texts))
        flying = set(ledger.jobs.in_flight(list(texts))) if ledger is not None else set()
        in_flight = ledger.jobs.texts_in_flight() if ledger is not None else 0
        notices = []
        if ledger is not None and live is not None and wanted.fingerprint != live.recipe.fingerprint:
            tokens = ledger.documents.tokens(live.number)
            notices.append(recipe_notice(live.number, live.recipe, wanted, tokens))
    to_embed = [key for key in texts if key not in cached and key not in flying]
    tokens = sum(texts[key] for key in to_embed)
    prices = FREE
    if recipe.space.provider != LOCAL:
        prices = prices_of(recipe.model, app.settings.embedding.openai)
        if not prices.is_known:
            notices.append(f"no price is known of {recipe.model}: [embedding.openai] price_usd sets it")
    plan = changes.plan
    return PlanReport(
        added=len(plan.added),
        changed=len(plan.changed),
        moved=len(plan.moved),
        deleted=len(plan.deleted),
        unchanged=plan.unchanged,
        ignored=observation.ignored,
        pending=changes.pending + unread,
        failed=failed + len(plan.failed) + len(changes.unreadable),
        held=len(changes.held),
        to_embed=len(to_embed),
        cached=len(cached),
        in_flight=in_flight,
        tokens=tokens,
        usd_realtime=prices.cost(Lane.REALTIME, tokens),
        usd_batch=prices.cost(Lane.BATCH, tokens),
        notices=tuple(notices),
    )


def _new_texts(
    ledger: Ledger | None, generation: int | None, name: DocumentName, prepared: Prepared, extra_tokens: int
) -> dict[EmbeddingKey, int]:
    """The texts of rows that are not in the table yet, with their tokens as sent."""
    layout = prepared.layout
    recorded = None
    if ledger is not None and generation is not None:
        recorded = ledger.documents.one(generation, name)
    old = set(chunk_ids(name, unpack_keys(recorded.keys))) if recorded is not None else set()
    return {
        key: chunk.tokens + extra_tokens
        for chunk_id, key, chunk in zip(layout.chunk_ids(), layout.keys, prepared.chunks, strict=True)
        if chunk_id not in old
    }


def _cached(app: App, keys: list[EmbeddingKey]) -> set[EmbeddingKey]:
    cache = VectorCache.open_for_reading(app.data_dir)
    if cache is None:
        return set()
    try:
        return cache.present(keys)
    finally:
        cache.close()
