"""The JSON objects of jobs and dead letters, as commands print them and the HTTP API answers with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reindex.objects import iso, usd

if TYPE_CHECKING:
    from reindex.core.batches import BatchRecord
    from reindex.core.jobs import Job
    from reindex.stores.failure_rows import Failure
    from reindex.stores.ledger import Ledger

_DIGITS_MAX = 18  # of a number that SQLite can take


def jobs_object(ledger: Ledger | None) -> dict[str, object]:
    """Every job that is remembered, latest first, and every dead letter."""
    if ledger is None:
        return {"jobs": [], "dead_letters": []}
    batches = {record.job: record for record in ledger.batches.all()}
    return {
        "jobs": [_job_object(job, batches.get(job.number)) for job in ledger.jobs.all()],
        "dead_letters": [_failure_object(failure) for failure in ledger.failures.all().values()],
    }


def cancelled_object(job: Job) -> dict[str, object]:
    """A job right after it was cancelled: a provider may take its time to end it."""
    return _job_object(job, None)


def job_object(ledger: Ledger | None, name: str) -> dict[str, object] | None:
    """One job ("7") with its keys, or one dead letter ("d3"); None when there is none of that name."""
    if ledger is None:
        return None
    is_number = name.isdecimal() and len(name) <= _DIGITS_MAX
    job = ledger.jobs.one(int(name)) if is_number else None
    if job is not None:
        value = _job_object(job, ledger.batches.one(job.number))
        return value | {"keys": [key.hex() for key in ledger.jobs.keys(job.number)]}
    failures = ledger.failures.all().values()
    return next((_failure_object(f) for f in failures if name == f"d{f.number}"), None)


def _job_object(job: Job, record: BatchRecord | None) -> dict[str, object]:
    """With what is known of it at the provider, of a batch."""
    value: dict[str, object] = {
        "id": str(job.number),
        "generation": job.generation,
        "lane": job.lane.value,
        "state": job.state.value,
        "texts": job.texts,
        "tokens": job.tokens,
        "created_at": iso(job.created_at),
        "updated_at": iso(job.updated_at),
        "reason": job.reason,
        "model": job.model or None,
        "usd": usd(job.usd),
    }
    if record is not None:
        value["batch"] = {
            "id": record.batch_id or None,
            "input_file_id": record.file_id or None,
            "state": record.provider_state or None,
            "completed": record.completed,
            "sealed_by": record.sealed_by or None,
            "submitted_at": iso(record.submitting_at),
            "expires_at": iso(record.expires_at),
            "cancelling": record.is_cancelling,
        }
    return value


def _failure_object(failure: Failure) -> dict[str, object]:
    return {
        "id": f"d{failure.number}",
        "source": failure.name.source,
        "path": failure.name.path,
        "revision": failure.revision.hex() if failure.revision is not None else None,
        "reason": failure.reason,
        "permanent": failure.permanent,
        "attempts": failure.attempts,
        "first_at": iso(failure.first_at),
        "last_at": iso(failure.at),
    }
