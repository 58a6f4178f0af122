"""One look at everything that is with the provider: seal, send, find again, collect."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from reindex.batch.adopting import LOST_NOTICE, adopt, may_have_unknown
from reindex.batch.collecting import collect
from reindex.batch.context import BatchContext, note_of
from reindex.batch.gathering import give_up, seal_due
from reindex.batch.pausing import NO_MONEY, learn_from_failure
from reindex.batch.submitting import (
    CANCELLED_BY_HAND,
    FRESH_S,
    OTHER_ACCOUNT,
    held_back,
    look_for,
    not_wanted,
    submit,
)
from reindex.core.batches import (
    CLOCK_SKEW_S,
    BatchRecord,
    RemoteBatch,
    best_first,
    is_stuck,
    twins_of,
)
from reindex.core.jobs import Job, JobState, Lane
from reindex.errors import EmbeddingError, GoneError, OutageError, RefusedError
from reindex.stores.booking_rows import Booking, Outcome

_CONFLICT = 409  # to cancel what has ended
CANCELLING_S = 3_600.0  # so long at least a cancelled batch may take to end: some take 25 minutes


@dataclass(slots=True)
class Attended:
    """What a look at the batches came to. `held` says what is not sent, and why; `outage` that the provider
    could not be used: everything stays as it is, and is tried again. `ended` are batches, and a search for
    lost ones: what waited for them can be planned.
    """

    ended: int = 0
    open: int = 0
    texts: int = 0
    tokens: int = 0
    usd: float = 0.0
    held: list[str] = field(default_factory=list)
    outage: OutageError | None = None

    def meet(self, error: EmbeddingError) -> None:
        """Trouble: the first is told, unless a later one lasts."""
        if not isinstance(error, OutageError):
            error = OutageError(error.message, error.hint)
        if self.outage is None or (error.is_lasting and not self.outage.is_lasting):
            self.outage = error

    @property
    def is_stopped(self) -> bool:
        """Whether asking on is of no use."""
        return self.outage is not None and self.outage.is_lasting


class BatchLane:
    """The jobs of the batch lane in an open store."""

    def __init__(self, context: BatchContext) -> None:
        self._context = context
        self._ledger = context.stores.ledger

    def attend(self, *, is_last: bool) -> Attended:
        """One round. `is_last`: no more texts will come, and what has gathered is sealed.

        Raises DiskError and StoreError; what the provider does wrong is in the answer.
        """
        seal_due(self._context, is_last=is_last)
        result = Attended()
        try:
            if may_have_unknown(self._context.stores):
                result.ended += adopt(self._context)
            self._look(result)
            if may_have_unknown(self._context.stores):
                result.held.append(LOST_NOTICE)
            elif not result.is_stopped:
                self._send(result)
        except EmbeddingError as error:
            result.meet(error)
        result.open = len(self._open()) + may_have_unknown(self._context.stores)
        return result

    def cancel(self, job: Job) -> None:
        """A person gives it up: what is done by then is taken in, the rest is planned anew. Raises
        OutageError.
        """
        record = self._ledger.batches.one(job.number)
        if record is None or job.state is JobState.PLANNED:
            give_up(self._context, job, CANCELLED_BY_HAND)
            return
        if record.account != self._context.provider.account:
            listed = list(self._context.provider.listed(job.created_at - CLOCK_SKEW_S))
            record, is_ours = self._under_this_account(record, listed)
            if not is_ours:
                reason = f"{CANCELLED_BY_HAND}; it belonged to another server, key or project"
                self._close_without(job, Outcome.AGAIN_STUCK, reason, Attended())
                return
        if record.batch_id:
            self._cancel_remote(record)
        else:
            self._ledger.batches.save(replace(record, is_cancelling=True))

    def _open(self) -> list[tuple[Job, BatchRecord]]:
        """Oldest first."""
        found = []
        for job in reversed(self._ledger.jobs.open(Lane.BATCH)):
            record = self._ledger.batches.one(job.number)
            assert record is not None, "a job of this lane has a record"
            found.append((job, record))
        return found

    def _look(self, result: Attended) -> None:
        """At what was sent: one listing for all of it. Trouble with one batch is none of the others'."""
        sent = [(job, record) for job, record in self._open() if job.state is not JobState.PLANNED]
        if not sent:
            return
        since = min(record.submitting_at or job.created_at for job, record in sent) - CLOCK_SKEW_S
        listed = list(self._context.provider.listed(since))
        for job, record in sent:
            try:
                self._look_at(job, record, listed, result)
            except EmbeddingError as error:
                result.meet(error)
                if result.is_stopped:
                    return

    def _look_at(
        self, job: Job, record: BatchRecord, listed: Sequence[RemoteBatch], result: Attended
    ) -> None:
        record, is_ours = self._under_this_account(record, listed)
        if not is_ours:
            result.held.append(f"job {job.number}: {OTHER_ACCOUNT}")
            self._ledger.jobs.explain(job.number, OTHER_ACCOUNT)
        elif job.state is JobState.SUBMITTING:
            look_for(self._context, job, record, listed)
            after = self._ledger.jobs.one(job.number)
            result.ended += after is not None and after.state is JobState.CANCELLED
        else:
            self._look_at_sent(job, record, listed, result)

    def _under_this_account(
        self, record: BatchRecord, listed: Sequence[RemoteBatch]
    ) -> tuple[BatchRecord, bool]:
        """Another key may be of the same project: then the batch is in the list. Where it is not, it is not
        asked for, and never sent again.
        """
        account = self._context.provider.account
        if record.account == account:
            return record, True
        if not twins_of(record, listed):
            return record, False
        record = replace(record, account=account)
        self._ledger.batches.save(record)
        self._ledger.jobs.explain(record.job, "")
        return record, True

    def _look_at_sent(
        self, job: Job, record: BatchRecord, listed: Sequence[RemoteBatch], result: Attended
    ) -> None:
        twins = twins_of(record, listed)
        if all(each.id != record.batch_id for each in twins):
            remote = self._retrieve(job, record, result)
            if remote is None:
                return
            twins = best_first([remote, *twins])
        self._context.forget_missed(job.number, record.batch_id)
        remote, *others = twins
        self._end_twins(job, others)
        record = replace(
            record,
            batch_id=remote.id,
            provider_state=remote.state,
            completed=remote.completed,
            expires_at=remote.expires_at or record.expires_at,
        )
        self._ledger.batches.save(record)
        if record.is_cancelling and not remote.is_ended and remote.state != "cancelling":
            self._cancel_remote(record)
        margin_s = self._context.settings.batch_stuck_s
        if not remote.is_ended:
            if is_stuck(remote, self._context.now, margin_s):
                self._unstick(job, record, remote, result)
        elif all(twin.is_ended or is_stuck(twin, self._context.now, margin_s) for twin in others):
            self._end(job, record, [remote, *(twin for twin in others if twin.is_ended)], result)

    def _retrieve(self, job: Job, record: BatchRecord, result: Attended) -> RemoteBatch | None:
        """A batch that the list does not have: the list may lag, or it is gone."""
        try:
            return self._context.provider.retrieve(record.batch_id)
        except GoneError as error:
            if self._is_still_missing(job, record.batch_id):
                self._context.stores.warn(f"job {job.number}: its batch is gone: {error.message}")
                self._close_without(job, Outcome.AGAIN_LOST, "the provider has no such batch", result)
            else:
                result.held.append(f"job {job.number}: its batch is not there: {error.message}")
            return None

    def _is_still_missing(self, job: Job, remote_id: str) -> bool:
        """Whether it was missed long ago already: what is fresh, the provider may not know for some time."""
        return self._context.now - self._context.first_missed(job.number, remote_id) > FRESH_S

    def _end(self, job: Job, record: BatchRecord, ended: Sequence[RemoteBatch], result: Attended) -> None:
        try:
            found = collect(self._context, job, record, ended, partial(self._is_still_missing, job))
        except GoneError as error:
            result.held.append(f"job {job.number}: its result is not there: {error.message}")
            return
        result.ended += 1
        result.texts += len(found.keys)
        result.tokens += found.tokens
        result.usd += self._context.prices(job).cost(Lane.BATCH, found.tokens)
        learn_from_failure(self._context, job, ended[0])

    def _unstick(self, job: Job, record: BatchRecord, remote: RemoteBatch, result: Attended) -> None:
        """Its window is long over. First it is cancelled, so that it gives what it has; in the end it is
        given up, and what it was to bring may be paid twice: that is counted.
        """
        margin_s = self._context.settings.batch_stuck_s
        cancelled_s = self._context.now - self._context.first_seen(job.number, f"{remote.id} is stuck")
        if not record.is_cancelling:
            self._context.stores.warn(
                f"job {job.number}: its batch is {remote.state} long after its window; it is cancelled"
            )
            self._cancel_remote(record)
        elif cancelled_s > max(margin_s, CANCELLING_S):
            reason = f"given up: {remote.state} long after its window"
            self._close_without(job, Outcome.AGAIN_STUCK, reason, result)

    def _close_without(self, job: Job, outcome: Outcome, reason: str, result: Attended) -> None:
        """A job whose batch gives nothing any more."""
        wanted = set(self._ledger.jobs.keys(job.number))
        now = self._context.now
        with self._ledger.transaction():
            self._ledger.bookings.add(Booking(Lane.BATCH, job.model, outcome, len(wanted)), now)
            attempts_max = self._context.settings.attempts_max
            self._ledger.attempts.count(wanted, attempts_max, reason)
            self._ledger.waits.release(job.number)
            self._ledger.jobs.change_state(job.number, JobState.FAILED, now, reason)
            self._context.forget_notes(job.number)
        result.ended += 1

    def _cancel_remote(self, record: BatchRecord) -> None:
        self._ask_to_end(record.batch_id)
        self._ledger.batches.save(replace(record, is_cancelling=True))

    def _ask_to_end(self, batch_id: str) -> None:
        """One that has ended meanwhile can't be cancelled: the next look sees it."""
        try:
            self._context.provider.cancel(batch_id)
        except (RefusedError, GoneError):
            return
        except OutageError as error:
            if error.status != _CONFLICT:
                raise

    def _end_twins(self, job: Job, twins: Sequence[RemoteBatch]) -> None:
        """A second batch of the same job: an answer was lost, and it was created again too soon."""
        for twin in twins:
            note = note_of(job.number, f"twin {twin.id}")
            if self._ledger.note(note) is None:
                self._context.stores.warn(f"job {job.number} has a twin at the provider: {twin.id}")
                booking = Booking(Lane.BATCH, job.model, Outcome.AGAIN_STUCK, job.texts)
                with self._ledger.transaction():
                    self._ledger.bookings.add(booking, self._context.now)
                    self._ledger.record_note(note, str(self._context.now))
            if not twin.is_ended and twin.state != "cancelling":
                self._ask_to_end(twin.id)

    def _send(self, result: Attended) -> None:
        """What is sealed, oldest first, as far as budget and queue let it."""
        for job, record in self._open():
            if job.state is not JobState.PLANNED or not record.sealed_by:
                continue
            if reason := not_wanted(self._context, job, record):
                give_up(self._context, job, reason)
                result.ended += 1
                continue
            reason = held_back(self._context, job)
            if reason.startswith(NO_MONEY):
                hint = "Check the account's credit and limits; nothing is lost."
                result.meet(OutageError(reason, hint, is_lasting=True))
            if 0 < self._context.settings.budget_usd_per_day < job.usd:
                give_up(self._context, job, "over the budget of a day: planned again in smaller batches")
            elif reason:
                self._ledger.jobs.explain(job.number, reason)
            else:
                submit(self._context, job, record)
            after = self._ledger.jobs.one(job.number)
            if after is not None and after.state is not JobState.SUBMITTED and after.reason:
                result.held.append(f"job {job.number} ({job.texts} texts): {after.reason}")
