"""What batches that failed for the account's limits teach: to send smaller ones, or none for some time."""

from reindex.batch.context import BatchContext
from reindex.core.batches import RemoteBatch, described, is_out_of_money, is_over_queue, queue_limit_of
from reindex.core.jobs import Job

NO_MONEY = "the provider takes no more"
PROBE_S = 600.0  # until it is asked again whether it does
QUEUE_REST_FIRST_S, QUEUE_REST_S = 5.0, 300.0  # until a queue that others have filled is tried again
_REST_GROWS_BY = 8
QUEUE_TOKENS_MIN = 10_000  # a queue whose limit nobody named is not believed to be smaller


def learn_from_failure(context: BatchContext, job: Job, remote: RemoteBatch) -> None:
    """Nothing of it was executed, and no text is to blame."""
    if is_over_queue(remote):
        _learn_queue(context, job, remote)
    if is_out_of_money(remote):
        context.pause(job.model, PROBE_S, f"{NO_MONEY}: {described(remote.errors)}")


def _learn_queue(context: BatchContext, job: Job, remote: RemoteBatch) -> None:
    """Batches are smaller from now on. One that was small enough met the work of others: it waits."""
    named, known = queue_limit_of(remote), context.queue_limit(job.model)
    limit = named or max(job.tokens // 2, QUEUE_TOKENS_MIN)
    context.learn_queue_limit(job.model, limit if named or not known else min(known, limit))
    if not named or job.tokens <= limit // 2:
        reason = f"the provider's queue is full of other work: {described(remote.errors)}"
        rest_s = max(QUEUE_REST_FIRST_S, _REST_GROWS_BY * context.last_pause_s(job.model))
        context.pause(job.model, min(QUEUE_REST_S, rest_s), reason)
