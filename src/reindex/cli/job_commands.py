"""`jobs`: what is queued, and what failed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.connection import Request, order
from reindex.cli.options import ConfigOption, DataDirOption, JsonOption
from reindex.cli.output import say
from reindex.cli.performing import Command, open_place
from reindex.core.jobs import no_such_job
from reindex.core.money import dollars

if TYPE_CHECKING:
    from reindex.app import App
    from reindex.objects import Object
    from reindex.report import Progress
    from reindex.tasks import Outcome

jobs_app = typer.Typer(help="Jobs, and documents that failed (dead letters).", rich_markup_mode=None)

_JOBS_SHOWN = 50
_NAME = re.compile("d?[0-9]{1,18}")


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

    def direct(app: App, _: Progress) -> Outcome:
        from reindex.job_objects import jobs_object
        from reindex.tasks import Outcome

        with app.ledger() as ledger:
            return Outcome(jobs_object(ledger))

    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(direct, Request("/v1/jobs"), _say_jobs))


@jobs_app.command("show")
def jobs_show(
    number: Annotated[str, typer.Argument(help="A job, or a dead letter such as d3.", metavar="ID")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """One job or dead letter, whole."""

    def direct(app: App, _: Progress) -> Outcome:
        from reindex.job_objects import job_object
        from reindex.tasks import Outcome

        with app.ledger() as ledger:
            value = job_object(ledger, number)
        if value is None:
            raise no_such_job(number)
        return Outcome(value)

    _check(number)
    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(direct, Request(f"/v1/jobs/{number}"), _say_job))


@jobs_app.command("retry")
def jobs_retry(
    number: Annotated[str | None, typer.Argument(help="One of them; all without it.", metavar="ID")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Try failed jobs and documents again with the next sync."""

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.outcomes import retry_outcome
        from reindex.retrying import retry

        with app.writer("jobs retry", progress.warn) as writer:
            return retry_outcome(retry(writer, number))

    if number is not None:
        _check(number)
    path = "/v1/jobs/retry" if number is None else f"/v1/jobs/{number}/retry"
    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(direct, order(path), _say_retried))


@jobs_app.command("cancel")
def jobs_cancel(
    number: Annotated[str, typer.Argument(help="A job that waits at a provider.", metavar="ID")],
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Give up a job that a provider has not done yet: its documents are planned anew."""

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.outcomes import cancel_outcome
        from reindex.retrying import cancel

        with app.writer("jobs cancel", progress.warn) as writer:
            return cancel_outcome(cancel(app, writer, number))

    _check(number)
    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(direct, order(f"/v1/jobs/{number}/cancel"), _say_job))


def _check(number: str) -> None:
    """What can't be one is no part of an address either. Raises ConfigError."""
    if not _NAME.fullmatch(number):
        raise no_such_job(number)


def _say_jobs(value: Object) -> None:
    for job in value["jobs"][:_JOBS_SHOWN]:
        say(
            f"{job['id']}  {job['lane']} {job['state']}  generation {job['generation']},"
            f" {job['texts']} texts, {job['tokens']:,} tokens, {job['updated_at']}{_at_provider(job)}"
            f"  {job['reason']}"
        )
    for letter in value["dead_letters"]:
        name = f"{letter['source']}:{letter['path']}"
        say(f"{letter['id']}  {name}  {letter['reason']} (tried {letter['attempts']} times)")
    if not value["jobs"] and not value["dead_letters"]:
        say("no jobs")


def _at_provider(job: Object) -> str:
    """What is known of a batch at its provider, and its money."""
    parts = [dollars(job["usd"])] if job["usd"] else []
    batch = job.get("batch")
    if batch is not None:
        if batch["id"]:
            parts.append(f"{batch['id']} {batch['state']}, {batch['completed']} of {job['texts']} done")
        parts.append(f"sealed by {batch['sealed_by']}" if batch["sealed_by"] else "takes more texts")
    return "".join(f", {part}" for part in parts)


def _say_job(value: Object, indent: str = "") -> None:
    for name, content in value.items():
        title = f"{indent}{name.replace('_', ' ')}:"
        if isinstance(content, Mapping):
            say(title)
            _say_job(content, indent + "  ")
        elif isinstance(content, list):
            say(f"{title} {len(content):,}")
            for each in content:
                say(f"{indent}  {each}")
        else:
            say(f"{title} {_shown(name, content)}")


def _shown(name: str, content: object) -> str:
    if name == "usd" and isinstance(content, int | float):
        return dollars(content)
    if content in {None, ""}:
        return "-"
    if isinstance(content, bool):
        return "yes" if content else "no"
    return str(content)


def _say_retried(value: Object) -> None:
    say(f"{value['documents']} documents and {value['jobs']} jobs are tried again: run `reindex sync`")
