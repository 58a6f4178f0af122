"""The JSON of an answer with vectors, right or wrong as was asked."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reindex.dev_openai.embedding_request import EmbeddingRequest
from reindex.dev_openai.faults import (
    FewerItems,
    FloatsOnly,
    NoIndex,
    Reordered,
    SameIndex,
    WrongVector,
    WrongVectors,
)
from reindex.dev_openai.vectors import Vector

_DIGITS = 10  # 21 KB for 1,536 floats, as the real one's
_ANOTHER, _YET_ANOTHER = "text-embedding-3-large", "text-embedding-3-small"
_NOT_BASE64 = "@@@ this is not base64 @@@"


@dataclass(frozen=True, slots=True)
class Item:
    """One vector to be sent. `model` is what the body calls its model."""

    vector: Any  # float32[n], None, or a string to send as it is
    model: str


def spoil(item: Item, kind: WrongVector, other: Vector) -> Item:
    """The item with that wrong. `other`: the vector to send in its place for SHIFTED and SWAPPED."""
    match kind:
        case WrongVector.NULL:
            return Item(None, item.model)
        case WrongVector.BAD_BASE64:
            return Item(_NOT_BASE64, item.model)
        case WrongVector.OTHER_MODEL:
            return Item(item.vector, _ANOTHER if item.model != _ANOTHER else _YET_ANOTHER)
        case WrongVector.SHIFTED | WrongVector.SWAPPED:
            return Item(other, item.model)
        case _:
            return Item(_damaged(np.array(item.vector, dtype=np.float32), kind), item.model)


def _damaged(vector: Vector, kind: WrongVector) -> Vector:
    match kind:
        case WrongVector.SHORT:
            return vector[:-1]
        case WrongVector.LONG:
            return np.append(vector, vector[:1])
        case WrongVector.NAN:
            vector[0] = np.nan
        case WrongVector.INFINITE:
            vector[0] = np.inf
        case WrongVector.ZERO:
            vector[:] = 0
        case _:
            assert kind == WrongVector.NOT_UNIT, "the others are no damage to a vector"
            vector *= 3
    return vector


def answer(request: EmbeddingRequest, items: Sequence[Item], faults: Sequence[Any] = ()) -> dict[str, Any]:
    """The body, as an object for JSON."""
    is_base64 = request.is_base64 and not any(isinstance(fault, FloatsOnly) for fault in faults)
    data = [
        {"object": "embedding", "index": index, "embedding": _encode(item.vector, is_base64=is_base64)}
        for index, item in enumerate(items)
    ]
    models = [item.model for item in items if item.model != request.model]
    tokens = sum(request.tokens)
    return {
        "object": "list",
        "data": _misplaced(data, faults),
        "model": models[0] if models else request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def wrongs(faults: Sequence[Any], index: int, text: str) -> list[WrongVector]:
    """What is to be wrong with this one."""
    return [
        fault.kind for fault in faults if isinstance(fault, WrongVectors) and fault.lines.chooses(index, text)
    ]


def _misplaced(data: list[dict[str, Any]], faults: Sequence[Any]) -> list[dict[str, Any]]:
    for fault in faults:
        match fault:
            case Reordered():
                data.reverse()
            case NoIndex():
                data = [{name: value for name, value in item.items() if name != "index"} for item in data]
            case SameIndex():
                data[-1]["index"] = data[0]["index"] if len(data) > 1 else 1
            case FewerItems(count):
                data = data[:-count]
            case _:
                pass
    return data


def _encode(vector: Any, *, is_base64: bool) -> Any:
    if vector is None or isinstance(vector, str):
        return vector
    if is_base64:
        return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode("ascii")
    return np.round(np.asarray(vector, dtype=np.float64), _DIGITS).tolist()
