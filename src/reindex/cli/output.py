"""Printing: data on stdout, messages and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping


def print_json(value: Mapping[str, object]) -> None:
    """One object. ASCII, so that any name of a file passes through any terminal and pipe."""
    print(json.dumps(value))  # noqa: T201


def say(text: str) -> None:
    """A line of data for a person."""
    print(printable(text))  # noqa: T201


def say_lines(text: str) -> None:
    """Text of several lines that we made ourselves: no name of a file may break a line into two."""
    for line in text.rstrip("\n").split("\n"):
        say(line)


def warn(text: str) -> None:
    """A line for a person on stderr."""
    print(printable(text), file=sys.stderr)  # noqa: T201


def printable(text: str) -> str:
    """One line that any terminal can show: what is no character, or controls a terminal, as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    """A byte that is not UTF-8 as what it is on disk, anything else as Python writes it."""
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return repr(character)[1:-1]


def plural(count: int, noun: str) -> str:
    """`1 document`, `2 documents`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
