"""Finds and reads config.toml: the one place where settings touch the disk."""

import os.path
from collections.abc import Mapping
from pathlib import Path

from reindex.errors import ConfigError
from reindex.settings_entries import Kind, all_entries
from reindex.settings_parser import LoadedSettings, parse_settings, refuse_overlaps

_HINT = "run `reindex init` to write one, or name it with --config"


def find_config(option: Path | None, environment: Mapping[str, str], cwd: Path) -> Path:
    """The absolute path of the config file: `--config`, then $REINDEX_CONFIG, then ./config.toml.

    Raises ConfigError where the first of these that is given names no file.
    """
    given = environment.get("REINDEX_CONFIG")
    if option is not None:
        path, origin = _from(cwd, str(option)), " (--config)"
    elif given:
        path, origin = _from(cwd, given), " (environment REINDEX_CONFIG)"
    else:
        path, origin = cwd / "config.toml", ""
    if not path.is_file():
        raise ConfigError(f"there is no config file {path}{origin}", _HINT)
    return path


def load_settings(
    config: Path | None, *, environment: Mapping[str, str], cwd: Path, overrides: Mapping[str, object]
) -> LoadedSettings:
    """The effective settings. `config` is the `--config` option; relative paths in the file and in the
    environment start at the file's folder, those in `overrides` (by dotted key; None: not given) at `cwd`.

    Raises ConfigError, with origin, for whatever is wrong.
    """
    path = find_config(config, environment, cwd)
    name = os.path.relpath(path, cwd) if path.is_relative_to(cwd) else str(path)
    loaded = parse_settings(
        text=_text(path, name),
        file=name,
        base_dir=path.parent,
        environment=environment,
        overrides={key: _option(key, value, cwd) for key, value in overrides.items()},
    )
    refuse_overlaps(loaded.settings, loaded.origins, resolve=lambda each: Path(os.path.realpath(each)))
    return loaded


def _text(path: Path, name: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"can't read {name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8", "save the file as UTF-8") from error


def _option(key: str, value: object, cwd: Path) -> object:
    """A path that was given on the command line, from where it was given."""
    entry = dict(all_entries())[key]
    is_path = entry.kind is Kind.PATH or (entry.limits.get("may_be_path") and str(value).startswith("."))
    return value if value is None or not is_path else _from(cwd, str(value))


def _from(cwd: Path, given: str) -> Path:
    return Path(os.path.normpath(cwd / os.path.expanduser(given)))  # noqa: PTH111 - it never raises
