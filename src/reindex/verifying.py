"""`verify`: read the disk now, whole, and hold the published table against it."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from reindex.app import App
from reindex.changes import document_parser, find_changes
from reindex.core.identity import Recipe
from reindex.embedders.catalog import LOCAL, ModelCatalog
from reindex.errors import StoreError
from reindex.model import DocumentName, EmbeddingKey
from reindex.observe import Observation, observe
from reindex.report import Progress
from reindex.stores.cache import VectorCache
from reindex.stores.ledger import Ledger
from reindex.stores.snapshot import StoredChunk
from reindex.vectors import Vector
from reindex.verify import INDEX_HINT, Verification, verify_deeply, verify_index


def run_verify(app: App, progress: Progress, *, deep: bool, spends: bool = False) -> Verification:
    """Needs no lock and changes nothing of the index (`deep` may make the encoder of its model).

    `deep` compares the vectors of a sample with what the model says of its texts again; those of a provider's
    model with the cache, unless it `spends`.

    Raises NothingIndexedError before the first publish.

    A table that is missing or broken is drift: every document is missing.
    """
    reader = app.reader()
    published = reader.published()
    sources = app.sources()
    progress.phase("reading", 0, "files")
    observation = observe(list(sources.values()), None, app.clock, progress.advance)
    with app.ledger() as ledger:
        now = app.clock.now()
        number = published.generation
        changes = find_changes(observation, ledger, number, accept_deletes=False, now=now)
        try:
            progress.phase("comparing", 0, "rows")
            known = {hold.source for hold in ledger.failures.holds()} if ledger is not None else set()
            held = [name for name in changes.held if name.source in known]  # what no sync held is drift
            failures = {  # what could not be read, and is gone or readable now, excuses nothing
                name: failure
                for name, failure in changes.waiting.items()
                if failure.revision is not None or name in changes.unreadable
            }
            waiting = [*changes.plan.waiting, *_due(ledger, number, observation)]
            result = reader.with_snapshot(
                lambda snapshot: verify_index(snapshot, observation, failures, held, waiting)
            )
            reader.with_snapshot(lambda snapshot: snapshot.probe())
        except StoreError as error:
            if error.is_of_the_place:
                raise
            return Verification(missing=observation.total, details=[error.message, INDEX_HINT])
        if deep:
            catalog = app.catalog(ledger)
            preparer = app.preparer(published.recipe, catalog, sources)
            progress.phase("chunking and embedding again", observation.total, "documents")
            with _vectors_again(app, published.recipe, catalog, spends=spends) as again:
                reader.with_snapshot(
                    lambda snapshot: verify_deeply(
                        snapshot, observation, preparer, again, result, progress.advance
                    )
                )
        return result


def _due(ledger: Ledger | None, generation: int, observation: Observation) -> list[DocumentName]:
    """Documents whose batch has ended, or that the budget holds back, at exactly the disk's revision: a pass
    that may take them in has yet to come.
    """
    if ledger is None:
        return []
    failures = ledger.failures.all()
    return [
        name
        for name, wait in ledger.waits.all(generation).items()
        if not (wait.is_in_flight or name in failures)
        and (wait.revision, wait.parser) == (observation.revision(name), document_parser(name.path))
    ]


@contextmanager
def _vectors_again(
    app: App, recipe: Recipe, catalog: ModelCatalog, *, spends: bool
) -> Iterator[Callable[[StoredChunk], Vector | None]]:
    """What the vector of a chunk has to be: from the model, or from the cache where the model has a price."""
    space = recipe.space
    if space.provider == LOCAL or spends:
        embedder = app.embedder(recipe, catalog)
        yield lambda chunk: embedder.embed([space.document_prompt + chunk.text])[0]
        return
    cache = VectorCache.open_for_reading(app.data_dir)
    if cache is None:
        yield lambda _: None
        return
    with closing(cache):

        def cached(chunk: StoredChunk) -> Vector | None:
            key = EmbeddingKey(bytes.fromhex(chunk.key))
            return cache.get([key], space.dimensions).get(key)

        yield cached
