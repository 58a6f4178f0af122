"""Batches of this store that the ledger does not know: it was lost, or comes from a backup.

Their texts are learned from their own input files at the provider, before anything is planned, so that
nothing is sent that is under way already.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from reindex.batch.context import BatchContext
from reindex.batch.gathering import give_up
from reindex.batch.submitting import SUBMISSIONS_NOTE
from reindex.core.batches import BatchRecord, RemoteBatch, adoptable, tag_of
from reindex.core.canary import CANARY_ID
from reindex.core.jobs import JobState, Lane
from reindex.errors import GoneError
from reindex.model import DAY_S, EmbeddingKey
from reindex.opening import Stores
from reindex.stores.identity_file import read_identity

ADOPT_WITHIN_S = 30 * DAY_S  # a provider keeps results for so long


def may_have_unknown(stores: Stores) -> bool:
    """Whether the ledger knows of fewer submissions than there were."""
    identity = read_identity(stores.data_dir)
    return identity is not None and int(stores.ledger.note(SUBMISSIONS_NOTE) or 0) < identity.submissions


def adopt(context: BatchContext) -> int:
    """Take them in; returns how many. Costs nothing when the ledger knows of every submission. Raises
    OutageError.
    """
    ledger = context.stores.ledger
    identity = read_identity(context.stores.data_dir)
    if identity is None or not may_have_unknown(context.stores):
        return 0
    records = ledger.batches.all()
    unknown = adoptable(
        context.provider.listed(context.now - ADOPT_WITHIN_S),
        identity.store,
        (record.tag for record in records),
        (record.batch_id for record in records),
    )
    for remote in unknown:
        _take(context, remote)
    if unknown:
        _plan_again(context)
    ledger.record_note(SUBMISSIONS_NOTE, str(identity.submissions))
    return len(unknown)


def _plan_again(context: BatchContext) -> None:
    """Batches that were gathered before these were known of may carry the same texts. None was sent."""
    for job in context.stores.ledger.jobs.open(Lane.BATCH):
        if job.state is JobState.PLANNED:
            give_up(context, job, "batches that were under way were taken in: its texts are planned again")


def _take(context: BatchContext, remote: RemoteBatch) -> None:
    """As a job that was sent."""
    ledger, now = context.stores.ledger, context.now
    path = context.folder() / f"{remote.id}.adopted.jsonl"
    try:
        context.provider.download(remote.input_file_id, path)
    except GoneError:
        context.stores.warn(f"the batch {remote.id} of this store has no input file any more: it is left")
        return
    keys = list(dict.fromkeys(_keys(path)))
    path.unlink(missing_ok=True)
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


def _keys(path: Path) -> Iterator[EmbeddingKey]:
    with path.open("rb") as file:
        for line in file:
            custom_id = json.loads(line)["custom_id"]
            if custom_id != CANARY_ID:
                yield EmbeddingKey(bytes.fromhex(custom_id))
