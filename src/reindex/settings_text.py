"""The settings page as text: the file that `init` writes, the JSON schema, and the effective settings."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from reindex.settings import Settings
from reindex.settings_entries import Entry, Kind, entries
from reindex.settings_parser import LoadedSettings

_COMMENT_COLUMN = 38


def init_text() -> str:
    """A commented config.toml with every key at its default; the keys of fine tuning are comments.

    It parses back to the defaults, with one source "docs" at "data".
    """
    lines = [
        "# The settings of reindex. What is not set here has the value shown here.",
        "# ${VAR} in a string is taken from the environment. Relative paths start at this file's folder.",
        "",
        *_init_section(Settings, ""),
    ]
    return "\n".join(lines) + "\n"


def json_schema() -> dict[str, object]:
    """The JSON schema (draft 2020-12) of config.toml, for editors. No unknown keys."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "config.toml of reindex",
        **_schema_of_section(Settings),
    }


def show(loaded: LoadedSettings, origin: bool) -> str:
    """The effective settings as TOML that can be parsed again; with `origin`, each says where it is from.

    Credentials in an address are masked.
    """
    origins = loaded.origins if origin else {}
    return "\n".join(_shown_table(as_table(loaded.settings), "", "", origins)).strip() + "\n"


def as_table(settings: Any) -> dict[str, Any]:
    """The settings as plain values for JSON or TOML, credentials masked. What is None in them is left out,
    except for a path, which is "".
    """
    table: dict[str, Any] = {}
    for entry in entries(type(settings)):
        value = getattr(settings, entry.name)
        match entry.kind:
            case Kind.TABLE:
                table[entry.name] = as_table(value)
            case Kind.TABLES:
                table[entry.name] = [as_table(each) for each in value]
            case _ if (plain := _plain(entry, value)) is not None:
                table[entry.name] = plain
            case _:
                pass
    return table


def masked(address: str) -> str:
    """An address without the `user:password@` in it, for showing and logging."""
    return re.sub(r"(?<=://).*@", "***@", address)


def _init_section(section: type[Any], path: str) -> Iterator[str]:
    every = list(entries(section))
    for entry in every:
        if entry.section is None:
            plain = entry.limits.get("example") if entry.default is None else None
            value = _literal(_plain(entry, entry.default) if plain is None else plain)
            line = f"{entry.name} = {value}"
            comment = f"{' | '.join(entry.choices)}; {entry.doc}" if entry.choices else entry.doc
            mark = "# " if entry.limits.get("fine_tuning") else ""
            yield f"{mark + line:<{_COMMENT_COLUMN - 1}} # {comment}"
    for entry in every:
        if entry.section is not None:
            header = path + entry.name
            yield ""
            yield from (f"# {line.strip()}" for line in (entry.section.__doc__ or "").splitlines())
            yield f"[[{header}]]" if entry.kind is Kind.TABLES else f"[{header}]"
            yield from _init_section(entry.section, f"{header}.")


def _shown_table(
    table: Mapping[str, Any], header: str, key: str, origins: Mapping[str, str]
) -> Iterator[str]:
    """Its values, then the tables in it. `header` is the table's name in TOML, `key` that in `origins`."""
    prefix = f"{key}." if key else ""
    for name, value in table.items():
        if not _is_section(value):
            line = f"{name} = {_literal(value)}"
            origin = origins.get(prefix + name)
            yield f"{line:<{_COMMENT_COLUMN - 1}} # {origin}" if origin else line
    for name, value in table.items():
        inner = f"{header}.{name}" if header else name
        if isinstance(value, dict):
            yield from ("", f"[{inner}]")
            yield from _shown_table(value, inner, prefix + name, origins)
        elif _is_section(value):
            for number, each in enumerate(value):
                yield from ("", f"[[{inner}]]")
                yield from _shown_table(each, inner, f"{prefix}{name}.{number}", origins)


def _is_section(value: object) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(each, dict) for each in value)
    )


def _schema_of_section(section: type[Any]) -> dict[str, object]:
    every = list(entries(section))
    schema: dict[str, object] = {
        "type": "object",
        "description": section.__doc__ or "",
        "properties": {entry.name: _schema_of_field(entry) for entry in every},
        "additionalProperties": False,
    }
    required = [entry.name for entry in every if entry.is_required or entry.kind is Kind.TABLES]
    return {**schema, "required": required} if required else schema


def _schema_of_field(entry: Entry) -> dict[str, object]:
    if entry.section is not None:
        inner = _schema_of_section(entry.section)
        return {"type": "array", "minItems": 1, "items": inner} if entry.kind is Kind.TABLES else inner
    schema: dict[str, object] = {"description": entry.doc, **_SCHEMA_TYPES[entry.kind]}
    plain = _plain(entry, entry.default)
    if plain is not None and not entry.is_required:
        schema["default"] = plain
    if entry.choices:
        schema["enum"] = list(entry.choices)
    for limit, keyword in (("min", "minimum"), ("max", "maximum")):
        if limit in entry.limits:
            schema[keyword] = entry.limits.get(limit)
    if "pattern" in entry.limits:
        schema["pattern"] = f"^(?:{entry.limits['pattern']})$"
    if entry.kind is Kind.PATH and (entry.is_required or entry.default is not None):
        schema["minLength"] = 1
    return schema


_SCHEMA_TYPES: dict[Kind, dict[str, object]] = {
    Kind.STRING: {"type": "string"},
    Kind.CHOICE: {"type": "string"},
    Kind.PATH: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.STRINGS: {"type": "array", "items": {"type": "string"}},
}


def _plain(entry: Entry, value: object) -> object:
    """A setting's value as it would be written in the file."""
    if entry.kind is Kind.PATH:
        return str(value) if value is not None else ""
    match value:
        case tuple():
            return list(value)
        case float() if value.is_integer():
            return int(value)
        case str() if entry.limits.get("is_secret"):
            return value and "***"
        case str() if entry.limits.get("may_hold_password"):
            return masked(value)
        case _:
            return value


def _literal(value: object) -> str:
    """A plain value in TOML."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if not isinstance(value, str):
        return json.dumps(value)
    text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f").replace("${", "$${")
    return text.encode(errors="backslashreplace").decode()  # a path need not be UTF-8
