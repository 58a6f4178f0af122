"""A sealed batch to the provider, so that it is there exactly once whatever gets lost on the way.

    sealed -> upload -> [file id] -> [submitting] -> create -> [submitted, batch id]

Creation has no idempotency. Once `submitting` is committed, the batch may exist; from then on it is looked
for in the provider's list, and created again only when it was absent for long enough: with the same input
file, so that a late twin is known for one.
"""

from collections.abc import Sequence
from dataclasses import replace

from reindex.batch.context import BatchContext
from reindex.batch.gathering import file_digest, give_up
from reindex.core.batches import (
    REQUEST_TOO_LARGE,
    BatchRecord,
    RemoteBatch,
    may_create_again,
    metadata_of,
    twins_of,
)
from reindex.core.generations import GenerationState
from reindex.core.jobs import Job, JobState
from reindex.core.money import dollars
from reindex.errors import GoneError, OutageError, RefusedError
from reindex.stores.identity_file import make_identity, write_identity

SUBMISSIONS_NOTE = "batch submissions"
OTHER_ACCOUNT = (
    "it belongs to another server, key or project: put that back, or `reindex jobs cancel` it (what it cost"
    " is then lost)"
)
CANCELLED_BY_HAND = "cancelled by hand"
FRESH_S = 600.0  # so long a file or a batch that was just made may be unknown to the provider


def held_back(context: BatchContext, job: Job) -> str:
    """Why a sealed batch can't be sent now; "" when it can."""
    reason = context.paused(job.model)
    if reason:
        return reason
    budget = context.budget()
    if budget.holds(job.usd):
        return (
            f"held by the budget: {dollars(budget.used_usd)} of {dollars(budget.limit_usd)} are spent or"
            f" reserved today (UTC), and it takes {dollars(job.usd)}"
        )
    enqueued, limit = context.enqueued_tokens(job.model), context.queue_limit(job.model)
    if limit and enqueued and enqueued + job.tokens > limit:
        return f"waits for the provider's queue: {enqueued:,} of {limit:,} tokens are enqueued"
    return ""


def not_wanted(context: BatchContext, job: Job, record: BatchRecord) -> str:
    """Why a job whose batch does not exist is not to get one; "" where it is."""
    if record.is_cancelling:
        return CANCELLED_BY_HAND
    generation = context.stores.ledger.generations.one(job.generation)
    if generation is not None and generation.state is GenerationState.DROPPED:
        return f"generation {generation.number} was dropped"
    return ""


def submit(context: BatchContext, job: Job, record: BatchRecord) -> None:
    """Upload and create. Raises OutageError when the provider can't be used: what is done stays."""
    if record.account != context.provider.account:
        # It was gathered under another: nothing of it is there yet.
        record = replace(record, account=context.provider.account, file_id="")
        context.stores.ledger.batches.save(record)
    if not record.file_id:
        uploaded = _upload(context, job, record)
        if uploaded is None:
            return
        record = uploaded
        job = replace(job, updated_at=context.now)
    ledger = context.stores.ledger
    identity = make_identity(context.stores.data_dir)
    identity = replace(identity, submissions=identity.submissions + 1, submitted_at=context.now)
    write_identity(context.stores.data_dir, identity)
    record = replace(record, submitting_at=context.now, absences=0)
    with ledger.transaction():
        ledger.batches.save(record)
        ledger.record_note(SUBMISSIONS_NOTE, str(identity.submissions))
        ledger.jobs.change_state(job.number, JobState.SUBMITTING, context.now)
    create(context, job, record)


def create(context: BatchContext, job: Job, record: BatchRecord) -> None:
    """Ask for the batch, once. Its intent is committed."""
    identity = make_identity(context.stores.data_dir)
    try:
        remote = context.provider.create(
            record.file_id, metadata_of(identity.store, record, job.model, job.texts)
        )
    except GoneError as error:  # the file: not known yet, or gone
        _take_back(context, job, record, forgets_file=_is_old(context, job), reason=error.message)
    except RefusedError as error:
        _refused(context, job, record, error)
    except OutageError as error:
        if error.may_be_accepted:
            raise  # it may be there: the list will tell
        _take_back(context, job, record, forgets_file=False, reason=error.message)
        raise
    else:
        created(context, job, record, remote)


def created(context: BatchContext, job: Job, record: BatchRecord, remote: RemoteBatch) -> BatchRecord:
    """The batch is there, and its id is known. The input file has done its work."""
    ledger = context.stores.ledger
    record = replace(
        record,
        batch_id=remote.id,
        provider_state=remote.state,
        expires_at=remote.expires_at,
        absences=0,
    )
    with ledger.transaction():
        ledger.batches.save(record)
        ledger.jobs.change_state(job.number, JobState.SUBMITTED, context.now)
    context.input_file(job.number).unlink(missing_ok=True)
    return record


def look_for(context: BatchContext, job: Job, record: BatchRecord, listed: Sequence[RemoteBatch]) -> None:
    """A batch that may exist: take it, wait, or, when it certainly does not, create it again; or give it up
    where nobody wants it any more.
    """
    twins = twins_of(record, listed)
    if twins:
        created(context, job, record, twins[0])
        return
    record = replace(record, absences=record.absences + 1)
    context.stores.ledger.batches.save(record)
    if not may_create_again(record, context.now, context.settings.batch_grace_s):
        return
    if reason := not_wanted(context, job, record):
        give_up(context, job, reason)
    else:
        context.stores.warn(f"job {job.number}: its batch was never created; it is created again")
        again = replace(record, submitting_at=context.now, absences=0)
        context.stores.ledger.batches.save(again)
        create(context, job, again)


def _upload(context: BatchContext, job: Job, record: BatchRecord) -> BatchRecord | None:
    """With the id of its file; None when the job had to be given up."""
    path = context.input_file(job.number)
    if not path.exists() or file_digest(path, record.size_bytes) != record.digest:
        give_up(context, job, "its input file is damaged: its texts are planned again")
        return None
    identity = make_identity(context.stores.data_dir)
    try:
        file_id = context.provider.upload(path, f"{identity.store}.{record.tag}.jsonl")
    except RefusedError as error:
        _refused(context, job, record, error)
        return None
    except GoneError as error:
        raise OutageError(
            error.message,
            "[embedding.openai] has_batch = false if it has no Batch API; else, is base_url right (/v1)?",
            is_lasting=True,
        ) from None
    record = replace(record, file_id=file_id)
    ledger = context.stores.ledger
    with ledger.transaction():
        ledger.batches.save(record)
        ledger.jobs.touch(job.number, context.now)
    return record


def _refused(context: BatchContext, job: Job, record: BatchRecord, error: RefusedError) -> None:
    """Nothing was executed, and asking the same again is of no use: in smaller parts if it was too large,
    else with one attempt less for each text.
    """
    ledger, reason = context.stores.ledger, error.message
    if error.code == REQUEST_TOO_LARGE and job.texts > 1:
        context.learn_file_limit(record.size_bytes)
        give_up(context, job, f"too large, its texts are planned again in smaller batches: {reason}")
        return
    with ledger.transaction():
        ledger.attempts.count(
            ledger.jobs.keys(job.number), context.settings.attempts_max, f"the batch was refused: {reason}"
        )
        ledger.waits.release(job.number)
        ledger.jobs.change_state(job.number, JobState.FAILED, context.now, f"refused: {reason}")
    context.input_file(job.number).unlink(missing_ok=True)


def _take_back(
    context: BatchContext, job: Job, record: BatchRecord, *, forgets_file: bool, reason: str
) -> None:
    """It certainly was not created: it is sealed again, and sent another time. When its file was sent is
    kept.
    """
    file_id = "" if forgets_file else record.file_id
    ledger = context.stores.ledger
    with ledger.transaction():
        ledger.batches.save(replace(record, submitting_at=None, file_id=file_id))
        ledger.jobs.change_state(job.number, JobState.PLANNED, job.updated_at, reason)


def _is_old(context: BatchContext, job: Job) -> bool:
    return context.now - job.updated_at > FRESH_S
