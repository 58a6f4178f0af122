"""What a command came to, made from the report of its service: its object, the lines that a person should
know, and its exit code. The same whether a command acts itself or a daemon does for it.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from reindex.errors import ExitCode
from reindex.job_objects import cancelled_object
from reindex.objects import plan_object, rebuild_object, sync_object, verify_object
from reindex.tasks import Outcome

if TYPE_CHECKING:
    from reindex.core.jobs import Job
    from reindex.maintenance import GarbageReport
    from reindex.planning import PlanReport
    from reindex.rebuilding import RebuildReport
    from reindex.report import PassReport
    from reindex.retrying import RetryReport
    from reindex.verify import Verification

DETAILS_MAX = 50
"""Differences that `verify` names."""


def sync_outcome(report: PassReport) -> Outcome:
    """Of `sync`. Partial while anything is failed or held."""
    exit_code = ExitCode.PARTIAL if report.is_partial else ExitCode.OK
    return Outcome(sync_object(report), _pass_messages(report), exit_code)


def rebuild_outcome(report: RebuildReport) -> Outcome:
    """Of `rebuild`, `generations promote` and `generations rollback`."""
    gate_messages: list[str] = []
    if report.gate is not None:
        gate_messages += [f"note: {notice}" for notice in report.gate.notices]
        gate_messages += [f"gate: {refusal}" for refusal in report.gate.refusals]
    exit_code = ExitCode.OK
    if report.is_refused:
        exit_code = ExitCode.GATE_REFUSED
    elif report.work.is_partial:
        exit_code = ExitCode.PARTIAL
    return Outcome(rebuild_object(report), (*gate_messages, *_pass_messages(report.work)), exit_code)


def abandon_outcome(generation: int | None) -> Outcome:
    """Of `rebuild --abandon`; None: there was nothing to abandon."""
    return Outcome({"abandoned": generation})


def drop_outcome(generation: int) -> Outcome:
    """Of `generations drop`."""
    return Outcome({"dropped": generation})


def gc_outcome(report: GarbageReport) -> Outcome:
    """Of `gc`."""
    return Outcome(asdict(report))


def retry_outcome(report: RetryReport) -> Outcome:
    """Of `jobs retry`."""
    return Outcome(asdict(report))


def cancel_outcome(job: Job) -> Outcome:
    """Of `jobs cancel`: the job as it is now."""
    return Outcome(cancelled_object(job))


def pause_outcome(*, paused: bool) -> Outcome:
    """Of `pause` and `resume`: how it is now."""
    return Outcome({"paused": paused})


def plan_outcome(report: PlanReport) -> Outcome:
    """Of `plan`."""
    return Outcome(plan_object(report), tuple(f"note: {notice}" for notice in report.notices))


def verify_outcome(found: Verification) -> Outcome:
    """Of `verify`. Drift is unhealthy; without drift, a document that failed is partial."""
    details = found.details[:DETAILS_MAX]
    if len(found.details) > DETAILS_MAX:
        details = [*details, f"... and {len(found.details) - DETAILS_MAX} more"]
    exit_code = ExitCode.PARTIAL if found.failed else ExitCode.OK
    return Outcome(verify_object(found), tuple(details), exit_code if found.ok else ExitCode.UNHEALTHY)


def _pass_messages(report: PassReport) -> tuple[str, ...]:
    return (
        *(f"note: {notice}" for notice in report.notices),
        *(f"failed: {name}: {reason}" for name, reason in report.failures.items()),
    )
