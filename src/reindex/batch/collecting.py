"""What a batch that has ended gave: every good vector first, whatever state it ended in.

    download -> canary -> verify line by line -> [cache] -> account for every text -> [ledger: done]

A crash anywhere begins again with the download; vectors are filed under their keys, so that nothing is paid
or counted twice. What got no vector is not sent again from here: the documents that wait for it are planned
anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reindex.batch.context import BatchContext
from reindex.canary import canary_fault
from reindex.core.batches import BatchRecord, RemoteBatch, RemoteState, described, is_over_queue
from reindex.core.canary import CANARY_ID
from reindex.core.jobs import Job, JobState, Lane
from reindex.embedders.batch_lines import Expected, LineGroup, read_groups
from reindex.errors import DiskError, GoneError
from reindex.model import EmbeddingKey
from reindex.stores.booking_rows import Booking, Outcome

_CANARY_MARK = f'"{CANARY_ID}"'.encode()


@dataclass(slots=True)
class Collected:
    """What came of the texts of one job. `keys` are those that got their vector here."""

    keys: set[EmbeddingKey] = field(default_factory=set)
    tokens: int = 0
    refused: dict[EmbeddingKey, str] = field(default_factory=dict)
    failed: dict[EmbeddingKey, str] = field(default_factory=dict)
    skipped: set[EmbeddingKey] = field(default_factory=set)
    wrong: dict[EmbeddingKey, str] = field(default_factory=dict)
    wrong_tokens: int = 0
    unknown: int = 0
    canary_tokens: int = 0


def collect(
    context: BatchContext,
    job: Job,
    record: BatchRecord,
    ended: Sequence[RemoteBatch],
    is_lost: Callable[[str], bool],
) -> Collected:
    """Take in what its batches gave (one, or twins), and close the job. `is_lost` says of a result file that
    the provider does not have whether it will never come.

    Raises OutageError and DiskError, and GoneError for a file that may still come: it is tried again.
    """
    wanted = set(context.stores.ledger.jobs.keys(job.number))
    found = Collected()
    for remote in ended:
        for file_id in (remote.output_file_id, remote.error_file_id):
            if file_id:
                try:
                    _take_file(context, job, record, file_id, wanted, found)
                except GoneError as error:
                    if not is_lost(file_id):
                        raise
                    context.stores.warn(f"job {job.number}: a result file is gone: {error.message}")
    close(context, job, record, found, wanted, ended)
    return found


def _take_file(
    context: BatchContext,
    job: Job,
    record: BatchRecord,
    file_id: str,
    wanted: set[EmbeddingKey],
    found: Collected,
    *,
    may_be_torn: bool = True,
) -> None:
    path = context.folder() / f"{job.number}.output.jsonl"
    context.provider.download(file_id, path)
    expected = Expected(job.model, record.dimensions, cuts=not context.settings.send_dimensions)
    reason = _canary_fault(context, job, expected, path)
    torn = 0
    for group in _groups(path, expected):
        if reason:
            group.wrong.update(dict.fromkeys(group.keys, reason))
            found.wrong_tokens += sum(group.tokens)
            group.keys = []
        torn += group.torn
        _take_group(context, job, group, wanted, found)
    if torn and may_be_torn:  # the file may be whole there, whatever its size: once more
        _take_file(context, job, record, file_id, wanted, found, may_be_torn=False)
    path.unlink(missing_ok=True)


def _groups(path: Path, expected: Expected) -> Iterator[LineGroup]:
    try:
        with path.open("rb", buffering=1 << 20) as file:
            yield from read_groups(file, expected)
    except OSError as error:
        raise DiskError(f"{path} can't be read: {error.strerror or error}", "Check the disk.") from error


def _canary_fault(context: BatchContext, job: Job, expected: Expected, path: Path) -> str:
    """Why nothing in a result file can be believed; "" if its canary sings as ever, or is not in it."""
    with path.open("rb", buffering=1 << 20) as file:
        lines = [line for line in file if _CANARY_MARK in line]
    for group in read_groups(lines, expected):
        if group.canary is not None:
            return canary_fault(context.stores, job.model, group.canary)
    return ""


def _take_group(
    context: BatchContext,
    job: Job,
    group: LineGroup,
    wanted: set[EmbeddingKey],
    found: Collected,
) -> None:
    """The vectors into the cache, the rest to the account. The first valid line of a text counts."""
    fresh = []
    for position, key in enumerate(group.keys):
        if key in wanted and key not in found.keys:
            found.keys.add(key)
            found.tokens += group.tokens[position]
            fresh.append(position)
        else:
            found.unknown += 1
    if fresh:
        context.stores.cache.put(
            [group.keys[position] for position in fresh],
            group.vectors if len(fresh) == len(group.keys) else group.vectors[fresh],
            context.stores.today,
            newest_generation=job.generation,
        )
    found.unknown += group.unknown
    found.canary_tokens += group.canary_tokens
    for into, part in (
        (found.refused, group.refused),
        (found.failed, group.failed),
        (found.wrong, group.wrong),
    ):
        into.update((key, reason) for key, reason in part.items() if key in wanted)
    found.skipped |= group.skipped & wanted


def close(
    context: BatchContext,
    job: Job,
    record: BatchRecord,
    found: Collected,
    wanted: set[EmbeddingKey],
    ended: Sequence[RemoteBatch],
) -> None:
    """Every text is accounted for, and the job is over: one transaction."""
    ledger, prices, now = context.stores.ledger, context.prices(job), context.now
    sent_at = record.submitting_at or now  # its money is of the day on which it was reserved
    explained = {*found.refused, *found.failed, *found.wrong, *found.skipped}
    was_executed = not all(remote.state == RemoteState.FAILED for remote in ended)
    lost = wanted - found.keys - explained if was_executed else set()
    if found.keys and not found.tokens:  # the server says nothing of usage
        found.tokens = job.tokens * len(found.keys) // max(1, job.texts)
    cost = prices.cost(Lane.BATCH, found.tokens)
    bookings = [
        Booking(
            Lane.BATCH,
            job.model,
            Outcome.INDEXED,
            len(found.keys),
            found.tokens,
            cost,
            prices.saved(Lane.BATCH, found.tokens),
        ),
        Booking(Lane.BATCH, job.model, Outcome.CANARY, int(found.canary_tokens > 0), found.canary_tokens),
        Booking(
            Lane.BATCH,
            job.model,
            Outcome.UNUSABLE,
            len(found.wrong),
            found.wrong_tokens,
            prices.cost(Lane.BATCH, found.wrong_tokens),
        ),
        Booking(Lane.BATCH, job.model, Outcome.AGAIN_LOST, len(lost) + len(found.wrong)),
    ]
    attempts_max = context.settings.attempts_max
    with ledger.transaction():
        for booking in bookings:
            if booking.texts:
                ledger.bookings.add(booking, sent_at)
        ledger.attempts.forget(found.keys)
        ledger.attempts.refuse({k: r for k, r in found.refused.items() if k not in found.keys})
        for keys, reason in _in_vain(found, lost, wanted, ended):
            ledger.attempts.count(keys - found.keys, attempts_max, reason)
        ledger.waits.release(job.number)
        state = JobState.DONE if was_executed else JobState.FAILED
        ledger.jobs.explain(job.number, "", usd=cost)
        ledger.jobs.change_state(job.number, state, now, _outcome(found, lost, wanted, ended))
        ledger.batches.save(record)


def _in_vain(
    found: Collected, lost: set[EmbeddingKey], wanted: set[EmbeddingKey], ended: Sequence[RemoteBatch]
) -> Iterator[tuple[set[EmbeddingKey], str]]:
    """Texts that were sent for nothing, and what their documents are told when it was once too often. Not
    those that were not executed: to wait for longer costs nothing.
    """
    yield set(found.failed), next(iter(found.failed.values()), "")
    yield set(found.wrong), next(iter(found.wrong.values()), "")
    yield lost, "the provider gave no answer"
    if not any(remote.output_file_id for remote in ended):
        errors = [error for remote in ended for error in remote.errors]
        if errors and not any(is_over_queue(remote) for remote in ended):
            yield wanted, f"the batch failed: {described(errors)}"


def _outcome(
    found: Collected, lost: set[EmbeddingKey], wanted: set[EmbeddingKey], ended: Sequence[RemoteBatch]
) -> str:
    """In words, for who looks at the job."""
    parts = [
        f"{remote.state}: {described(remote.errors)}" if remote.errors else remote.state
        for remote in ended
        if remote.errors or remote.state != RemoteState.COMPLETED
    ]
    missing = len(wanted - found.keys)
    if missing:
        parts.append(f"{len(found.keys)} of {len(wanted)} texts got their vector")
    named = (
        (len(found.refused), "refused"),
        (len(found.wrong), "answered wrongly"),
        (len(lost), "not answered"),
    )
    parts += [f"{count} {what}" for count, what in named if count]
    reasons = [*found.refused.values(), *found.wrong.values(), *found.failed.values()]
    parts += reasons[:1]
    if found.unknown:
        parts.append(f"{found.unknown} lines that nobody asked for")
    return "; ".join(parts)
