"""`status`: how the index stands against the disk right now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from reindex.app import App
from reindex.changes import Changes, find_changes
from reindex.core.generations import Generation
from reindex.core.jobs import JobState
from reindex.embedders.catalog import recipe_for, recipe_notice
from reindex.errors import ReindexError
from reindex.model import DocumentName
from reindex.observe import Observation, observe
from reindex.sources.files import RootState
from reindex.status_reasons import (
    budget_reason,
    held_reason,
    unanswered_reasons,
    unscanned_reasons,
    waiting_reason,
)
from reindex.stores.booking_rows import REPEATS, Spend
from reindex.stores.failure_rows import Failure, Hold
from reindex.stores.ledger import Ledger
from reindex.stores.wait_rows import WaitSummary


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The whole store. `lag_s` is the age of the oldest change that is not indexed, 0 without one."""

    state: str
    reasons: tuple[str, ...]
    live: Generation | None
    building: Generation | None
    building_documents: int
    building_chunks: int
    documents: int
    chunks: int
    pending: int
    failures: tuple[Failure, ...]
    held: int
    holds: tuple[Hold, ...]
    lag_s: float
    jobs: dict[JobState, int]
    spend: Spend
    paid_again: dict[str, int]


def store_status(app: App) -> StoreStatus:
    """Compare the disk with the ledger by stat (and by content where a stat proves nothing)."""
    with app.ledger() as ledger:
        live = ledger.generations.live() if ledger is not None else None
        files = ledger.files if ledger is not None else None
        observation = observe(list(app.sources().values()), files, app.clock)
        now = app.clock.now()
        number = live.number if live is not None else None
        changes = find_changes(observation, ledger, number, accept_deletes=False, now=now)
        pending = _pending(changes)
        held_back = _held_back(ledger, live)
        scans = observation.scans.items()
        unscanned = {name: s.root_reason for name, s in scans if s.root_state is not RootState.OK}
        unanswered = unanswered_reasons(app, live)
        return _status(
            ledger,
            state=_state(app, live, changes, is_degraded=bool(unanswered or (live and unscanned))),
            reasons=(
                *_reasons(app, live, changes, pending),
                *unscanned_reasons(unscanned, changes.holds),
                *unanswered,
                *budget_reason(len(held_back & set(pending))),
                *_recipe_reason(app, ledger, live),
            ),
            pending=len(pending),
            failures=_failures(changes, observation),
            holds=changes.holds,
            lag_s=_lag(observation, pending, now),
        )


def recorded_status(
    app: App,
    *,
    state: str,
    reasons: Sequence[str],
    pending: int,
    lag_s: float,
    unscanned: Mapping[str, str] = MappingProxyType({}),
) -> StoreStatus:
    """The same for one who knows what is pending, without a look at the disk: failures and holds are those of
    the last pass, and so is what can't be scanned, by source. Raises StoreError.
    """
    with app.ledger() as ledger:
        live = ledger.generations.live() if ledger is not None else None
        failures = tuple(ledger.failures.all().values()) if ledger is not None else ()
        holds = tuple(ledger.failures.holds()) if ledger is not None else ()
        found = [*reasons, *_recipe_reason(app, ledger, live)]
        if failures:
            found.append(f"{len(failures)} documents failed: `reindex jobs list` says why")
        found += [held_reason(hold) for hold in holds]
        found += unscanned_reasons(unscanned, holds)
        unanswered = unanswered_reasons(app, live)
        found += unanswered
        waits = _waits(ledger, live)
        if waits.in_flight:
            found.append(waiting_reason(waits.in_flight))
        found += budget_reason(waits.held_back)
        if waits.since is not None:
            lag_s = max(lag_s, app.clock.now() - waits.since)
        if live is not None and not _has_table(app, live):
            found.append("the table of the live generation is missing: it is made again")
        is_well = state != "ready" or not (failures or holds or unanswered)
        return _status(
            ledger,
            state=state if is_well else "degraded",
            reasons=tuple(found),
            # a pass under way has planned those that are not in flight
            pending=waits.in_flight + max(pending, waits.documents - waits.in_flight),
            failures=failures,
            holds=holds,
            lag_s=round(lag_s, 3),
        )


def unreadable_status(
    error: ReindexError, *, state: str, reasons: Sequence[str], pending: int, lag_s: float
) -> StoreStatus:
    """Where the ledger can't be read: nothing is known of what is in it."""
    return _status(
        None,
        state="degraded" if state == "ready" else state,
        reasons=(*reasons, f"nothing is known of the index: {error.message} ({error.hint})"),
        pending=pending,
        failures=(),
        holds=(),
        lag_s=round(lag_s, 3),
    )


def _status(
    ledger: Ledger | None,
    *,
    state: str,
    reasons: tuple[str, ...],
    pending: int,
    failures: tuple[Failure, ...],
    holds: tuple[Hold, ...],
    lag_s: float,
) -> StoreStatus:
    """With what the ledger knows."""
    live = begun = None
    documents = chunks = begun_documents = begun_chunks = 0
    spend, again = Spend(), dict.fromkeys(REPEATS, 0)
    jobs = dict.fromkeys(JobState, 0)
    if ledger is not None:
        live, begun = ledger.generations.live(), ledger.generations.unfinished()
        jobs = ledger.jobs.counts()
        spend = ledger.bookings.spend()
        again = {outcome: ledger.bookings.texts(outcome) for outcome in REPEATS}
    if ledger is not None and live is not None:
        documents, chunks = ledger.documents.totals(live.number)
    if ledger is not None and begun is not None:
        begun_documents, begun_chunks = ledger.documents.totals(begun.number)
    return StoreStatus(
        state=state,
        reasons=reasons,
        live=live,
        building=begun,
        building_documents=begun_documents,
        building_chunks=begun_chunks,
        documents=documents,
        chunks=chunks,
        pending=pending,
        failures=failures,
        held=sum(hold.documents for hold in holds),
        holds=holds,
        lag_s=lag_s,
        jobs=jobs,
        spend=spend,
        paid_again={outcome.name.lower().removeprefix("again_"): n for outcome, n in again.items()},
    )


def _recipe_reason(app: App, ledger: Ledger | None, live: Generation | None) -> list[str]:
    """The settings ask for another recipe than the live generation has, or for one that can't be."""
    if live is None or ledger is None:
        return []
    try:
        wanted = recipe_for(app.settings, app.catalog(ledger))
    except ReindexError as error:
        return [error.message]
    if wanted.fingerprint == live.recipe.fingerprint:
        return []
    return [recipe_notice(live.number, live.recipe, wanted, ledger.documents.tokens(live.number))]


def _state(app: App, live: Generation | None, changes: Changes, *, is_degraded: bool) -> str:
    """`empty` before the first publish, `degraded` when something needs a person, else `ready`."""
    if is_degraded:
        return "degraded"
    if live is None:
        return "empty"
    needs_help = changes.unreadable or changes.holds or changes.plan.failed or not _has_table(app, live)
    return "degraded" if needs_help else "ready"


def _has_table(app: App, live: Generation) -> bool:
    return (app.data_dir / live.manifest).exists()


def _pending(changes: Changes) -> list[DocumentName]:
    plan = changes.plan
    return [
        *plan.added,
        *plan.changed,
        *plan.moved,
        *plan.deleted,
        *plan.waiting,
        *sorted(changes.unstable),
    ]


def _failures(changes: Changes, observation: Observation) -> tuple[Failure, ...]:
    """Known failures that still explain the disk; a failed document that changed is pending instead."""
    known = changes.waiting
    return tuple(
        failure
        for name, failure in known.items()
        if name in changes.unreadable
        or (failure.revision is not None and failure.revision == observation.revision(name))
    )


def _lag(observation: Observation, pending: list[DocumentName], now: float) -> float:
    times = [
        max(observation.stat(name).mtime_ns, observation.stat(name).ctime_ns) / 1e9
        for name in pending
        if observation.revision(name) is not None
    ]
    return round(max(0.0, now - min(times)), 3) if times else 0.0


def _reasons(
    app: App, live: Generation | None, changes: Changes, pending: list[DocumentName]
) -> tuple[str, ...]:
    reasons = []
    if live is not None and not _has_table(app, live):
        reasons.append("the table of the live generation is missing: run sync")
    waiting = len(changes.plan.waiting)
    if waiting:
        reasons.append(waiting_reason(waiting))
    to_sync = len(pending) - waiting
    if to_sync:
        reasons.append(f"{to_sync} document{'s' * (to_sync != 1)} to be synced")
    if changes.unreadable:
        reasons.append(f"{len(changes.unreadable)} documents can't be read")
    if changes.plan.failed:
        reasons.append(f"{len(changes.plan.failed)} documents failed: `reindex jobs list` says why")
    reasons += [held_reason(hold) for hold in changes.holds]
    return tuple(reasons)


def _waits(ledger: Ledger | None, live: Generation | None) -> WaitSummary:
    """For the live generation, or for a first load."""
    generation = live or (ledger.generations.unfinished() if ledger is not None else None)
    if ledger is None or generation is None:
        return WaitSummary()
    return ledger.waits.summary(generation.number)


def _held_back(ledger: Ledger | None, live: Generation | None) -> set[DocumentName]:
    """Of those."""
    generation = live or (ledger.generations.unfinished() if ledger is not None else None)
    if ledger is None or generation is None:
        return set()
    return {name for name, wait in ledger.waits.all(generation.number).items() if wait.is_held_back}
