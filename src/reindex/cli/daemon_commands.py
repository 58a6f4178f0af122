"""`run`, `start`, `stop`, `restart` and `reload`: the life of a daemon."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reindex import __version__
from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, QuietOption, current_directory, load
from reindex.cli.output import print_json, say, warn
from reindex.cli.performing import open_place
from reindex.errors import ConfigError, ExitCode, ReindexError

if TYPE_CHECKING:
    from reindex.app import App
    from reindex.daemon.starting import Started
    from reindex.daemon.stopping import Stopped
    from reindex.presence import Presence
    from reindex.settings import Settings

START_LIMIT_S = 3600.0
"""A first load of many documents takes its time; whoever has less says so."""

_STOP_S = 10.0  # the setting's default, where the configuration can't be read

TimeoutOption = Annotated[
    float, typer.Option("--timeout", help="Seconds until it has to be ready.", metavar="S", min=0.1)
]
KillOption = Annotated[bool, typer.Option("--kill", help="Kill it if it does not end in time.")]


def run(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    detached: Annotated[
        bool, typer.Option("--detached", hidden=True, help="Log to the data directory's log file.")
    ] = False,
) -> None:
    """Keep the index fresh and answer searches, in the foreground, until Ctrl-C.

    Example: reindex run --config /srv/docs/config.toml
    """
    from reindex.logfiles import log_path
    from reindex.telemetry import set_up_logging

    config, data_dir = _absolute(config, data_dir)
    settings = load(config, data_dir).settings
    telemetry = set_up_logging(
        settings.daemon.log_level,
        secrets_of(settings),
        environment=os.environ,
        log_file=log_path(settings.data_dir) if detached else None,
    )
    from reindex.daemon.process import run as run_daemon

    def load_anew() -> App:
        return open_place(config, data_dir, json_output=False).open_app()

    def taken(app: App) -> None:
        telemetry.change(app.settings.daemon.log_level, secrets_of(app.settings))

    try:
        code = run_daemon(load_anew, __version__, taken)
    except ReindexError as error:
        if not detached:
            raise
        logging.getLogger("reindex").critical("%s", error.message, extra={"hint": error.hint})
        raise typer.Exit(error.exit_code) from None
    raise typer.Exit(code)


def start(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    timeout: TimeoutOption = START_LIMIT_S,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run the daemon in the background. Returns when it is ready, or with its error.

    Example: reindex start --timeout 60
    """
    config, data_dir = _absolute(config, data_dir)
    _tell_started(*_start(config, data_dir, timeout, quiet=quiet), json_output=json_output)


def stop(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    kill: KillOption = False,
    json_output: JsonOption = False,
) -> None:
    """End the daemon: what is under way is finished or put down safely. Returns when it is gone.

    Example: reindex stop --kill
    """
    _tell_stopped(_stop(config, data_dir, kill=kill), json_output=json_output)


def restart(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    timeout: TimeoutOption = START_LIMIT_S,
    kill: KillOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Stop the daemon, if it runs, and start it again. Search by the command line works meanwhile.

    Example: reindex restart --quiet
    """
    config, data_dir = _absolute(config, data_dir)
    load(config, data_dir)  # a configuration that can't be used must not cost the daemon that runs
    stopped = _stop(config, data_dir, kill=kill)
    if not json_output or not _is_gone(stopped):
        _tell_stopped(stopped, json_output=json_output)
    _tell_started(*_start(config, data_dir, timeout, quiet=quiet), json_output=json_output)


def reload(
    config: ConfigOption = None, data_dir: DataDirOption = None, json_output: JsonOption = False
) -> None:
    """Have the daemon read its configuration anew. A wrong one changes nothing, and is told.

    Example: reindex config validate && reindex reload
    """
    from reindex.daemon.stopping import reload_daemon

    settings = load(config, data_dir).settings
    found = reload_daemon(settings.data_dir, settings.daemon.token)
    if found is None:
        warn(f"error: no daemon is running for {settings.data_dir}")
        raise typer.Exit(ExitCode.NOT_RUNNING)
    if json_output:
        print_json({"pid": found.presence.pid, "ok": found.ok, "error": found.error or None})
    elif found.ok is None:
        say(f"sent to process {found.presence.pid}, which has no HTTP to be asked: see `reindex logs`")
    elif found.ok:
        say(f"process {found.presence.pid} has read its configuration anew")
    if found.ok is False:
        warn(f"error: process {found.presence.pid} goes on with its old configuration: {found.error}")
        raise typer.Exit(ExitCode.USAGE)


def secrets_of(settings: Settings) -> list[str]:
    """What of the settings must never be written into a log."""
    from urllib.parse import urlsplit

    password = urlsplit(settings.embedding.openai.base_url).password
    return [each for each in (settings.daemon.token, password) if each]


def _start(
    config: Path | None, data_dir: Path | None, timeout_s: float, *, quiet: bool
) -> tuple[Started, str]:
    """The daemon, and the token that it wants to be shown."""
    from reindex.daemon.starting import own_command, start_daemon

    settings = load(config, data_dir).settings
    options = ["--config", str(config)] if config is not None else []
    if data_dir is not None:
        options += ["--data-dir", str(data_dir)]
    command = own_command("run", "--detached", *options)
    say_nothing = lambda _: None  # noqa: E731
    say_how = say_nothing if quiet else warn
    return start_daemon(command, settings.data_dir, limit_s=timeout_s, say=say_how), settings.daemon.token


def _stop(config: Path | None, data_dir: Path | None, *, kill: bool) -> Stopped:
    from reindex.daemon.stopping import STOP_MARGIN_S, stop_daemon

    stop_s = _STOP_S
    try:
        settings = load(config, data_dir).settings
        place, stop_s = settings.data_dir, settings.daemon.stop_s
    except ConfigError:
        if data_dir is None:
            raise
        # a wrong configuration must not keep it alive
        place = Path(os.path.abspath(current_directory(data_dir, data_dir) / data_dir))  # noqa: PTH100
    return stop_daemon(place, stop_s + STOP_MARGIN_S, kills=kill)


def _tell_started(started: Started, token: str, *, json_output: bool) -> None:
    from reindex.daemon.asking import ask
    from reindex.objects import iso

    presence = started.presence
    reasons = (ask(presence, "/v1/status", token) or {}).get("reasons")
    reasons = reasons if isinstance(reasons, list) else []
    if json_output:
        print_json(
            {
                "pid": presence.pid,
                "url": presence.url or None,
                "version": presence.version,
                "since": iso(presence.since),
                "already_running": started.was_running,
            }
        )
    elif started.was_running:
        say(f"already running: {_shown(presence)}")
    else:
        say(f"ready: {_shown(presence)}")
    for reason in reasons:
        warn(f"note: {reason}")
    if presence.version != __version__:
        warn(
            f"note: it is version {presence.version}, this command {__version__}: `reindex restart` renews it"
        )


def _tell_stopped(stopped: Stopped, *, json_output: bool) -> None:
    pid = stopped.presence.pid if stopped.presence is not None else None
    if json_output:
        print_json({"pid": pid, "ending": stopped.ending.value, "took_s": round(stopped.took_s, 3)})
    elif pid is None:
        say("not running")
    elif _is_gone(stopped):
        say(f"{stopped.ending}: process {pid}, after {stopped.took_s:.1f} s")
    if not _is_gone(stopped):
        raise ReindexError(
            f"process {pid} has not ended after {stopped.took_s:.0f} s",
            "Ask again (it then ends at once), or give --kill: nothing that is stored suffers.",
        )


def _is_gone(stopped: Stopped) -> bool:
    from reindex.daemon.stopping import Ending

    return stopped.ending is not Ending.STILL_THERE


def _shown(presence: Presence) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(presence.since))
    return f"process {presence.pid}, {presence.url or 'no HTTP'}, since {since}"


def _absolute(config: Path | None, data_dir: Path | None) -> tuple[Path, Path | None]:
    """For a process in another folder. Raises ConfigError without a configuration."""
    from reindex.settings_file import find_config

    found = find_config(config, os.environ, current_directory(config, data_dir))
    return found, None if data_dir is None else Path(os.path.abspath(data_dir.expanduser()))  # noqa: PTH100
