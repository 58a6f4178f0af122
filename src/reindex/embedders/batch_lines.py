"""Lines of a batch: what is sent, and what comes back, each line verified before its vector is believed.

An output line is some 8 KB, nearly all of it one vector in base64. It is cut out of the line before the rest
is parsed: to parse JSON costs several times as much as to decode the vector.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reindex.core.canary import CANARY_ID
from reindex.embedders.openai_answer import check_model
from reindex.errors import EmbeddingError
from reindex.model import EmbeddingKey
from reindex.vectors import Vector, Vectors, normalised

NORM_TOLERANCE = 1e-2
_GROUP_LINES = 1_000
_KEY_DIGITS = 64
_PASSING = frozenset({401, 403, 404, 408, 409, 425, 429})  # 4xx that are not the text's fault
_NOT_EXECUTED = frozenset({"batch_expired", "batch_cancelled"})
_MARK = b'"embedding":'


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
    body: dict[str, object] = {"model": model, "input": text}
    if dimensions is not None:
        body["dimensions"] = dimensions
    if base64:
        body["encoding_format"] = "base64"
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": body}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def read_groups(lines: Iterable[bytes], expected: Expected) -> Iterator[LineGroup]:
    """Everything that output and error lines say, some lines at a time."""
    group = LineGroup()
    rows: list[_Answer] = []
    for count, line in enumerate(lines, start=1):
        _take(line, group, rows, expected)
        if count % _GROUP_LINES == 0:
            yield _finished(group, rows, expected)
            group, rows = LineGroup(), []
    yield _finished(group, rows, expected)


def line_keys(lines: Iterable[bytes]) -> Iterator[EmbeddingKey]:
    """What the lines of any file of a batch are about, torn ones left out."""
    for line in lines:
        try:
            key = _key_of(json.loads(_cut_out(line)[1])["custom_id"])
        except (ValueError, TypeError, KeyError):
            continue
        if key is not None:
            yield key


@dataclass(frozen=True, slots=True)
class _Answer:
    """A line with a vector that is not verified yet: float32, little endian."""

    custom_id: str
    content: bytes
    tokens: int


def _take(line: bytes, group: LineGroup, rows: list[_Answer], expected: Expected) -> None:
    encoded, rest = _cut_out(line)
    try:
        value = json.loads(rest)
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
        rows.append(_answer(custom_id, body, encoded, expected))
    except (EmbeddingError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        if key is not None:
            group.wrong[key] = f"an answer that can't be believed: {error}"
            group.wrong_tokens += _tokens_of(body)
        else:
            group.unknown += custom_id != CANARY_ID


def _cut_out(line: bytes) -> tuple[bytes | None, bytes]:
    """The base64 of the one vector in the line, and the line without it. None where it has another form."""
    start = line.find(_MARK)
    if start < 0:
        return None, line
    start += len(_MARK)
    while line[start : start + 1] == b" ":
        start += 1
    if line[start : start + 1] != b'"':
        return None, line
    end = line.find(b'"', start + 1)
    encoded = line[start + 1 : end]
    if end < 0 or not encoded or b"\\" in encoded:
        return None, line
    return encoded, line[: start + 1] + line[end:]


def _answer(custom_id: str, body: dict[str, Any], encoded: bytes | None, expected: Expected) -> _Answer:
    """Raises ValueError and its like for what is no answer to one text."""
    if (answered := body.get("model")) != expected.model:
        check_model(answered, expected.model)
    (item,) = body["data"]
    found = item["embedding"]
    if encoded is not None and found == "":
        content = binascii.a2b_base64(encoded)
    elif isinstance(found, str):
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
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else 0
    return tokens if isinstance(tokens, int) else 0


def _finished(group: LineGroup, rows: list[_Answer], expected: Expected) -> LineGroup:
    """Verify all vectors of a group together."""
    matrix = np.frombuffer(b"".join(row.content for row in rows), dtype="<f4")
    matrix = matrix.reshape(len(rows), expected.dimensions)
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
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
    group.vectors = normalised(matrix[kept])
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
