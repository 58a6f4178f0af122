"""`jobs retry`: what failed for good is tried again with the next pass; `jobs cancel`."""

from dataclasses import dataclass
from typing import NoReturn

from reindex.core.jobs import JobState, no_such_job
from reindex.errors import ConfigError
from reindex.stores.ledger import Ledger
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
    for job in failed:
        ledger.jobs.change_state(job.number, JobState.CANCELLED, writer.clock.now(), "retried by hand")
    return RetryReport(len(failures), len(failed))


def cancel(ledger: Ledger | None, name: str) -> NoReturn:
    """Of a job that a provider works on; a local one is done, or ended, in the pass that made it.

    Raises ConfigError.
    """
    numbers = set() if ledger is None else {str(job.number) for job in ledger.jobs.all()}
    if name not in numbers:
        raise no_such_job(name)
    raise ConfigError(
        f"job {name} can't be cancelled: only a batch that waits at a provider can",
        "`reindex pause` holds up local work.",
    )
