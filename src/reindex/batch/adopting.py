"""Batches of this store that the ledger does not know: it was lost, or comes from a backup.

Their texts are learned from their own input files at the provider, before anything is planned, so that
nothing is sent that is under way already.
"""

from dataclasses import replace

from reindex.batch.context import BatchContext
from reindex.batch.gathering import give_up
from reindex.batch.submitting import SUBMISSIONS_NOTE
from reindex.core.batches import BatchRecord, RemoteBatch, adoptable, tag_of
from reindex.core.jobs import JobState, Lane
from reindex.errors import GoneError
from reindex.model import DAY_S, EmbeddingKey
from reindex.opening import Stores
from reindex.stores.identity_file import make_identity, read_identity

ADOPT_WITHIN_S = 30 * DAY_S  # a provider keeps results for so long


LOST_NOTICE = (
    "the ledger was lost, or is from a backup: nothing is sent before batches that it does not know had time"
    " to appear in the provider's list"
)


def may_have_unknown(stores: Stores) -> bool:
    """Whether the ledger knows of fewer submissions than there were."""
    identity = read_identity(stores.data_dir)
    return identity is not None and int(stores.ledger.note(SUBMISSIONS_NOTE) or 0) < identity.submissions


def adopt(context: BatchContext) -> bool:
    """Take them in, as far as the provider lists them. Returns whether these are all: a list that lags may
    lack one for as long as the grace. Raises OutageError.
    """
    ledger, now = context.stores.ledger, context.now
    identity = make_identity(context.stores.data_dir)
    unknown = adoptable(context.provider.listed(now - ADOPT_WITHIN_S), identity.store, ledger.batches.all())
    if unknown:
        _give_up_unsent(context, {tag_of(remote) for remote in unknown})
    for remote in unknown:
        _take(context, remote)
    if 0 <= now - identity.submitted_at < context.settings.batch_grace_s:
        return False
    ledger.record_note(SUBMISSIONS_NOTE, str(identity.submissions))
    return True


def _give_up_unsent(context: BatchContext, tags: set[str]) -> None:
    """What was gathered in ignorance of them may be with the provider already."""
    for job in context.stores.ledger.jobs.open(Lane.BATCH):
        record = context.stores.ledger.batches.one(job.number)
        if job.state is JobState.PLANNED or (record is not None and record.tag in tags):
            give_up(context, job, "batches were found that may have its texts: they are planned again")


def _take(context: BatchContext, remote: RemoteBatch) -> None:
    """As a job that was sent."""
    ledger, now = context.stores.ledger, context.now
    keys = _keys(context, remote)
    if not keys:
        context.stores.warn(f"the batch {remote.id} of this store has no file any more that names its texts")
        return
    model = remote.metadata.get("model", "")
    newest = ledger.generations.newest()
    context.stores.warn(
        f"a batch of this store that the ledger does not know is taken in: {remote.id}, {len(keys)} texts"
    )
    with ledger.transaction():
        number = ledger.jobs.enqueue(newest, Lane.BATCH, keys, 0, now, model=model)
        record = BatchRecord(
            job=number,
            tag=tag_of(remote),
            account=context.provider.account,
            dimensions=int(remote.metadata.get("dimensions", "0")),
        )
        record = replace(
            record,
            sealed_by="adopted",
            digest=remote.metadata.get("digest", ""),
            file_id=remote.input_file_id,
            batch_id=remote.id,
            submitting_at=remote.created_at,
            provider_state=remote.state,
            expires_at=remote.expires_at,
        )
        ledger.batches.save(record)
        ledger.jobs.change_state(number, JobState.SUBMITTING, now)
        ledger.jobs.change_state(number, JobState.SUBMITTED, now, "adopted")


def _keys(context: BatchContext, remote: RemoteBatch) -> list[EmbeddingKey]:
    """Of its texts: from what was sent, or else from what came back."""
    from reindex.embedders.batch_lines import line_keys  # numpy

    found: dict[EmbeddingKey, None] = {}
    path = context.folder() / f"{remote.id}.adopted.jsonl"
    for file_id in (remote.input_file_id, remote.output_file_id, remote.error_file_id):
        if not file_id:
            continue
        try:
            context.provider.download(file_id, path)
        except GoneError:
            continue
        with path.open("rb") as file:
            found.update(dict.fromkeys(line_keys(file)))
        path.unlink()
        if file_id == remote.input_file_id:
            break
    return list(found)
