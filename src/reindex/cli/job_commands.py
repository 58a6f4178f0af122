"""`jobs`: what is queued, and what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, open_app
from reindex.cli.output import iso, print_json, say
from reindex.errors import ConfigError

if TYPE_CHECKING:
    from reindex.core.jobs import Job
    from reindex.stores.failure_rows import Failure
    from reindex.stores.ledger import Ledger

jobs_app = typer.Typer(help="Jobs, and documents that failed (dead letters).", rich_markup_mode=None)

_JOBS_SHOWN = 50


@jobs_app.callback(invoke_without_command=True)
def jobs(
    context: typer.Context,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Jobs, and documents that failed (dead letters). Without a verb: list."""
    if context.invoked_subcommand is None:
        jobs_list(config, data_dir, json_output)


@jobs_app.command("list")
def jobs_list(
    config: ConfigOption = None, data_dir: DataDirOption = None, json_output: JsonOption = False
) -> None:
    """The latest jobs and every dead letter."""
    with open_app(config, data_dir).ledger() as ledger:
        found = ledger.jobs.all() if ledger is not None else []
        failures = list(ledger.failures.all().values()) if ledger is not None else []
    if json_output:
        print_json(
            {
                "jobs": [_job_object(job) for job in found],
                "dead_letters": [_failure_object(failure) for failure in failures],
            }
        )
        return
    for job in found[:_JOBS_SHOWN]:
        say(
            f"{job.number}  {job.lane} {job.state}  generation {job.generation}, {job.texts} texts,"
            f" {job.tokens:,} tokens, {iso(job.updated_at)}  {job.reason}"
        )
    for failure in failures:
        say(f"d{failure.number}  {failure.name}  {failure.reason} (tried {failure.attempts} times)")
    if not found and not failures:
        say("no jobs")


@jobs_app.command("show")
def jobs_show(
    number: Annotated[str, typer.Argument(help="A job, or a dead letter such as d3.", metavar="ID")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """One job or dead letter, whole."""
    with open_app(config, data_dir).ledger() as ledger:
        value = _find(ledger, number)
    if json_output:
        print_json(value)
        return
    for name, content in value.items():
        say(f"{name}: {content}")


@jobs_app.command("retry")
def jobs_retry(
    number: Annotated[str | None, typer.Argument(help="One of them; all without it.", metavar="ID")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Try failed jobs and documents again with the next sync."""
    from reindex.cli.output import warn
    from reindex.core.jobs import JobState

    app = open_app(config, data_dir)
    with app.writer("jobs retry", warn) as writer:
        if number is not None:
            _find(writer.ledger, number)
        failures = [f for f in writer.ledger.failures.all().values() if number in {None, f"d{f.number}"}]
        failed = [
            job
            for job in writer.ledger.jobs.all()
            if job.state is JobState.FAILED and number in {None, str(job.number)}
        ]
        writer.ledger.failures.forget(failure.name for failure in failures)
        for job in failed:
            writer.ledger.jobs.change_state(
                job.number, JobState.CANCELLED, app.clock.now(), "retried by hand"
            )
    if json_output:
        print_json({"documents": len(failures), "jobs": len(failed)})
    else:
        say(f"{len(failures)} documents and {len(failed)} jobs are tried again: run `reindex sync`")


def _find(ledger: Ledger | None, number: str) -> dict[str, object]:
    if ledger is not None and number.isdigit():
        job = ledger.jobs.one(int(number))
        if job is not None:
            return _job_object(job) | {"keys": [key.hex() for key in ledger.jobs.keys(job.number)]}
    if ledger is not None:
        for failure in ledger.failures.all().values():
            if number == f"d{failure.number}":
                return _failure_object(failure)
    raise ConfigError(f"there is no job {number}", "`reindex jobs list` shows them.")


def _job_object(job: Job) -> dict[str, object]:
    return {
        "id": str(job.number),
        "generation": job.generation,
        "lane": job.lane.value,
        "state": job.state.value,
        "texts": job.texts,
        "tokens": job.tokens,
        "created_at": iso(job.created_at),
        "updated_at": iso(job.updated_at),
        "reason": job.reason,
    }


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
