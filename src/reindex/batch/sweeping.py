"""Files that nobody needs any more: of jobs that are over, and uploads that a crash left behind."""

from reindex.batch.context import FOLDER, BatchContext
from reindex.core.jobs import Lane
from reindex.errors import EmbeddingError
from reindex.opening import Stores
from reindex.stores.identity_file import read_identity

FOLDER_FILES = "*.jsonl*"


def sweep_local(stores: Stores) -> int:
    """Input and output files of jobs that are not open; how many were removed."""
    numbers = {str(job.number) for job in stores.ledger.jobs.open(Lane.BATCH)}
    doomed = [
        path
        for path in (stores.data_dir / FOLDER).glob(FOLDER_FILES)
        if path.name.partition(".")[0] not in numbers
    ]
    for path in doomed:
        path.unlink(missing_ok=True)
    return len(doomed)


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
