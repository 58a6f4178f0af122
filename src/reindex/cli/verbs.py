"""The table of verbs of the `reindex` command."""

from __future__ import annotations

from typing import Annotated

import typer

from reindex import __version__
from reindex.cli import (
    config_commands,
    daemon_commands,
    dev_commands,
    doctor_commands,
    generation_commands,
    index_commands,
    inspect_commands,
    job_commands,
    log_commands,
    pause_commands,
    rebuild_commands,
    service_commands,
)

app = typer.Typer(
    name="reindex",
    help="Keeps search indexes of folders of documents fresh. Only what changed is embedded.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(config_commands.init)
app.command()(index_commands.plan)
app.command()(index_commands.sync)
app.command()(rebuild_commands.rebuild)
app.command()(inspect_commands.query)
app.command()(inspect_commands.status)
app.command()(inspect_commands.verify)
app.add_typer(generation_commands.generations_app, name="generations")
app.add_typer(job_commands.jobs_app, name="jobs")
app.command()(index_commands.gc)
app.command()(daemon_commands.run)
app.command()(daemon_commands.start)
app.command()(daemon_commands.stop)
app.command()(daemon_commands.restart)
app.command()(daemon_commands.reload)
app.command()(log_commands.logs)
app.command()(pause_commands.pause)
app.command()(pause_commands.resume)
app.command()(doctor_commands.doctor)
app.command("dev-openai")(dev_commands.dev_openai)
app.command("install-service")(service_commands.install_service)
app.add_typer(config_commands.config_app, name="config")


def _show_version(value: bool) -> None:
    if value:
        print(f"reindex {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
