"""One value of a setting: is it of the right type, and within its limits?"""

import json
import math
import re
import tomllib
from collections.abc import Callable
from difflib import get_close_matches

from reindex.errors import ConfigError
from reindex.settings_entries import Entry, Kind

_INTEGER_MAX = 2**63 - 1  # TOML's
_TEXTS = (Kind.STRING, Kind.CHOICE, Kind.PATH)


def checked_value(entry: Entry, given: object, origin: str, key: str) -> object:
    """`given` as the type that the settings page names. A path stays a string here.

    Raises ConfigError that begins with `origin`, names `key` and says what is allowed.
    """
    value = _typed(entry.kind, given)
    if value is None:
        allowed = _one_of(entry) if entry.choices else entry.kind.value
        raise ConfigError(f"{origin}: {key} must be {allowed}, not {_shown(given)}")
    allowed = _what_it_should_be(entry, value)
    if allowed:
        close = get_close_matches(str(value), entry.choices, n=1)
        raise ConfigError(
            f"{origin}: {key} must be {allowed}", f'did you mean "{close[0]}"?' if close else ""
        )
    return value


def value_from_variable(kind: Kind, text: str) -> object:
    """An environment variable's text as a value of `kind`, or the text itself where it is none.

    A list of strings is a TOML array, or separated by commas.
    """
    convert = _FROM_TEXT.get(kind, str)
    try:
        return convert(text)
    except ValueError:
        return text


def _strings(text: str) -> object:
    if text.lstrip().startswith("["):
        return tomllib.loads(f"value = {text}")["value"]
    return [part.strip() for part in text.split(",") if part.strip()]


_FROM_TEXT: dict[Kind, Callable[[str], object]] = {
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.BOOLEAN: lambda text: {"true": True, "false": False}.get(text.strip().lower(), text),
    Kind.STRINGS: _strings,
}


def _typed(kind: Kind, given: object) -> object | None:
    """`given` as the page's type, or None where it is of another."""
    value: object | None = None
    match given:
        case bool():  # a bool is an int to Python, not to TOML
            value = given if kind is Kind.BOOLEAN else None
        case int() if kind is Kind.INTEGER and abs(given) <= _INTEGER_MAX:
            value = given
        case int() | float() if kind is Kind.NUMBER and abs(given) <= _INTEGER_MAX:  # false for nan
            value = float(given)
        case str() if kind in _TEXTS and "\0" not in given:
            value = given
        case list() if kind is Kind.STRINGS and all(_typed(Kind.STRING, each) is not None for each in given):
            value = tuple(given)
        case _:
            pass
    return value


def _what_it_should_be(entry: Entry, value: object) -> str:
    """Empty when the value is within its limits."""
    limits = entry.limits
    if entry.choices and value not in entry.choices:
        return f"{_one_of(entry)}, not {_shown(value)}"
    if isinstance(value, str) and "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        return limits["allowed"]  # without the value: an address may hold a password
    if isinstance(value, (int, float)):
        if value < limits.get("min", -math.inf):
            return f"at least {limits['min']}, not {_shown(value)}"
        if value > limits.get("max", math.inf):
            return f"at most {limits['max']}, not {_shown(value)}"
    return ""


def _one_of(entry: Entry) -> str:
    return f"one of {', '.join(entry.choices)}"


def _shown(given: object) -> str:
    """A wrong value in a message: short, and of a list or table only what it is."""
    if isinstance(given, int) and abs(given) > _INTEGER_MAX:
        return "a number of more than 64 bits"
    if isinstance(given, (str, int, float)):
        text = json.dumps(given, ensure_ascii=False)
        return text if len(text) <= 60 else text[:57] + "..."
    names: dict[type, str] = {list: "a list", dict: "a table"}
    return names.get(type(given), "a date or time")
