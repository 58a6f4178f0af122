"""Vectors out of an answer of the embeddings route: nothing of it is believed before it is checked."""

import binascii
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reindex.core.openai_models import known_dimensions
from reindex.errors import EmbeddingError
from reindex.vectors import Vectors

NORM_TOLERANCE = 1e-2
_FAMILY = "text-embedding-"


class WrongAnswerError(EmbeddingError):
    """An answer that is none. `is_of_server`: it is so for every text, until a person mends it. `tokens` that
    the answer says to have cost all the same, None if it doesn't say.
    """

    def __init__(self, message: str, hint: str = "", *, is_of_server: bool = False) -> None:
        super().__init__(message, hint)
        self.is_of_server = is_of_server
        self.tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What a right answer is like: by which model, how long its vectors are as the server sends them (0: as
    long as the first), what they are cut to (0: not at all), and whether they come in unit length.
    """

    model: str
    length: int
    dimensions: int
    is_unit: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """`vectors` of shape (n, dimensions) in the order of the texts; `tokens` None where the server does not
    count; `model` as it names it; `is_base64` if the vectors came so. `wrong` says of texts, by position, why
    their vectors can't be believed: those are zero.
    """

    vectors: Vectors
    tokens: int | None
    model: str
    is_base64: bool
    wrong: Mapping[int, str] = field(default_factory=dict)


def read_answer(body: bytes, count: int, expected: Expected) -> Answered:
    """The answer for `count` texts. Raises WrongAnswerError for whatever is wrong with it."""
    answer = _parsed(body)
    tokens, model = _tokens(answer), answer.get("model")
    try:
        check_model(model, expected.model)
        fields = _in_order(answer.get("data"), count)
        vectors = unit_vectors(fields, expected)
    except WrongAnswerError as error:
        error.tokens = tokens
        raise
    is_base64 = isinstance(fields[0], str)
    return Answered(vectors, tokens, model if isinstance(model, str) else "", is_base64)


def read_partly(body: bytes, count: int, expected: Expected) -> Answered:
    """The same, and where some of the vectors are wrong, the others: they are paid for. Raises
    WrongAnswerError where none is right.
    """
    try:
        return read_answer(body, count, expected)
    except WrongAnswerError as error:
        answer = _parsed(body)
        check_model(answer.get("model"), expected.model)
        vectors = np.zeros((count, expected.dimensions or expected.length), np.float32)
        wrong = dict.fromkeys(range(count), "no vector came, or several")
        is_base64 = False
        for position, value in _by_index(answer.get("data"), count).items():
            try:
                row = unit_vectors([value], expected)
            except WrongAnswerError as of_one:
                wrong[position] = of_one.message
                continue
            if row.shape[1] != vectors.shape[1]:
                raise  # of an unknown length, and not all of the same
            vectors[position] = row[0]
            is_base64 = isinstance(value, str)
            del wrong[position]
        if len(wrong) == count:
            raise
        model = answer.get("model")
        return Answered(vectors, error.tokens, model if isinstance(model, str) else "", is_base64, wrong)


def check_model(answered: object, asked: str) -> None:
    """Raise WrongAnswerError when it is another of OpenAI's models than the one of theirs that was asked.

    Servers answer with a version behind the name, with a path, or with what an alias stands for: all of that
    is let pass.
    """
    if not isinstance(answered, str) or not known_dimensions(asked):
        return
    name = _base(answered)
    if name.startswith(_FAMILY) and not name.startswith(_base(asked)):
        raise WrongAnswerError(
            f"the server answered by the model {answered[:80]!r} instead of {asked!r}",
            "Its vectors are of another space. Which models does the server at base_url have?",
            is_of_server=True,
        )


def unit_vectors(fields: Sequence[object], expected: Expected) -> Vectors:
    """Vectors of shape (n, dimensions) and of unit length from what stands under "embedding": base64 of
    float32, little endian, or a list of numbers. Raises WrongAnswerError that names the first wrong one.
    """
    if not fields:
        return np.empty((0, expected.dimensions), np.float32)
    vectors = _decoded(fields, expected.length)
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    is_fine = np.isfinite(lengths) & (lengths > 0)
    if expected.is_unit:
        is_fine &= np.abs(lengths - 1.0) < NORM_TOLERANCE
    if not is_fine.all():
        wrong = int(np.flatnonzero(~is_fine)[0])
        raise WrongAnswerError(f"vector {wrong} of {len(fields)} has the length {lengths[wrong]:.4g}, not 1")
    if vectors.shape[1] < expected.dimensions:
        raise _wrong_length(0, vectors.shape[1], expected.dimensions)
    if vectors.shape[1] > expected.dimensions > 0:
        vectors = np.ascontiguousarray(vectors[:, : expected.dimensions])
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        if not lengths.all():
            raise WrongAnswerError("a vector is zero in all the dimensions that are kept")
    vectors /= lengths[:, None].astype(np.float32)
    return vectors


def _decoded(fields: Sequence[object], length: int) -> Vectors:
    first = _row(fields[0], 0)
    length = length or len(first)
    vectors = np.empty((len(fields), length), np.float32)
    for position, value in enumerate(fields):
        row = _row(value, position) if position else first
        if len(row) != length:
            raise _wrong_length(position, len(row), length)
        vectors[position] = row
    return vectors


def _row(field: object, position: int) -> NDArray[np.floating]:
    try:
        if isinstance(field, str):
            return np.frombuffer(binascii.a2b_base64(field, strict_mode=True), "<f4")
        if isinstance(field, list):
            row = np.array(field, np.float64)  # what is no number raises, and null is none
            if row.ndim == 1:
                return row
    except (ValueError, TypeError, OverflowError):  # binascii's own error is a ValueError
        pass
    raise WrongAnswerError(f"vector {position} is neither base64 of float32 nor a list of numbers")


def _wrong_length(position: int, found: int, expected: int) -> WrongAnswerError:
    return WrongAnswerError(
        f"vector {position} has {found} dimensions, not {expected}",
        "[embedding.openai] send_dimensions = false if the server ignores `dimensions`;"
        " else, is it still the same model?",
        is_of_server=True,
    )


def _in_order(data: object, count: int) -> list[object]:
    """What stands under "embedding", by the items' own `index`: their order says nothing."""
    if not isinstance(data, list) or len(data) != count:
        found = len(data) if isinstance(data, list) else "no"
        raise WrongAnswerError(f"{found} vectors came for {count} texts")
    fields: list[object] = [None] * count
    seen = set()
    for item in data:
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < count or index in seen:
            shown = repr(index)[:40]
            raise WrongAnswerError(f"a vector's index is {shown}: twice, or of no text ({count} were sent)")
        seen.add(index)
        fields[index] = item.get("embedding")
    return fields


def _by_index(data: object, count: int) -> dict[int, object]:
    """What stands under "embedding", for the texts that exactly one item is about."""
    found: dict[int, list[object]] = {}
    for item in data if isinstance(data, list) else ():
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is int and 0 <= index < count:
            found.setdefault(index, []).append(item.get("embedding"))
    return {index: values[0] for index, values in found.items() if len(values) == 1}


def _tokens(answer: dict[str, object]) -> int | None:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    for name in ("total_tokens", "prompt_tokens"):
        value = usage.get(name)
        if isinstance(value, (int, float)) and math.isfinite(value) and value > 0:
            return int(value)
    return None


def _parsed(body: bytes) -> dict[str, object]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WrongAnswerError(f"the answer is no JSON ({len(body)} bytes): {error}"[:200]) from None
    if not isinstance(answer, dict):
        raise WrongAnswerError("the answer is no JSON object")
    return answer


def _base(model: str) -> str:
    return model.rsplit("/", 1)[-1].lower()
