"""The options that commands share, and from them the settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reindex.errors import ConfigError

if TYPE_CHECKING:
    from reindex.settings_parser import LoadedSettings

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The configuration [$REINDEX_CONFIG, ./config.toml].", metavar="FILE"),
]
DataDirOption = Annotated[
    Path | None, typer.Option("--data-dir", help="Where the index lives [data_dir].", metavar="DIR")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
WaitOption = Annotated[
    float | None,
    typer.Option("--wait", help="Seconds to wait for work in flight.", min=0.0, metavar="S"),
]


def load(config: Path | None, data_dir: Path | None) -> LoadedSettings:
    """The effective settings. Raises ConfigError."""
    from reindex.settings_file import load_settings

    overrides = {} if data_dir is None else {"data_dir": data_dir}
    cwd = current_directory(config, data_dir)
    return load_settings(config, environment=os.environ, cwd=cwd, overrides=overrides)


def current_directory(config: Path | None, data_dir: Path | None) -> Path:
    """Where relative paths of the command line start. One that was deleted harms none that are absolute.

    Raises ConfigError.
    """
    try:
        return Path.cwd()
    except FileNotFoundError:
        given = config or Path(os.environ.get("REINDEX_CONFIG", ""))
        if all(path.expanduser().is_absolute() for path in (given, data_dir or given)):
            return given.expanduser().parent  # of no account
        raise ConfigError(
            "the current directory is gone", "Change to one that is there, or give absolute paths."
        ) from None
