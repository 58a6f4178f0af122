"""Lines of a batch: what is sent, and what comes back, each line verified before its vector is believed.

An output line is some 8 KB, nearly all of it one vector in base64. One that is as it should be is read in one
go by the library that the SDK reads its answers with; all others are looked at piece by piece.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

import numpy as np
from pydantic_core import SchemaValidator, core_schema

from reindex.core.canary import CANARY_ID
from reindex.embedders.openai_answer import check_model
from reindex.errors import EmbeddingError
from reindex.model import EmbeddingKey
from reindex.vectors import Vector, Vectors, lengths, normalised

NORM_TOLERANCE = 1e-2
_GROUP_BYTES = 16_000_000  # of vectors that are verified and filed together
_GROUP_LINES = 4_000
_KEY_DIGITS = 64
_PASSING = frozenset({401, 403, 404, 408, 409, 425, 429})  # 4xx that are not the text's fault
_NOT_EXECUTED = frozenset({"batch_expired", "batch_cancelled"})


@dataclass(frozen=True, slots=True)
class Expected:
    """What every vector of a batch has to be. `cuts`: a longer one is cut, because the server was not asked
    for `dimensions`.
    """

    model: str
    dimensions: int
    cuts: bool


@dataclass(slots=True)
class LineGroup:
    """Some lines. `vectors` has a row for each of `keys`; `tokens` is what each of them was billed.

    `refused` are texts that the provider will never take; `failed` those that it may take another time, and
    `skipped` those that were not executed; `wrong` were answered, and the answer can't be believed.
    """

    keys: list[EmbeddingKey] = field(default_factory=list)
    vectors: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))
    tokens: list[int] = field(default_factory=list)
    refused: dict[EmbeddingKey, str] = field(default_factory=dict)
    failed: dict[EmbeddingKey, str] = field(default_factory=dict)
    skipped: set[EmbeddingKey] = field(default_factory=set)
    wrong: dict[EmbeddingKey, str] = field(default_factory=dict)
    wrong_tokens: int = 0
    unknown: int = 0  # lines that nobody asked for
    torn: int = 0  # lines that can't be read
    canary: Vector | None = None
    canary_tokens: int = 0


def input_line(custom_id: str, text: str, model: str, dimensions: int | None, *, base64: bool) -> bytes:
    """One request of a batch, with its line end. `dimensions` None: the server is not asked for any."""
    before, after = _around(model, dimensions, base64)
    line = f'{{"custom_id":{encode_basestring_ascii(custom_id)}{before}{encode_basestring_ascii(text)}{after}'
    return line.encode()


@lru_cache(8)
def _around(model: str, dimensions: int | None, base64: bool) -> tuple[str, str]:
    """What stands in every line of a file between the id and the text, and behind the text. It is made once:
    to encode an object takes longer than all else that is done for a line.
    """
    body: dict[str, object] = {"model": model}
    if dimensions is not None:
        body["dimensions"] = dimensions
    if base64:
        body["encoding_format"] = "base64"
    fields = json.dumps(body, separators=(",", ":"))[:-1]
    return f',"method":"POST","url":"/v1/embeddings","body":{fields},"input":', "}}\n"


def read_groups(lines: Iterable[bytes], expected: Expected) -> Iterator[LineGroup]:
    """Everything that output and error lines say, some lines at a time."""
    most = max(1, min(_GROUP_LINES, _GROUP_BYTES // (4 * expected.dimensions)))
    group = LineGroup()
    rows: list[_Answer] = []
    for count, line in enumerate(lines, start=1):
        _take(line, group, rows, expected)
        if count % most == 0:
            yield _finished(group, rows, expected)
            group, rows = LineGroup(), []
    yield _finished(group, rows, expected)


def line_keys(lines: Iterable[bytes]) -> Iterator[EmbeddingKey]:
    """What the lines of any file of a batch are about, torn ones left out."""
    for line in lines:
        try:
            key = _key_of(json.loads(line)["custom_id"])
        except (ValueError, TypeError, KeyError):
            continue
        if key is not None:
            yield key


class _Answer(NamedTuple):
    """A line with a vector that is not verified yet: float32, little endian."""

    custom_id: str
    content: bytes
    tokens: int


def _take(line: bytes, group: LineGroup, rows: list[_Answer], expected: Expected) -> None:
    answer = _good_answer(line, expected)
    if answer is not None:
        rows.append(answer)
        return
    try:
        value = json.loads(line)
        custom_id = value["custom_id"]
        key = _key_of(custom_id)
    except (ValueError, TypeError, KeyError):
        group.torn += bool(line.strip())
        return
    status, body = _response(value)
    if status != 200 or not isinstance(body, dict) or value.get("error"):
        if key is not None:
            _take_failure(key, status, value, body, group)
        else:
            group.unknown += custom_id != CANARY_ID
        return
    try:
        rows.append(_answer(custom_id, body, expected))
    except (EmbeddingError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        if key is not None:
            group.wrong[key] = f"an answer that can't be believed: {error}"
            group.wrong_tokens += _tokens_of(body)
        else:
            group.unknown += custom_id != CANARY_ID


def _good_answer(line: bytes, expected: Expected) -> _Answer | None:
    """A line with one vector in base64, of the model and the length that were asked for; None: any other."""
    try:
        value = _GOOD_LINE.validate_json(line)
    except ValueError:
        return None
    body = value["response"]["body"]
    content = body["data"][0]["embedding"]
    if len(content) != 4 * expected.dimensions or body["model"] != expected.model:
        return None
    return _Answer(value["custom_id"], content, body["usage"]["total_tokens"])


def _object(**fields: core_schema.CoreSchema) -> core_schema.CoreSchema:
    """A JSON object that has these, and may have others. Its bytes are in base64."""
    return core_schema.typed_dict_schema(
        {name: core_schema.typed_dict_field(field) for name, field in fields.items()},
        config=core_schema.CoreConfig(val_json_bytes="base64"),
    )


_ITEM = _object(embedding=core_schema.bytes_schema())
_BODY = _object(
    data=core_schema.list_schema(_ITEM, min_length=1, max_length=1),
    model=core_schema.str_schema(strict=True),
    usage=_object(total_tokens=core_schema.int_schema(strict=True)),
)
_RESPONSE = _object(status_code=core_schema.literal_schema([200]), body=_BODY)
_GOOD_LINE = SchemaValidator(
    _object(
        custom_id=core_schema.str_schema(strict=True), response=_RESPONSE, error=core_schema.none_schema()
    )
)


def _answer(custom_id: str, body: dict[str, Any], expected: Expected) -> _Answer:
    """Raises ValueError and its like for what is no answer to one text."""
    if (answered := body.get("model")) != expected.model:
        check_model(answered, expected.model)
    (item,) = body["data"]
    found = item["embedding"]
    if isinstance(found, str):
        content = binascii.a2b_base64(found.encode())
    else:
        content = np.asarray(found, dtype="<f4").tobytes()
    width = 4 * expected.dimensions
    if len(content) != width and not (expected.cuts and len(content) > width and len(content) % 4 == 0):
        raise ValueError(f"a vector of {len(content) / 4:g} dimensions, not {expected.dimensions}")
    return _Answer(custom_id, content[:width], _tokens_of(body))


def _tokens_of(body: dict[str, Any]) -> int:
    """That were billed for a line; 0 where nothing is said."""
    usage = body.get("usage")
    said = [usage.get(name) for name in ("total_tokens", "prompt_tokens")] if isinstance(usage, dict) else []
    return next((tokens for tokens in said if isinstance(tokens, int) and tokens > 0), 0)


def _finished(group: LineGroup, rows: list[_Answer], expected: Expected) -> LineGroup:
    """Verify all vectors of a group together."""
    content = bytearray().join([row.content for row in rows])
    matrix: Vectors = np.frombuffer(content, dtype="<f4").reshape(-1, expected.dimensions)  # to be written
    norms = lengths(matrix)
    sound = np.isfinite(norms) & (norms > 0)
    if not expected.cuts:  # a part of a unit vector is shorter
        sound &= np.abs(norms - 1.0) < NORM_TOLERANCE
    kept = []
    for position, (row, is_sound) in enumerate(zip(rows, sound.tolist(), strict=True)):
        key = _key_of(row.custom_id)
        if key is None:
            if row.custom_id == CANARY_ID and is_sound:
                group.canary = normalised(matrix[position : position + 1])[0]
                group.canary_tokens += row.tokens
            else:
                group.unknown += 1
        elif is_sound:
            kept.append(position)
            group.keys.append(key)
            group.tokens.append(row.tokens)
        else:
            group.wrong[key] = f"a vector of length {norms[position]:g}"
            group.wrong_tokens += row.tokens
    if len(kept) < len(rows):
        matrix, norms = matrix[kept], norms[kept]
    matrix /= norms[:, None].astype(np.float32)  # as the real-time lane does
    group.vectors = matrix
    return group


def key_of_line(line: bytes) -> EmbeddingKey | None:
    """The embedding key that a line of an input file is about; None for the canary and what is no line."""
    try:
        return _key_of(json.loads(line)["custom_id"])
    except (ValueError, TypeError, KeyError):
        return None


def _key_of(custom_id: object) -> EmbeddingKey | None:
    """The embedding key that a line is about; None for the canary and for what we never sent."""
    if not isinstance(custom_id, str) or len(custom_id) != _KEY_DIGITS:
        return None
    try:
        return EmbeddingKey(bytes.fromhex(custom_id))
    except ValueError:
        return None


def _response(value: dict[str, Any]) -> tuple[int, Any]:
    response = value.get("response")
    if not isinstance(response, dict):
        return 0, None
    status = response.get("status_code")
    return status if isinstance(status, int) else 0, response.get("body")


def _take_failure(key: EmbeddingKey, status: int, value: dict[str, Any], body: Any, group: LineGroup) -> None:
    """A line that says why there is no vector: in `error`, or in the response's own body."""
    inner = body.get("error") if isinstance(body, dict) else None
    error = inner if isinstance(inner, dict) else value.get("error")
    error = error if isinstance(error, dict) else {}
    reason = str(error.get("message") or error.get("code") or f"status {status}")
    if error.get("code") in _NOT_EXECUTED:
        group.skipped.add(key)
    elif 400 <= status < 500 and status not in _PASSING:
        group.refused[key] = reason
    else:
        group.failed[key] = reason
