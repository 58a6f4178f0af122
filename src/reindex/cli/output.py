"""Printing: data on stdout, messages and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime


def print_json(value: Mapping[str, object]) -> None:
    """One object. ASCII, so that any name of a file passes through any terminal and pipe."""
    print(json.dumps(value))  # noqa: T201


def say(text: str) -> None:
    """A line of data for a person. Bytes that are not UTF-8 are shown as escapes."""
    print(printable(text))  # noqa: T201


def warn(text: str) -> None:
    """A line for a person on stderr."""
    print(printable(text), file=sys.stderr)  # noqa: T201


def printable(text: str) -> str:
    """Text that any terminal can show: no surrogates, no control characters but line ends."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in shown)


def plural(count: int, noun: str) -> str:
    """`1 document`, `2 documents`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def iso(timestamp: float | None) -> str | None:
    """A moment as ISO 8601 in UTC, to the second."""
    if timestamp is None:
        return None
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
