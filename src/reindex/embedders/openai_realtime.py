"""The real-time lane: texts go out in requests and come back as vectors at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from reindex.core.batching import request_batches
from reindex.core.canary import CANARY_TEXT
from reindex.core.openai_models import dimensions_sent, known_dimensions
from reindex.embedders.openai_answer import (
    Answered,
    Expected,
    WrongAnswerError,
    read_answer,
    read_partly,
)
from reindex.embedders.openai_client import OpenAIConnection
from reindex.embedders.openai_request import EmbeddingRequest, send
from reindex.embedders.rate_limit import Stop, never
from reindex.errors import EmbeddingError, OutageError
from reindex.settings import OpenAISettings
from reindex.vectors import Vectors

Booking = Callable[[int, int], None]
"""Told of texts and their tokens."""

Reading = Callable[[bytes, int, Expected], Answered]

QUERY_WAIT_MAX_S = 2.0  # somebody waits: better an answer by words alone
QUERY_TIMEOUT_S = 10.0
_BYTES_PER_TOKEN = 3


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one request may take, how often it is sent again after a passing failure, and how long at
    most it is waited before that.
    """

    timeout_s: float
    retries_max: int
    wait_max_s: float

    @staticmethod
    def for_documents(settings: OpenAISettings) -> Patience:
        """As it is set."""
        return Patience(settings.timeout_s, settings.retries_max, settings.retry_wait_max_s)

    @staticmethod
    def for_queries(settings: OpenAISettings) -> Patience:
        """Less: somebody is waiting for the answer."""
        return Patience(
            min(settings.timeout_s, QUERY_TIMEOUT_S),
            min(settings.retries_max, 1),
            min(settings.retry_wait_max_s, QUERY_WAIT_MAX_S),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """`vectors` of shape (n, dimensions), each of unit length but for the `wrong` ones (see `embed_partly`).
    `tokens` that were billed for them, as the provider counts, or by the estimate where it does not; those of
    wrong answers before are among them.
    """

    vectors: Vectors
    tokens: int
    wrong: Mapping[int, str] = field(default_factory=dict)


def estimated_tokens(text: str) -> int:
    """A quick estimate, mostly too high: for what no tokenizer has counted."""
    return len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + 1


class OpenAIEmbedder:
    """Vectors by one model in one number of dimensions. Safe from several threads."""

    def __init__(
        self,
        connection: OpenAIConnection,
        model: str,
        dimensions: int,
        *,
        native_dimensions: int = 0,
        patience: Patience | None = None,
        stop: Stop = never,
        on_usage: Booking = lambda _, __: None,
        on_lost: Booking = lambda _, __: None,
    ) -> None:
        """`dimensions` 0: the model's own. `native_dimensions`: those, 0 if they are known by its name, or
        not at all. `on_usage` is told of each answer that was billed, right or wrong; `on_lost`, with the
        estimate, of each request that may have been billed without an answer. Neither is told of canaries.
        """
        settings = connection.settings
        native = native_dimensions or known_dimensions(model)
        is_known = bool(known_dimensions(model))
        sent = dimensions_sent(model, dimensions, sends_dimensions=settings.send_dimensions)
        self._connection = connection
        self._model = model
        self._sent_dimensions = sent
        self._expected = Expected(model, sent or native, dimensions, is_unit=is_known)
        self._patience = patience or Patience.for_documents(settings)
        self._stop = stop
        self._on_usage = on_usage
        self._on_lost = on_lost

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), dimensions). Raises as `embed_with_usage`."""
        return self.embed_with_usage(texts).vectors

    def embed_with_usage(self, texts: Sequence[str], token_counts: Sequence[int] | None = None) -> Answer:
        """The same with what it cost: by one request if the texts fit into one (`request_batches` tells), by
        several in their order otherwise. `token_counts` as the caller packs by; None: they are estimated.

        Raises RefusedError for what is in a request, which does not say which text it was; OutageError; and
        EmbeddingError when answers stay wrong. Of several requests, what was paid before that is lost.
        """
        settings = self._connection.settings
        counts = [estimated_tokens(text) for text in texts] if token_counts is None else token_counts
        ranges = request_batches(counts, settings.max_inputs_per_request, settings.max_tokens_per_request)
        answers = [
            self._request(texts[first:last], sum(counts[first:last]), self._on_usage, self._on_lost)
            for first, last in ranges
        ]
        if len(answers) == 1:
            return answers[0]
        vectors = [answer.vectors for answer in answers]
        if not vectors:
            return Answer(np.empty((0, self._expected.dimensions), np.float32), 0)
        return Answer(np.concatenate(vectors), sum(answer.tokens for answer in answers))

    def embed_partly(
        self, texts: Sequence[str], token_counts: Sequence[int], on_lost: Booking, on_wrong: Booking
    ) -> Answer:
        """By one request, into which the texts have to fit. Where only some vectors are right the answer says
        which are `wrong`, by position: the others are paid for, and good.

        `on_lost` and `on_wrong` are told of requests that brought nothing; `tokens` are those of the answer
        alone. Raises as `embed_with_usage`: EmbeddingError when every answer is wrong altogether.
        """
        total = sum(token_counts)
        wrong_before: list[int] = []

        def wrong(count: int, tokens: int) -> None:
            on_wrong(count, tokens)
            wrong_before.append(tokens)

        answer = self._request(texts, total, _unbooked, on_lost, wrong)
        return replace(answer, tokens=answer.tokens - sum(wrong_before))

    def canary(self) -> Answer:
        """The vector of the canary text, shape (1, dimensions), and what it cost. Raises as the others."""
        return self._request([CANARY_TEXT], estimated_tokens(CANARY_TEXT), _unbooked, _unbooked)

    def _request(
        self,
        texts: Sequence[str],
        tokens: int,
        on_usage: Booking,
        on_lost: Booking,
        on_wrong: Booking | None = None,
    ) -> Answer:
        """One request, sent again after passing failures and wrong answers, both within their limits. With
        `on_wrong`, an answer is one if some of it is right.
        """
        settings, limiter, patience = self._connection.settings, self._connection.limiter, self._patience
        request = EmbeddingRequest(
            texts, self._model, self._sent_dimensions, settings.has_base64, self._expected
        )
        billed = retries = wrong = 0
        while True:
            wait_s = limiter.backoff_s(retries + wrong)
            outcome = self._outcome(request, tokens)
            if isinstance(outcome, OutageError):
                if outcome.may_be_accepted:
                    on_lost(len(texts), tokens)
                retries += 1
                wait_s = max(wait_s, outcome.wait_s)
                if outcome.is_lasting or retries > patience.retries_max or wait_s > patience.wait_max_s:
                    raise outcome
            else:
                answered = self._read(outcome, len(texts), read_partly if on_wrong else read_answer)
                used = answered.tokens or tokens
                on_usage(len(texts), used)
                billed += used
                if not isinstance(answered, WrongAnswerError):
                    return Answer(answered.vectors, billed, answered.wrong)
                if on_wrong is not None:
                    on_wrong(len(texts), used)
                wrong += 1
                if wrong >= settings.attempts_max:
                    raise self._final(answered)
            limiter.pause(wait_s, self._stop)

    def _outcome(self, request: EmbeddingRequest, tokens: int) -> bytes | OutageError:
        """What came of it once it was let go: the answer's body, or why there is none."""
        limiter, patience = self._connection.limiter, self._patience
        with limiter.turn(tokens, patience.wait_max_s, self._stop) as turn:
            try:
                return send(self._connection, request, turn, patience.timeout_s)
            except OutageError as error:
                if error.wait_s:
                    limiter.hold(error.wait_s)
                return error

    def _read(self, body: bytes, count: int, read: Reading) -> Answered | WrongAnswerError:
        try:
            return read(body, count, self._expected)
        except WrongAnswerError as error:
            return error

    def _final(self, error: WrongAnswerError) -> EmbeddingError:
        times = self._connection.settings.attempts_max
        words = f"{self._connection.account.provider} answered wrongly {times} times: {error.message}"
        if error.is_of_server:
            return OutageError(words, error.hint, is_lasting=True, code="wrong_answer")
        return EmbeddingError(words, "The next run asks again; reindex jobs retry if it has failed for good.")


def _unbooked(_texts: int, _tokens: int) -> None:
    """Canaries are booked apart."""
