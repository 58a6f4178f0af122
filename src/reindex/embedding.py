"""Getting vectors for keys: from the cache, and at once from the model for what is really missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reindex.canary import canary_fault
from reindex.core.canary import CANARY_TEXT
from reindex.core.jobs import JobState, Lane
from reindex.core.money import Budget, Prices
from reindex.errors import BudgetError, EmbeddingError, ModelError, OutageError
from reindex.model import EmbeddingKey
from reindex.ports import Embedder, PaidEmbedder
from reindex.stores.booking_rows import Booking, Outcome
from reindex.writer import Writer

if TYPE_CHECKING:
    from reindex.vectors import Vector, Vectors


@dataclass(frozen=True, slots=True)
class Text:
    """One text to embed, exactly as it is sent, and its tokens with special tokens and prompt."""

    sent: str
    tokens: int


@dataclass(slots=True)
class DirectLane:
    """A lane that answers at once: the local model, or a provider in real time.

    `requests` cuts texts, given by their tokens, into positions that go together. `budget` is asked before
    each of them. `paid` is the same embedder where its answers have a price; its model has to pass the canary
    once (`has_sung`).
    """

    lane: Lane
    model: str
    embedder: Embedder
    requests: Callable[[Sequence[int]], Iterable[Sequence[int]]]
    prices: Prices
    budget: Callable[[], Budget]
    paid: PaidEmbedder | None = None
    has_sung: bool = False


@dataclass(slots=True)
class Embedded:
    """Vectors by key, what was really sent to the model, and the texts that it refused, with the reason."""

    vectors: dict[EmbeddingKey, Vector] = field(default_factory=dict)
    texts_sent: int = 0
    tokens_sent: int = 0
    usd: float = 0.0
    refused: dict[EmbeddingKey, str] = field(default_factory=dict)
    job: int | None = None


def embed_missing(
    writer: Writer,
    direct: DirectLane,
    keys: Sequence[EmbeddingKey],
    texts_of: Callable[[Sequence[EmbeddingKey]], Mapping[EmbeddingKey, Text]],
    advance: Callable[[int, int, int], None],
) -> Embedded:
    """A vector for every key. What the cache lacks goes down the lane as one job; `texts_of` is asked for the
    texts of that.

    Each batch is in the cache before the next is sent, so that a kill loses one batch at most. `advance` is
    told of the texts and tokens of each batch, and of all tokens that are sent. Raises ModelError, and
    EmbeddingError in an outage or when the budget is spent.
    """
    assert writer.generation is not None, "texts are embedded for a generation"
    dimensions = writer.generation.recipe.space.dimensions
    result = Embedded()
    rejected_before = writer.cache.rejected
    since = writer.generation.number if writer.generation.is_fresh else 0
    today = writer.stores.today
    result.vectors = writer.cache.get(keys, dimensions, since_generation=since, used_on=today)
    if writer.cache.rejected > rejected_before:
        _rescue_from_table(writer, keys, result)
    missing = [key for key in keys if key not in result.vectors]
    if missing and direct.lane is not Lane.LOCAL:
        result.refused = writer.ledger.attempts.refusals(missing)
        missing = [key for key in missing if key not in result.refused]
    if missing:
        _embed(_Sending(writer, direct, result, advance), missing, texts_of(missing))
    return result


@dataclass(slots=True)
class _Sending:
    """Texts on their way down a lane."""

    writer: Writer
    direct: DirectLane
    result: Embedded
    advance: Callable[[int, int, int], None]


def _embed(sending: _Sending, missing: Sequence[EmbeddingKey], texts: Mapping[EmbeddingKey, Text]) -> None:
    writer, direct, result = sending.writer, sending.direct, sending.result
    assert writer.generation is not None, "texts are embedded for a generation"
    counts = [texts[key].tokens for key in missing]
    tokens = sum(counts)
    result.job = writer.ledger.jobs.enqueue(
        writer.generation.number,
        direct.lane,
        missing,
        tokens,
        writer.clock.now(),
        model=direct.model,
        usd=direct.prices.cost(direct.lane, tokens),
    )
    try:
        for batch in direct.requests(counts):
            _embed_batch(sending, [(missing[i], texts[missing[i]]) for i in batch])
            sending.advance(len(batch), sum(counts[i] for i in batch), tokens)
    except (EmbeddingError, ModelError) as error:
        writer.ledger.jobs.change_state(result.job, JobState.FAILED, writer.clock.now(), error.message)
        raise


def _embed_batch(sending: _Sending, batch: Sequence[tuple[EmbeddingKey, Text]]) -> None:
    """Texts that go together. Those that the model refuses are found by halves, and fail alone."""
    result, direct = sending.result, sending.direct
    _check_budget(direct, sum(text.tokens for _, text in batch))
    try:
        vectors, tokens = _answer(sending, batch)
    except OutageError:
        raise
    except EmbeddingError as error:
        if len(batch) > 1:
            half = len(batch) // 2
            _embed_batch(sending, batch[:half])
            _embed_batch(sending, batch[half:])
        elif _is_down(direct.embedder):
            raise EmbeddingError(
                f"the model fails on every text: {error.message}", "Check the model, then run again."
            ) from error
        else:
            result.refused[batch[0][0]] = error.message
            if direct.lane is not Lane.LOCAL:
                sending.writer.ledger.attempts.refuse({batch[0][0]: error.message})
        return
    _file(sending, batch, vectors, tokens)


def _answer(sending: _Sending, batch: Sequence[tuple[EmbeddingKey, Text]]) -> tuple[Vectors, int]:
    """Vectors for texts in order, and the tokens that they were billed."""
    sent = [text.sent for _, text in batch]
    counts = [text.tokens for _, text in batch]
    direct = sending.direct
    if direct.paid is None:
        return _checked(direct.embedder, sent), sum(counts)
    if direct.has_sung:
        answer = direct.paid.embed_with_usage(sent, counts)
        return answer.vectors, answer.tokens
    canary_tokens = -(-len(CANARY_TEXT) // 3)
    answer = direct.paid.embed_with_usage([CANARY_TEXT, *sent], [canary_tokens, *counts])
    reason = canary_fault(sending.writer.stores, direct.model, answer.vectors[0])
    booking = Booking(direct.lane, direct.model, Outcome.CANARY, 1, min(canary_tokens, answer.tokens))
    sending.writer.ledger.bookings.add(booking, sending.writer.clock.now())
    if reason:
        raise OutageError(
            reason, "`reindex rebuild --fresh` makes an index by what answers now.", is_lasting=True
        )
    direct.has_sung = True
    return answer.vectors[1:], max(0, answer.tokens - canary_tokens)


def _file(
    sending: _Sending, batch: Sequence[tuple[EmbeddingKey, Text]], vectors: Vectors, tokens: int
) -> None:
    """Vectors into the cache, the money into the book."""
    writer, direct, result = sending.writer, sending.direct, sending.result
    keys = [key for key, _ in batch]
    newest = writer.ledger.generations.newest()
    writer.cache.put(keys, vectors, writer.stores.today, newest_generation=newest)
    usd = direct.prices.cost(direct.lane, tokens)
    booking = Booking(direct.lane, direct.model, Outcome.INDEXED, len(batch), tokens, usd)
    writer.ledger.bookings.add(booking, writer.clock.now())
    result.vectors.update(zip(keys, vectors, strict=True))
    result.texts_sent += len(batch)
    result.tokens_sent += tokens
    result.usd += usd


def _check_budget(direct: DirectLane, tokens: int) -> None:
    """Raises BudgetError when so many tokens are more than may be spent today."""
    usd = direct.prices.cost(direct.lane, tokens)
    budget = direct.budget()
    if budget.holds(usd):
        raise BudgetError(
            f"the budget of the day holds this back: ${budget.used_usd:.4f} of ${budget.limit_usd:.4f} are"
            f" spent or reserved, and the next {tokens:,} tokens take ${usd:.4f}",
            "It goes on after midnight (UTC), or raise [embedding.openai] budget_usd_per_day.",
        )


def _is_down(embedder: Embedder) -> bool:
    """Is it the provider, and not the text? A text that no model refuses tells."""
    try:
        _checked(embedder, [CANARY_TEXT])
    except EmbeddingError:
        return True
    return False


def _checked(embedder: Embedder, sent: list[str]) -> Vectors:
    from reindex.vectors import check_vectors

    vectors = embedder.embed(sent)
    check_vectors(vectors, len(sent))
    return vectors


def _rescue_from_table(writer: Writer, keys: Sequence[EmbeddingKey], result: Embedded) -> None:
    """The cache had damaged rows: the table may hold the same vectors, and they are not paid for twice."""
    from reindex.vectors import stack

    missing = [key for key in keys if key not in result.vectors]
    found = writer.table().vectors_of(missing)
    if found:
        writer.cache.put(list(found), stack(list(found.values())), writer.stores.today)
        result.vectors |= found
