"""Moving the published pointer to another generation: promotion and rollback, in one ledger transaction."""

from reindex.core.generations import Behind, Generation, GenerationState
from reindex.opening import Stores
from reindex.stores.ledger import Ledger
from reindex.writer import Writer, published_from


def promote(target: Writer, by: str, behind: Behind | None = None) -> None:
    """Send readers to this generation; the live one is retired. A crash between the two commits (the ledger's
    and the pointer's) is finished by the next opening. `by` is the command that did it, `behind` how far the
    generation is behind the disk.
    """
    stores, generation = target.stores, target.generation
    assert generation is not None, "there is something to promote"
    stores.lock.check()
    now = stores.clock.now()
    ledger = stores.ledger
    with ledger.transaction():
        live = ledger.generations.live()
        if live is not None:
            ledger.generations.change_state(live, GenerationState.RETIRED)
            ledger.generations.record_behind(live, None)
        promoted = ledger.generations.promote(generation, now, by)
        promoted = ledger.generations.record_behind(promoted, behind)
        _forget_healed(ledger, promoted)
        ledger.generations.record_publish(promoted, now, now - stores.reader_grace_s)
    target.open_generation(promoted)
    stores.pointer.write(published_from(promoted, now))


def lag_behind(stores: Stores, target: Generation, live: Generation) -> Behind | None:
    """How far an older generation is behind the live one: None where both hold the same revisions.

    A deletion has no moment of its own: it is as old as the live generation's promotion, at most.
    """
    differing = stores.ledger.documents.differing(target.number, live.number)
    if not differing:
        return None
    began = live.promoted_at or stores.clock.now()
    return Behind(len(differing), min(began if at is None else at for _, at in differing))


def _forget_healed(ledger: Ledger, promoted: Generation) -> None:
    """Documents that failed in the retired generation, and that this one holds at that very revision."""
    failures = ledger.failures.all()
    ledger.failures.forget(
        name
        for name, failure in failures.items()
        if (held := ledger.documents.one(promoted.number, name)) and held.revision == failure.revision
    )
