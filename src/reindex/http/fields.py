"""The options of a request, in its query or its JSON body: read, checked, and described for OpenAPI."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import NoReturn
from urllib.parse import parse_qsl

from reindex.errors import ExitCode
from reindex.http.problems import Refusal

_NAMES_MAX = 100
_NUMBER_MAX = 10**12
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_FLAGS = {"": True, "true": True, "1": True, "false": False, "0": False}


class FieldKind(StrEnum):
    """The type of an option, by JSON schema's word for it."""

    TEXT = "string"
    TEXTS = "array"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "boolean"


@dataclass(frozen=True, slots=True)
class Field:
    """An option. `minimum` and `maximum` limit a number, `maximum` also the characters of a text (and how
    many texts there may be).
    """

    name: str
    kind: FieldKind
    about: str
    default: object = None
    is_required: bool = False
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()

    def schema(self) -> dict[str, object]:
        """Its JSON schema."""
        found: dict[str, object] = {"type": self.kind.value, "description": self.about}
        names = {
            FieldKind.TEXT: ("minLength", "maxLength"),
            FieldKind.TEXTS: ("minItems", "maxItems"),
        }.get(self.kind, ("minimum", "maximum"))
        found |= {
            name: limit
            for name, limit in zip(names, (self.minimum, self.maximum), strict=True)
            if limit is not None
        }
        if self.kind is FieldKind.TEXTS:
            found["items"] = {"type": "string"}
        if self.choices:
            found["enum"] = list(self.choices)
        if self.default is not None:
            found["default"] = self.default
        return found


def query_values(fields: Sequence[Field], query: bytes) -> dict[str, object]:
    """What a query string says, by name, with defaults. A path's bytes that are not UTF-8 are
    surrogate-escaped. Raises Refusal.
    """
    try:
        pairs = parse_qsl(
            query.decode("latin-1"),
            keep_blank_values=True,
            errors="surrogateescape",
            max_num_fields=_NAMES_MAX,
        )
    except ValueError as error:
        raise Refusal(400, f"the query can't be read: {error}") from None
    kinds = {field.name: field.kind for field in fields}
    given: dict[str, object] = {}
    for name, text in pairs:
        if kinds.get(name) is FieldKind.TEXTS:
            texts = given.setdefault(name, [])
            assert isinstance(texts, list), "it was made here"
            texts.append(text)
        elif name in given:
            _refuse(f"{name} is given twice")
        else:
            given[name] = _from_text(kinds.get(name), text)
    return _checked(fields, given)


def body_values(fields: Sequence[Field], body: bytes) -> dict[str, object]:
    """What a JSON object says, by name, with defaults; no body is an empty object. Raises Refusal."""
    if not body.strip():
        return _checked(fields, {})
    try:
        given = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {error}", exit_code=ExitCode.USAGE) from None
    if not isinstance(given, dict):
        _refuse("the body must be a JSON object")
    return _checked(fields, given)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _from_text(kind: FieldKind | None, text: str) -> object:
    """A text of a query as its kind, or as it is where it is none: that is said later."""
    if kind is FieldKind.FLAG:
        return _FLAGS.get(text.lower(), text)
    if kind is FieldKind.INTEGER and _INTEGER.fullmatch(text):
        return int(text)
    if kind is FieldKind.NUMBER:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _checked(fields: Sequence[Field], given: Mapping[str, object]) -> dict[str, object]:
    known = {field.name: field for field in fields}
    for name in given:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Known are: {', '.join(known) or 'none'}."
            _refuse(f"there is no option {json.dumps(name[:60])}", hint)
    values = {}
    for field in fields:
        value = given.get(field.name)
        if value is not None:
            values[field.name] = _checked_value(field, value)
        elif field.is_required:
            _refuse(f"{field.name} is missing")
        else:
            values[field.name] = field.default
    return values


def _checked_value(field: Field, value: object) -> object:
    typed = _typed(field.kind, value)
    if typed is None:
        _refuse(f"{field.name} must be {_article(field.kind)}")
    if field.choices and typed not in field.choices:
        _refuse(f"{field.name} must be one of {', '.join(field.choices)}")
    amount = len(typed) if isinstance(typed, (str, list)) else typed
    assert isinstance(amount, (int, float)), "nothing else is left"
    of_what = {FieldKind.TEXT: " characters", FieldKind.TEXTS: " texts"}.get(field.kind, "")
    if field.minimum is not None and amount < field.minimum:
        _refuse(f"{field.name} must be at least {field.minimum}{of_what}")
    if field.maximum is not None and amount > field.maximum:
        _refuse(f"{field.name} must be at most {field.maximum}{of_what}")
    return typed


def _typed(kind: FieldKind, value: object) -> object | None:
    """The value as its kind, or None where it is of another."""
    match value:
        case bool():  # a bool is an int to Python
            return value if kind is FieldKind.FLAG else None
        case int() if kind is FieldKind.INTEGER:
            return value
        case int() | float() if kind is FieldKind.NUMBER and abs(value) <= _NUMBER_MAX:  # false for nan
            return float(value)
        case str() if kind is FieldKind.TEXT and "\0" not in value:
            return value
        case list() if kind is FieldKind.TEXTS and all(isinstance(each, str) for each in value):
            return value
    return None


def _article(kind: FieldKind) -> str:
    return {
        FieldKind.TEXT: "a text without NUL",
        FieldKind.TEXTS: "a list of texts",
        FieldKind.INTEGER: "an integer",
        FieldKind.NUMBER: "a number",
        FieldKind.FLAG: "true or false",
    }[kind]


def _refuse(detail: str, hint: str = "") -> NoReturn:
    raise Refusal(422, detail, hint, exit_code=ExitCode.USAGE)
