"""`verify`: read the disk now, whole, and hold the published table against it."""

from reindex.app import App
from reindex.changes import find_changes
from reindex.errors import StoreError
from reindex.observe import observe
from reindex.report import Progress
from reindex.verify import INDEX_HINT, Verification, verify_deeply, verify_index


def run_verify(app: App, progress: Progress, *, deep: bool) -> Verification:
    """Needs no lock and changes nothing of the index (`deep` may make the encoder of its model).

    Raises NothingIndexedError before the first publish.

    A table that is missing or broken is drift: every document is missing.
    """
    reader = app.reader()
    published = reader.published()
    sources = app.sources()
    progress.phase("reading", 0, "files")
    observation = observe(list(sources.values()), None, app.clock, progress.advance, read_all=True)
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
            result = reader.with_snapshot(
                lambda snapshot: verify_index(snapshot, observation, failures, held)
            )
            reader.with_snapshot(lambda snapshot: snapshot.probe())
        except StoreError as error:
            if error.is_of_the_place:
                raise
            return Verification(missing=len(observation.revisions), details=[error.message, INDEX_HINT])
        if deep:
            catalog = app.catalog(ledger)
            preparer = app.preparer(published.recipe, catalog, sources)
            embedder = app.embedder(published.recipe, catalog)
            progress.phase("chunking and embedding again", len(observation.revisions), "documents")
            reader.with_snapshot(
                lambda snapshot: verify_deeply(
                    snapshot, observation, preparer, embedder, result, progress.advance
                )
            )
        return result
