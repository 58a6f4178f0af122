"""One request for embeddings, one answer: what is sent, and how it is read within limits of time and size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reindex.embedders.openai_answer import Expected
from reindex.embedders.openai_client import OpenAIConnection, timeout_of
from reindex.embedders.openai_errors import ask
from reindex.embedders.rate_limit import Turn
from reindex.errors import OutageError

if TYPE_CHECKING:
    from openai import OpenAI

_BYTES_PER_NUMBER_MAX = 32  # as a decimal, with room
_DIMENSIONS_MAX = 16_384  # of a vector whose length is not known
_BYTES_SPARE = 65_536


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """The texts, what is asked for them, and what a right answer is like. `dimensions` 0: is not sent."""

    texts: Sequence[str]
    model: str
    dimensions: int
    wants_base64: bool
    expected: Expected

    @property
    def fields(self) -> dict[str, Any]:
        """As the SDK takes them. The format is always named: else the SDK would choose it and decode."""
        fields: dict[str, Any] = {
            "input": list(self.texts),
            "model": self.model,
            "encoding_format": "base64" if self.wants_base64 else "float",
        }
        if self.dimensions:
            fields["dimensions"] = self.dimensions
        return fields

    @property
    def answer_bytes_max(self) -> int:
        numbers = len(self.texts) * (self.expected.length or _DIMENSIONS_MAX)
        return numbers * _BYTES_PER_NUMBER_MAX + _BYTES_SPARE


def send(connection: OpenAIConnection, request: EmbeddingRequest, turn: Turn, timeout_s: float) -> bytes:
    """The body of the answer, whatever is in it. `turn` learns of the limits. Raises RefusedError,
    OutageError, and AccountError for an address that is none.

    `timeout_s` is for all of it: a server that sends a byte now and then holds nobody for ever. What comes
    before it, as to import the SDK, is not the server's time: its answer would be paid for and thrown away.
    """
    count = len(request.texts)
    doing = f"embedding {count} text{'s' * (count != 1)}"

    def call(client: OpenAI) -> bytes:
        streamed = client.embeddings.with_streaming_response
        until = time.monotonic() + timeout_s
        with streamed.create(**request.fields, timeout=timeout_of(timeout_s)) as response:
            turn.learn(response.headers)
            return _read(response, until, request.answer_bytes_max, f"{connection.account.provider}: {doing}")

    return ask(connection, doing, call, turn.learn)


def _read(response: Any, until: float, bytes_max: int, doing: str) -> bytes:
    parts = []
    length = 0
    for part in response.iter_bytes():
        length += len(part)
        if length > bytes_max:
            raise OutageError(
                f"the answer is over {bytes_max:,} bytes long ({doing})",
                "Is [embedding.openai] base_url that of a server for embeddings?",
                is_lasting=True,
                may_be_accepted=True,
            )
        if time.monotonic() > until:
            raise OutageError(
                f"the answer did not come to its end in time ({doing})",
                "[embedding.openai] timeout_s gives it longer; the next run goes on.",
                may_be_accepted=True,
                code="timeout",
            )
        parts.append(part)
    return b"".join(parts)
