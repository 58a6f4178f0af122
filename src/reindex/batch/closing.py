"""The end of a job of the batch lane: every text is accounted for, and its money is booked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from reindex.batch.context import BatchContext
from reindex.core.batches import (
    BatchRecord,
    RemoteBatch,
    RemoteState,
    described,
    is_out_of_money,
    is_over_queue,
)
from reindex.core.jobs import Job, JobState, Lane
from reindex.model import EmbeddingKey
from reindex.stores.booking_rows import Booking, Outcome


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
    repeated: int = 0
    canary_tokens: int = 0

    def forget_failures_of_found(self) -> None:
        """A text that failed in one line and has its vector from another has not failed."""
        for part in (self.refused, self.failed, self.wrong):
            for key in part.keys() & self.keys:
                del part[key]
        self.skipped -= self.keys


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
    found.forget_failures_of_found()
    explained = {*found.refused, *found.failed, *found.wrong, *found.skipped}
    was_executed = _was_executed(ended)
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
        ledger.attempts.refuse(found.refused)
        for keys, reason in _in_vain(found, lost, wanted, ended):
            ledger.attempts.count(keys - found.keys, attempts_max, reason)
        ledger.waits.release(job.number)
        state = JobState.FAILED if has_failed(ended) else JobState.DONE
        ledger.jobs.explain(job.number, "", usd=cost)
        ledger.jobs.change_state(job.number, state, now, _outcome(found, lost, wanted, ended))
        ledger.batches.save(record)
        context.forget_notes(job.number)


def _in_vain(
    found: Collected, lost: set[EmbeddingKey], wanted: set[EmbeddingKey], ended: Sequence[RemoteBatch]
) -> Iterator[tuple[set[EmbeddingKey], str]]:
    """Texts that were sent for nothing, and what their documents are told when it was once too often. Not
    those that were not executed: to wait for longer costs nothing.
    """
    yield set(found.failed), next(iter(found.failed.values()), "")
    yield set(found.wrong), next(iter(found.wrong.values()), "")
    yield lost, "the provider gave no answer"
    is_no_text_s_fault = any(is_over_queue(remote) or is_out_of_money(remote) for remote in ended)
    if has_failed(ended) and not found.refused and not is_no_text_s_fault:
        errors = [error for remote in ended for error in remote.errors]
        yield wanted, f"the batch failed: {described(errors) or 'the provider does not say why'}"


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
    if found.repeated and len(ended) == 1:
        parts.append(f"{found.repeated} lines that came twice")
    return "; ".join(parts)


def _was_executed(ended: Sequence[RemoteBatch]) -> bool:
    """Whether any of it may have been billed. What ended before it began has no files."""
    return any(
        remote.output_file_id
        or remote.error_file_id
        or (remote.state != RemoteState.FAILED and remote.completed > 0)
        or remote.state == RemoteState.COMPLETED
        for remote in ended
    )


def has_failed(ended: Sequence[RemoteBatch]) -> bool:
    """Whether the provider took none of it."""
    return all(remote.state == RemoteState.FAILED and not remote.output_file_id for remote in ended)
