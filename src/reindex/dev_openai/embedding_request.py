"""One request for embeddings: read from JSON, and refused for the reasons and in the words of the API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from reindex.dev_openai.options import Base64, Options
from reindex.dev_openai.refusals import (
    Refusal,
    invalid_input,
    too_long,
    too_many_items,
    too_many_tokens,
    unknown_model,
)

_OPENAI_ITEMS_MAX = 2048


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """`tokens` counts those of each text. Token arrays are shown as text: "tokens: 1 2 3"."""

    model: str
    texts: tuple[str, ...]
    tokens: tuple[int, ...]
    dimensions: int
    is_base64: bool


def parse_object(content: bytes | str) -> dict[str, Any]:
    """The JSON object that a body is. Raises Refusal."""
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refusal(
            400,
            "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
            "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not "
            "valid JSON.)",
        )
    return value


def read_request(body: dict[str, Any], options: Options) -> EmbeddingRequest:
    """What is asked for. Raises Refusal."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "you must provide a model parameter")
    if model not in options.models:
        raise unknown_model(model)
    texts, tokens = _read_input(body.get("input"), options)
    for count in tokens:
        if count > options.tokens_each_max:
            raise too_long(count, options.tokens_each_max)
    if sum(tokens) > options.tokens_request_max:
        raise too_many_tokens(sum(tokens), options.tokens_request_max)
    dimensions = _read_dimensions(body.get("dimensions"), model, options)
    is_base64 = _read_format(body.get("encoding_format"), options)
    return EmbeddingRequest(model, texts, tokens, dimensions, is_base64)


def _read_input(value: Any, options: Options) -> tuple[tuple[str, ...], tuple[int, ...]]:
    if isinstance(value, str) or _is_tokens(value):
        value = [value]
    if not isinstance(value, list) or not value:
        raise invalid_input()
    if len(value) > options.items_max:
        if options.items_max < _OPENAI_ITEMS_MAX:
            raise too_many_items(len(value), options.items_max)
        raise invalid_input()
    if all(isinstance(item, str) and item for item in value):
        return tuple(value), tuple(options.count_tokens(item) for item in value)
    if all(_is_tokens(item) for item in value):
        return tuple("tokens: " + " ".join(map(str, item)) for item in value), tuple(map(len, value))
    raise invalid_input()


def _is_tokens(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in value)
    )


def _read_dimensions(value: Any, model: str, options: Options) -> int:
    most = options.models[model]
    if value is None:
        return most
    if not options.has_dimensions or model == "text-embedding-ada-002":
        raise Refusal(400, "This model does not support specifying dimensions.")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Refusal(400, f"Invalid value for 'dimensions' = {value}. Must be a positive integer.")
    if value > most:
        raise Refusal(400, f"Invalid value for 'dimensions' = {value}. Must be less than or equal to {most}.")
    return value


def _read_format(value: Any, options: Options) -> bool:
    if value not in {None, "float", "base64"}:
        raise Refusal(400, "Invalid value for 'encoding_format': must be 'float' or 'base64'.")
    if value == "base64" and options.base64 == Base64.REFUSED:
        raise Refusal(400, "encoding_format 'base64' is not supported.", param="encoding_format")
    return value == "base64" and options.base64 == Base64.SPOKEN
