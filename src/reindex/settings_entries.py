"""The page of settings as data: what each field is called, may hold and means, derived from its classes."""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

from reindex.settings import Limits, Settings, SourceSettings


class Kind(StrEnum):
    """What may be written for a setting, in the words of the messages."""

    STRING = "a string"
    CHOICE = "one of"
    PATH = "a path"
    INTEGER = "a whole number"
    NUMBER = "a number"
    BOOLEAN = "true or false"
    STRINGS = "a list of strings"
    TABLE = "a table"
    TABLES = "a list of tables"


_KINDS: dict[object, Kind] = {
    str: Kind.STRING,
    str | None: Kind.STRING,
    Path: Kind.PATH,
    Path | None: Kind.PATH,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    float | None: Kind.NUMBER,
    bool: Kind.BOOLEAN,
    tuple[str, ...]: Kind.STRINGS,
    tuple[SourceSettings, ...]: Kind.TABLES,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of this page. `section` is the class of a table or of a list of tables, None for a value;
    `default` is what the field holds when it is not set, and `is_required` that there is none.
    """

    name: str
    kind: Kind
    doc: str
    limits: Limits
    choices: tuple[str, ...] = ()
    section: type[Any] | None = None
    default: Any = None
    is_required: bool = False


def entries(section: type[Any]) -> Iterator[Entry]:
    """The fields of one of the classes above, in the order of the page."""
    for each in fields(section):
        inner = _section(each.type)
        yield Entry(
            name=each.name,
            kind=_kind(each.type),
            doc=each.metadata.get("doc", ""),
            limits=cast("Limits", {key: value for key, value in each.metadata.items() if key != "doc"}),
            choices=get_args(each.type) if get_origin(each.type) is Literal else (),
            section=inner,
            default=None if each.default is MISSING else each.default,
            is_required=each.default is MISSING and inner is None,
        )


def all_entries(section: type[Any] = Settings, prefix: str = "") -> Iterator[tuple[str, Entry]]:
    """Every value of the page by its dotted key; those of any source are "sources.name" and so on."""
    for entry in entries(section):
        if entry.section is None:
            yield prefix + entry.name, entry
        else:
            yield from all_entries(entry.section, f"{prefix}{entry.name}.")


def _kind(annotation: object) -> Kind:
    if get_origin(annotation) is Literal:
        return Kind.CHOICE
    return Kind.TABLE if is_dataclass(annotation) else _KINDS[annotation]


def _section(annotation: Any) -> type[Any] | None:
    if is_dataclass(annotation) and isinstance(annotation, type):
        return annotation
    return SourceSettings if _kind(annotation) is Kind.TABLES else None
