"""`jobs retry`: what failed for good is tried again with the next pass; `jobs cancel`."""

from dataclasses import dataclass

from reindex.app import App
from reindex.batch.lane import BatchLane
from reindex.core.jobs import OPEN_STATES, Job, JobState, Lane, no_such_job
from reindex.errors import ConfigError
from reindex.writer import Writer


@dataclass(frozen=True, slots=True)
class RetryReport:
    """So many dead letters and failed jobs wait for the next pass now."""

    documents: int
    jobs: int


def retry(writer: Writer, name: str | None) -> RetryReport:
    """Of all, or of one: a job ("7") or a dead letter ("d3"). Raises ConfigError when there is none of that
    name.
    """
    ledger = writer.ledger
    failures = [f for f in ledger.failures.all().values() if name in {None, f"d{f.number}"}]
    jobs = [job for job in ledger.jobs.all() if name in {None, str(job.number)}]
    if name is not None and not failures and not jobs:
        raise no_such_job(name)
    failed = [job for job in jobs if job.state is JobState.FAILED]
    ledger.failures.forget(failure.name for failure in failures)
    if failures:
        ledger.attempts.forget_refusals()
    for job in failed:
        ledger.jobs.change_state(job.number, JobState.CANCELLED, writer.clock.now(), "retried by hand")
    return RetryReport(len(failures), len(failed))


def cancel(app: App, writer: Writer, name: str) -> Job:
    """Of a job that a provider works on: what it has done until its end is taken in, the rest is planned
    anew. Returns it as it is then. A local one is done, or ended, in the pass that made it.

    Raises ConfigError, and OutageError when the provider can't be asked.
    """
    jobs = {str(job.number): job for job in writer.ledger.jobs.all()}
    if name not in jobs:
        raise no_such_job(name)
    job = jobs[name]
    if job.lane is not Lane.BATCH or job.state not in OPEN_STATES:
        raise ConfigError(
            f"job {name} can't be cancelled: only a batch that waits at a provider can",
            "`reindex pause` holds up local work.",
        )
    BatchLane(app.batch_context(writer.stores)).cancel(job)
    found = writer.ledger.jobs.one(job.number)
    assert found is not None, "it was there"
    return found
