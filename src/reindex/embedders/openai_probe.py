"""What a server can do, asked with the canary text alone: for settings that fit it, and for models whose
dimensions nobody here knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from reindex.core.canary import CANARY_TEXT
from reindex.core.openai_models import known_dimensions
from reindex.embedders.openai_answer import Answered, Expected, read_answer
from reindex.embedders.openai_client import OpenAIConnection
from reindex.embedders.openai_errors import ask
from reindex.embedders.openai_request import EmbeddingRequest, send
from reindex.embedders.rate_limit_headers import KINDS, Headers, allowances
from reindex.errors import EmbeddingError, OutageError, RefusedError
from reindex.vectors import Vector

INPUTS_TRIED = (64, 32, 16, 10, 8, 4, 1)
"""How many canaries are sent at once, the most first, until so many are taken."""

_WAIT_MAX_S = 10.0


@dataclass(frozen=True, slots=True)
class Description:
    """A model by one canary: its own `dimensions`, its canary's `vector` in them, what the server calls it,
    and whether it answered in base64. `tokens` were spent.
    """

    dimensions: int
    vector: Vector
    answered_model: str
    is_base64: bool
    tokens: int
    headers: Headers


def describe(connection: OpenAIConnection, model: str, *, wants_base64: bool | None = None) -> Description:
    """Ask for one canary, `dimensions` left out; in base64 as the settings say, or as it is said here.

    Raises OutageError, RefusedError, AccountError, and EmbeddingError for a wrong answer.
    """
    request = _request(connection, model)
    if wants_base64 is not None:
        request = replace(request, wants_base64=wants_base64)
    return _describe(connection, request)


def takes_dimensions(connection: OpenAIConnection, model: str, dimensions: int) -> tuple[bool, int]:
    """Does it cut its vectors to so many, when it is asked to; and the tokens that were spent."""
    expected = Expected(model, dimensions, dimensions, is_unit=False)
    request = replace(_request(connection, model), dimensions=dimensions, expected=expected)
    try:
        return True, _describe(connection, request).tokens
    except EmbeddingError as error:
        if _is_transient(error):
            raise
        return False, 0


def inputs_taken(connection: OpenAIConnection, model: str, inputs_max: int) -> tuple[int, int]:
    """How many texts it takes in one request, of those that are tried: not over `inputs_max`, and 0 for not
    one; and the tokens that were spent.
    """
    for count in INPUTS_TRIED:
        tried = min(count, inputs_max)
        try:
            request = replace(_request(connection, model), texts=[CANARY_TEXT] * tried)
            return tried, _describe(connection, request).tokens
        except EmbeddingError as error:
            if _is_transient(error):
                raise
    return 0, 0


def has_batches(connection: OpenAIConnection) -> bool:
    """Is there a route for batches? Costs nothing. Raises OutageError where that can't be told."""
    try:
        ask(connection, "listing batches", lambda client: client.batches.list(limit=1))
    except RefusedError:
        return False
    except OutageError as error:
        if not error.is_lasting or error.status in {401, 402, 403}:
            raise
        return False
    return True


def limits_told(headers: Headers) -> str:
    """The account's limits by an answer's headers, for a person; "" where they are not told."""
    found = allowances(headers, 0.0)
    return ", ".join(
        f"{found[kind].remaining:,.0f} of {found[kind].limit:,.0f} {kind} left"
        for kind in KINDS
        if kind in found
    )


def _request(connection: OpenAIConnection, model: str) -> EmbeddingRequest:
    known = known_dimensions(model)
    expected = Expected(model, known, 0, is_unit=bool(known))
    return EmbeddingRequest([CANARY_TEXT], model, 0, connection.settings.has_base64, expected)


def _describe(connection: OpenAIConnection, request: EmbeddingRequest) -> Description:
    tokens = 4 * len(request.texts)
    with connection.limiter.turn(tokens, _WAIT_MAX_S) as turn:
        body = send(connection, request, turn, connection.settings.timeout_s)
    answered: Answered = read_answer(body, len(request.texts), request.expected)
    return Description(
        answered.vectors.shape[1],
        answered.vectors[0],
        answered.model,
        answered.is_base64,
        answered.tokens or tokens,
        turn.headers or {},
    )


def _is_transient(error: EmbeddingError) -> bool:
    """Nothing that the request itself brought about: no money, no answer, a wrong key."""
    return isinstance(error, OutageError) and (not error.is_lasting or error.status in {401, 402, 403, 429})
