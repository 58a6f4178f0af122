"""Uploads that a crash left behind, or whose batch is over."""

from reindex.batch.context import BatchContext
from reindex.core.jobs import Lane
from reindex.errors import EmbeddingError
from reindex.stores.identity_file import read_identity


def sweep_uploads(context: BatchContext) -> int:
    """Input files of ours at the provider that no open job refers to; how many were removed. They cost
    nothing and expire by themselves: a provider that can't be asked is no trouble.
    """
    identity = read_identity(context.stores.data_dir)
    if identity is None:
        return 0
    ledger = context.stores.ledger
    open_jobs = {job.number for job in ledger.jobs.open(Lane.BATCH)}
    wanted = {record.file_id for record in ledger.batches.all() if record.job in open_jobs}
    removed = 0
    try:
        for file_id in list(context.provider.uploaded(f"{identity.store}.")):
            if file_id not in wanted:
                context.provider.delete(file_id)
                removed += 1
    except EmbeddingError as error:
        context.stores.warn(f"uploads that nobody needs were not all removed: {error.message}")
    return removed
