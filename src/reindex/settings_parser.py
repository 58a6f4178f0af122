"""From the text of config.toml, the environment and the command line to checked settings. Pure.

A later layer wins: default, config.toml, environment `REINDEX_<SECTION>__<KEY>`, command-line option. Each
layer is checked even where a later one wins, so that nothing wrong in the file stays hidden.
"""

import os.path
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NewType, NoReturn

from reindex.errors import ConfigError
from reindex.settings import NOT_SETTINGS, Settings
from reindex.settings_entries import Entry, Kind, all_entries, entries
from reindex.settings_lines import KeyLines, KeyPath
from reindex.settings_values import checked_value, value_from_variable

Origin = NewType("Origin", str)
"""Where a value comes from, as an error message begins: "default", "config.toml:12",
"environment REINDEX_CHUNKING__MAX_TOKENS", "--data-dir"."""

_DEFAULT = Origin("default")
_PREFIX = "REINDEX_"
_HOMES = {key.rpartition(".")[2]: key.rpartition(".")[0] for key, _ in all_entries()}
_LAYERED = frozenset(key for key, _ in all_entries() if not key.startswith("sources."))


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Checked settings, and the origin of each value by its dotted key ("sources.0.path")."""

    settings: Settings
    origins: dict[str, Origin]


def parse_settings(
    *,
    text: str | None,
    file: str,
    base_dir: Path,
    environment: Mapping[str, str],
    overrides: Mapping[str, object],
) -> LoadedSettings:
    """The effective settings.

    `text` is config.toml (None: there is none) and `file` its name in messages; relative paths of every layer
    start at `base_dir`, which is absolute. `overrides` go by dotted key ("embedding.model"); one that is None
    was not given. Raises ConfigError with its origin for whatever is wrong first.
    """
    _refuse_unknown_variables(environment)
    assert overrides.keys() <= _LAYERED, f"no such setting: {overrides.keys() - _LAYERED}"
    written = _parsed_toml(text or "", file)
    reader = _Reader(file, KeyLines(text or ""), base_dir, environment, overrides)
    settings: Settings = reader.section(Settings, written, ())
    _refuse_contradictions(settings, reader.origins, file)
    refuse_overlaps(settings, reader.origins)
    return LoadedSettings(settings, reader.origins)


class _Reader:
    """Builds the classes of the settings page out of the layers, and notes every value's origin."""

    def __init__(
        self,
        file: str,
        lines: KeyLines,
        base_dir: Path,
        environment: Mapping[str, str],
        overrides: Mapping[str, object],
    ) -> None:
        self._file = file
        self._lines = lines
        self._base_dir = base_dir
        self._environment = environment
        self._overrides = overrides
        self.origins: dict[str, Origin] = {}

    def section(self, section: type[Any], written: dict[str, object], path: KeyPath) -> Any:
        known = {entry.name: entry for entry in entries(section)}
        for name in written:
            if name not in known:
                self._refuse_unknown_key(name, known, path)
        return section(**{name: self._field(entry, written, (*path, name)) for name, entry in known.items()})

    def _field(self, entry: Entry, written: dict[str, object], path: KeyPath) -> object:
        if entry.kind is Kind.TABLE:
            table = written.get(entry.name, {})
            if not isinstance(table, dict):
                raise ConfigError(
                    f"{self._written_at(path)}: {_dotted(path)} must be a table, [{_dotted(path)}]"
                )
            assert entry.section is not None
            return self.section(entry.section, table, path)
        if entry.kind is Kind.TABLES:
            return self._list_of_sections(entry, written.get(entry.name, []), path)
        return self._value(entry, written, path)

    def _list_of_sections(self, entry: Entry, tables: object, path: KeyPath) -> tuple[object, ...]:
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            name = _dotted(path)
            raise ConfigError(f"{self._written_at(path)}: write [[{name}]], with two brackets, for each")
        assert entry.section is not None
        return tuple(
            self.section(entry.section, table, (*path, number)) for number, table in enumerate(tables)
        )

    def _value(self, entry: Entry, written: dict[str, object], path: KeyPath) -> object:
        key = _dotted(path)
        value, origin = entry.default, _DEFAULT
        if isinstance(value, Path):
            value = self._absolute(str(value), origin)
        for layer, given in self._given(entry, written, path):
            origin, value = layer, self._resolved(entry, checked_value(entry, given, layer, key), layer, key)
        if entry.is_required and origin == _DEFAULT:
            where = self._written_at(path[:-1])
            raise ConfigError(f"{where}: {entry.name} is missing: {entry.doc}", f'add {entry.name} = "..."')
        self.origins[key] = origin
        return value

    def _given(
        self, entry: Entry, written: dict[str, object], path: KeyPath
    ) -> Iterator[tuple[Origin, object]]:
        """What each layer says of a setting, the winner last."""
        if entry.name in written:
            yield self._written_at(path), self._expanded(written[entry.name], path)
        variable = _variable(_dotted(path))
        if variable in self._environment:
            yield (
                Origin(f"environment {variable}"),
                value_from_variable(entry.kind, self._environment[variable]),
            )
        override = self._overrides.get(_dotted(path))
        if override is not None:
            option = Origin("--" + entry.name.replace("_", "-"))
            yield option, str(override) if isinstance(override, Path) else override

    def _expanded(self, written: object, path: KeyPath) -> object:
        """`written` with each `${VAR}` in its strings replaced; `$${` stands for a plain `${`."""
        if isinstance(written, list):
            return [self._expanded(each, (*path, number)) for number, each in enumerate(written)]
        if not isinstance(written, str):
            return written

        def replacement(match: re.Match[str]) -> str:
            if match.group() == "$${":
                return "${"
            name = match.group(1)
            if name is None or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                message = (
                    f"{self._written_at(path)}: {_dotted(path)} has a ${{ without a variable's name and }}"
                )
                raise ConfigError(message, "write $${ for a plain ${")
            if name not in self._environment:
                message = f"{self._written_at(path)}: {_dotted(path)} needs ${{{name}}}, which is not set"
                raise ConfigError(message, f"set {name} in the environment, or write $${{ for a plain ${{")
            return self._environment[name]

        return re.sub(r"\$\$\{|\$\{(?:([^}]*)\})?", replacement, written)

    def _resolved(self, entry: Entry, value: object, origin: Origin, key: str) -> object:
        """A path made absolute; any other value as it is."""
        if entry.kind is not Kind.PATH:
            is_path = entry.limits.get("may_be_path") and str(value)[0] in "./~"
            return str(self._absolute(str(value), origin)) if is_path else value
        if value:
            return self._absolute(str(value), origin)
        if entry.is_required or entry.default is not None:
            raise ConfigError(f'{origin}: {key} must be a path, not ""')
        return None

    def _absolute(self, given: str, origin: Origin) -> Path:
        first, _, rest = given.partition("/")
        if first == "~":
            home = self._environment.get("HOME")
            if not home:
                raise ConfigError(f"{origin}: ~ is unknown, as HOME is not set", "write the whole path")
            given = os.path.join(home, rest)  # noqa: PTH118 - pathlib would keep ".."
        elif first.startswith("~"):
            raise ConfigError(f"{origin}: {first} is not expanded, only ~ is", "write the whole path")
        return Path(os.path.normpath(self._base_dir / given))

    def _written_at(self, path: KeyPath) -> Origin:
        return Origin(f"{self._file}:{self._lines.line(path)}")

    def _refuse_unknown_key(self, name: str, known: Mapping[str, Entry], path: KeyPath) -> NoReturn:
        section = ".".join(part for part in path if isinstance(part, str))
        there = f" in [{section}]" if section else ""
        message = f'{self._written_at((*path, name))}: unknown key "{name}"{there}'
        close = get_close_matches(name, known, n=1)
        if close:
            raise ConfigError(message, f'did you mean "{close[0]}"?')
        close = get_close_matches(name, _HOMES, n=1, cutoff=0.8)
        if close:
            home = f"in [{_HOMES[close[0]]}]" if _HOMES[close[0]] else "above the first [table]"
            raise ConfigError(message, f'did you mean "{close[0]}", {home}?')
        raise ConfigError(message, f"known here: {', '.join(known)}")


def _parsed_toml(text: str, file: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error)
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
        if found := re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", reason):
            reason = reason[: found.start()]
            line, column = (int(found[1]), int(found[2])) if found[1] else (line, column)
        raise ConfigError(f"{file}:{line}:{column}: not valid TOML: {reason}") from error


def _refuse_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {_variable(key) for key in _LAYERED}
    for name in sorted(environment):
        if not name.startswith(_PREFIX) or name in known or name in NOT_SETTINGS:
            continue
        suffixes = [each.removeprefix(_PREFIX) for each in known | NOT_SETTINGS]
        close = get_close_matches(name.removeprefix(_PREFIX), suffixes, n=1)
        hint = f"did you mean {_PREFIX}{close[0]}?" if close else "name it REINDEX_<SECTION>__<KEY>"
        if name.startswith(f"{_PREFIX}SOURCES"):
            hint = "sources are set in config.toml only"
        raise ConfigError(f"environment {name}: unknown setting", hint)


def _refuse_contradictions(settings: Settings, origins: Mapping[str, Origin], file: str) -> None:
    """What no single setting's limits can say."""
    if not settings.sources:
        raise ConfigError(
            f"{file}: no [[sources]]: there is nothing to index", "add one with a name and a path"
        )
    seen: set[str] = set()
    for number, source in enumerate(settings.sources):
        if source.name in seen:
            raise ConfigError(f'{origins[f"sources.{number}.name"]}: a second source named "{source.name}"')
        seen.add(source.name)
    chunking = settings.chunking
    if chunking.overlap_tokens >= chunking.max_tokens:
        origin = origins["chunking.overlap_tokens"]
        limit = f"chunking.max_tokens ({chunking.max_tokens}, {origins['chunking.max_tokens']})"
        raise ConfigError(f"{origin}: chunking.overlap_tokens must be less than {limit}")
    port = settings.daemon.http.rpartition(":")[2]
    if port and int(port) > 65535:
        raise ConfigError(f"{origins['daemon.http']}: daemon.http must have a port up to 65535, not {port}")


def refuse_overlaps(
    settings: Settings, origins: Mapping[str, Origin], resolve: Callable[[Path], Path] = lambda path: path
) -> None:
    """Raise ConfigError where a file would belong to two sources, or a source is inside the data directory.

    `resolve` says where a path really is: a door can follow links, the parser takes paths as written.
    """
    data_dir = resolve(settings.data_dir)
    earlier: list[tuple[str, Path]] = []
    for number, source in enumerate(settings.sources):
        origin, path = origins[f"sources.{number}.path"], resolve(source.path)
        if path.is_relative_to(data_dir):
            raise ConfigError(f'{origin}: source "{source.name}" is inside data_dir ({data_dir})')
        for name, other in earlier:
            if path.is_relative_to(other) or other.is_relative_to(path):
                message = f'{origin}: source "{source.name}" ({path}) overlaps source "{name}" ({other})'
                raise ConfigError(
                    message, "a file belongs to one source: take one folder, with include and exclude"
                )
        earlier.append((source.name, path))


def _variable(key: str) -> str:
    return _PREFIX + key.replace(".", "__").upper()


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)
