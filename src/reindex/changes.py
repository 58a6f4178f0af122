"""From a look at the disk to a plan: what changed against a generation, and what is held back and why."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from reindex.core.diff import Differences, Plan, Recorded, compare, plan
from reindex.core.guard import HOLD_DOCUMENTS, mass_hold, root_hold
from reindex.core.tokens import CHUNKER_VERSION
from reindex.model import DocumentName, Places, digest
from reindex.observe import Observation, unknown_documents
from reindex.parsers.registry import parser_version, parsers_digest
from reindex.sources.files import RootState, Scan
from reindex.stores.failure_rows import Failure, Hold
from reindex.stores.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Changes:
    """A plan, what stays out of it, and why. `held` are deletions that wait for consent.

    `unsure` are sources of which only some places were looked at, and where what was found there must not be
    believed before all of it is: nothing of these changes may be done. `alike` are those that turned out
    to be recorded exactly as they are on disk.
    """

    plan: Plan
    held: tuple[DocumentName, ...]
    holds: tuple[Hold, ...]
    unreadable: Mapping[DocumentName, str]
    unstable: frozenset[DocumentName]
    waiting: Mapping[DocumentName, Failure]
    unsure: frozenset[str] = frozenset()
    alike: frozenset[str] = frozenset()

    @property
    def pending(self) -> int:
        """Documents that a later pass takes: they are being written, or wait for a batch."""
        return len(self.unstable) + len(self.plan.waiting)


def document_parser(path: str) -> str:
    """The versions of all code that turns the document at this path into chunks."""
    return _with_chunker(parser_version(path))


@cache
def code_digest() -> bytes:
    """All that `document_parser` can say, of any path (32 bytes)."""
    return digest(parsers_digest(), str(CHUNKER_VERSION).encode())


@cache
def _with_chunker(parser: str) -> str:
    return f"{parser}+chunker/{CHUNKER_VERSION}"


def find_changes(
    observation: Observation,
    ledger: Ledger | None,
    generation: int | None,
    *,
    accept_deletes: bool,
    now: float,
    failures: Mapping[DocumentName, Failure] | None = None,
    awaits: bool = True,
) -> Changes:
    """Compare a look at the disk with what a generation holds (nothing, without ledger or generation).

    `failures` are those that this generation's documents wait for; None: those that the ledger has. `awaits`:
    documents wait for the batches that carry their texts.
    """
    differences = _differences(observation, ledger, generation)
    recorded = differences.recorded
    if failures is None:
        failures = ledger.failures.all() if ledger is not None else {}
    failures = {name: failure for name, failure in failures.items() if observation.covers(name)}
    unreadable = dict(observation.unreadable)
    for scan in observation.scans.values():
        unreadable |= unknown_documents(scan, recorded)
    holds = [
        hold
        for hold in _root_holds(observation, ledger, differences.totals, now)
        if not (accept_deletes and _is_known(observation, hold.source))
    ]
    held = _absent(recorded, observation, {hold.source for hold in holds}) - set(unreadable)
    found = plan(
        differences,
        kept=held | set(unreadable) | observation.unstable,
        dead=_dead(failures.values()),
        parser_of=document_parser,
        awaited=_awaited(ledger, generation, observation.places) if awaits else {},
    )
    unsure = _unsure(observation, ledger, generation, found)
    if not accept_deletes:
        found, more_held, more_holds = _hold_masses(found, differences.totals, now)
        held |= more_held
        holds += more_holds
    return Changes(
        plan=found,
        held=tuple(sorted(held)),
        holds=tuple(_counted(holds, held)),
        unreadable=unreadable,
        unstable=frozenset(observation.unstable),
        waiting=failures,
        unsure=unsure,
        alike=frozenset(observation.digests) - {name.source for name in (*recorded, *differences.desired)},
    )


def _is_known(observation: Observation, source: str) -> bool:
    """A folder that is there and can't be read says nothing, and no consent changes that."""
    return observation.scans[source].root_state is not RootState.UNREADABLE


def _differences(observation: Observation, ledger: Ledger | None, generation: int | None) -> Differences:
    if ledger is None or generation is None:
        assert not observation.settled, "nothing is recorded"
        return compare(observation.revisions, (), document_parser)
    settled = observation.settled
    recorded = ledger.documents.revisions(generation, observation.places, besides=settled)
    return compare(observation.revisions, recorded, document_parser, settled)


def _dead(failures: Iterable[Failure]) -> dict[DocumentName, Recorded]:
    return {f.name: Recorded(f.revision, f.parser) for f in failures if f.permanent and f.revision}


def _awaited(
    ledger: Ledger | None, generation: int | None, places: Places | None
) -> dict[DocumentName, Recorded]:
    if ledger is None:
        return {}
    if generation is None:  # nothing is live: a first load may wait for its batches
        begun = ledger.generations.unfinished()
        generation = begun.number if begun is not None else None
    waits = ledger.waits.of(generation, places) if generation is not None else {}
    return {name: Recorded(wait.revision, wait.parser) for name, wait in waits.items()}


def _root_holds(
    observation: Observation, ledger: Ledger | None, totals: Mapping[str, int], now: float
) -> list[Hold]:
    """Sources whose folder is missing, empty or elsewhere: nothing they lack may be believed deleted."""
    holds = []
    for source, scan in observation.scans.items():
        if not observation.is_whole(source):
            continue
        reason = root_hold(
            is_reachable=scan.root_state is RootState.OK,
            files=len(scan.files),
            left_out=scan.ignored + len(scan.skipped),
            recorded=totals.get(source, 0),
            device_changed=_is_elsewhere(scan, ledger),
        )
        if reason:
            holds.append(Hold(source, 0, reason, now))
    return holds


def _is_elsewhere(scan: Scan, ledger: Ledger | None) -> bool:
    """Whether the source's folder is on another device than when its deletions were last believed."""
    known = ledger.files.device(scan.source) if ledger is not None else None
    return None not in {known, scan.root_device} and known != scan.root_device


def _unsure(
    observation: Observation, ledger: Ledger | None, generation: int | None, found: Plan
) -> frozenset[str]:
    """Sources where a look at some places might delete what a look at all of them would hold, and those that
    have deletions held: they may have come back.
    """
    if observation.places is None or ledger is None or generation is None:
        return frozenset()
    held = {hold.source for hold in ledger.failures.holds()}
    losses = Counter(name.source for name in found.deleted)
    unsure = set()
    for source, scan in observation.scans.items():
        if observation.is_whole(source):
            continue
        is_sound = scan.root_state is RootState.OK and not _is_elsewhere(scan, ledger)
        is_much = losses[source] > HOLD_DOCUMENTS or (
            losses[source] > 0 and losses[source] == ledger.documents.of_source(generation, source)
        )
        if source in held or not is_sound or is_much:
            unsure.add(source)
    return frozenset(unsure)


def _hold_masses(
    found: Plan, totals: Mapping[str, int], now: float
) -> tuple[Plan, set[DocumentName], list[Hold]]:
    """Take the deletions of each source that loses too much at once out of the plan."""
    losses = Counter(name.source for name in found.deleted)
    reasons = {source: mass_hold(deleted=n, recorded=totals[source]) for source, n in losses.items()}
    held = {name for name in found.deleted if reasons[name.source]}
    holds = [Hold(source, 0, reason, now) for source, reason in reasons.items() if reason]
    return replace(found, deleted=tuple(n for n in found.deleted if n not in held)), held, holds


def _absent(
    recorded: Iterable[DocumentName], observation: Observation, sources: set[str]
) -> set[DocumentName]:
    return {n for n in recorded if n.source in sources and observation.revision(n) is None}


def _counted(holds: Iterable[Hold], held: Iterable[DocumentName]) -> list[Hold]:
    counts = Counter(name.source for name in held)
    return [replace(hold, documents=counts[hold.source]) for hold in holds if counts[hold.source]]
