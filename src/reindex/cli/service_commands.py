"""`install-service`: the daemon as a service of the user's, by systemd or launchd."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.options import (
    ConfigOption,
    DataDirOption,
    JsonOption,
    current_directory,
    load,
)
from reindex.cli.output import print_json, say
from reindex.errors import ConfigError

if TYPE_CHECKING:
    from reindex.settings import Settings


def install_service(
    only_print: Annotated[
        bool, typer.Option("--print", help="Show the file on stdout, and write nothing.")
    ] = False,
    launchd: Annotated[bool, typer.Option("--launchd", help="For macOS instead of systemd.")] = False,
    name: Annotated[str, typer.Option("--name", help="Of the service.", metavar="NAME")] = "reindex",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is another.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write the file by which systemd (or launchd) runs the daemon for you, and say what to do next.

    Keys and REINDEX_* variables of the service go into ~/.config/reindex/environment, a NAME=value a line.

    Example: reindex install-service --print
    """
    if not name or set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."):
        raise ConfigError(f"--name {name!r} is no name for a service", "Use A-Z a-z 0-9 - _ .")
    content = _content(config, data_dir, name, launchd=launchd)
    if only_print:
        sys.stdout.buffer.write(content)
        return
    target = _target(name, launchd=launchd)
    _write(target, content, force=force)
    steps = _next_steps(name, target, launchd=launchd)
    if json_output:
        print_json({"file": str(target), "next": steps})
        return
    say(f"wrote {target}; now:")
    for step in steps:
        say(f"  {step}")


def _content(config: Path | None, data_dir: Path | None, name: str, *, launchd: bool) -> bytes:
    from reindex.daemon.starting import own_command
    from reindex.logfiles import log_path
    from reindex.service_units import launchd_plist, systemd_unit
    from reindex.settings_file import find_config

    settings: Settings = load(config, data_dir).settings
    path = find_config(config, os.environ, current_directory(config, data_dir))
    options = [] if data_dir is None else ["--data-dir", str(settings.data_dir)]
    command = own_command("run", "--config", str(path), *options)
    stop_s = settings.daemon.stop_s
    if launchd:
        log = log_path(settings.data_dir).with_name("launchd.log")
        return launchd_plist(command, name, str(log), stop_s)
    return systemd_unit(command, str(path), stop_s).encode()


def _target(name: str, *, launchd: bool) -> Path:
    if launchd:
        return Path.home() / "Library" / "LaunchAgents" / f"{name}.plist"
    home = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(home) if home.startswith("/") else Path.home() / ".config"
    return base / "systemd" / "user" / f"{name}.service"


def _write(target: Path, content: bytes, *, force: bool) -> None:
    try:
        if target.exists() and target.read_bytes() != content and not force:
            raise ConfigError(
                f"{target} is there already, and another",
                "Give this service another --name, or replace the file with --force.",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{target} can't be written: {error.strerror}", "Use --print.") from error


def _next_steps(name: str, target: Path, *, launchd: bool) -> list[str]:
    if launchd:
        return [f"launchctl bootstrap gui/$(id -u) '{target}'", f"launchctl print gui/$(id -u)/{name}"]
    return [
        "systemctl --user daemon-reload",
        f"systemctl --user enable --now {name}",
        f"journalctl --user -u {name} -f",
        "loginctl enable-linger    # so that it also runs while you are not logged in",
    ]
