"""`init` and `config`: write, show and check the configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, load
from reindex.cli.output import print_json, say, say_lines
from reindex.errors import ConfigError

config_app = typer.Typer(
    help="Show and check the configuration.", no_args_is_help=True, rich_markup_mode=None
)


def init(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Write a commented config.toml here (or at --config). An existing file is left alone."""
    from reindex.settings_text import init_text

    path = config or Path("config.toml")
    text = init_text()
    if data_dir is not None:
        text = text.replace('data_dir = ".reindex"', f"data_dir = {json.dumps(str(data_dir))}", 1)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists already", "Edit it, or give another --config.") from None
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror}", "Choose another --config.") from error
    if json_output:
        print_json({"config": str(path)})
    else:
        say(f"wrote {path}: name your folders under [[sources]], then run `reindex sync`")


@config_app.command()
def show(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    json_output: JsonOption = False,
) -> None:
    """The effective settings, after environment and options."""
    from reindex.settings_text import as_table
    from reindex.settings_text import show as show_settings

    loaded = load(config, data_dir)
    if not json_output:
        say_lines(show_settings(loaded, origin))
        return
    value: dict[str, object] = {"settings": as_table(loaded.settings)}
    if origin:
        value["origins"] = dict(loaded.origins)
    print_json(value)


@config_app.command()
def validate(
    config: ConfigOption = None, data_dir: DataDirOption = None, json_output: JsonOption = False
) -> None:
    """Check the configuration; exit 2 with file and line if something is wrong."""
    from reindex.http.address import check_address

    daemon = load(config, data_dir).settings.daemon
    if daemon.http:
        check_address(daemon.http, daemon.token)
    if json_output:
        print_json({"ok": True})
    else:
        say("the configuration is valid")


@config_app.command()
def schema(
    config: ConfigOption = None,  # noqa: ARG001 (every command takes them)
    data_dir: DataDirOption = None,  # noqa: ARG001
    json_output: JsonOption = False,  # noqa: ARG001 (it is JSON anyway)
) -> None:
    """The JSON schema of config.toml, for editors."""
    from reindex.settings_text import json_schema

    say_lines(json.dumps(json_schema(), indent=2))
