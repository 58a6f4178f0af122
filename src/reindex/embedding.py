"""Getting vectors for keys: from the cache, and at once from the model for what is really missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reindex.canary import canary_fault
from reindex.core.canary import CANARY_TEXT
from reindex.core.jobs import JobState, Lane
from reindex.core.money import Budget, Prices
from reindex.errors import BudgetError, EmbeddingError, ModelError, OutageError, RefusedError
from reindex.model import EmbeddingKey
from reindex.ports import Embedder, PaidEmbedder
from reindex.stores.booking_rows import Booking, Outcome
from reindex.writer import Writer

if TYPE_CHECKING:
    from reindex.vectors import Vector, Vectors


_CANARY_TOKENS = -(-len(CANARY_TEXT) // 3)  # an estimate


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
    once (`has_sung`). `attempts_max` is how often a text is sent whose vectors are wrong.
    """

    lane: Lane
    model: str
    embedder: Embedder
    requests: Callable[[Sequence[int]], Iterable[Sequence[int]]]
    prices: Prices
    budget: Callable[[], Budget]
    paid: PaidEmbedder | None = None
    has_sung: bool = False
    attempts_max: int = 1


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
    result = embed_known(writer, direct, keys)
    missing = [key for key in keys if key not in result.vectors and key not in result.refused]
    if missing:
        _embed(_Sending(writer, direct, result, advance), missing, texts_of(missing))
    return result


def embed_known(writer: Writer, direct: DirectLane, keys: Sequence[EmbeddingKey]) -> Embedded:
    """The vectors that are there already, and what a provider refused before. Sends nothing."""
    assert writer.generation is not None, "texts are embedded for a generation"
    dimensions = writer.generation.recipe.space.dimensions
    result = Embedded()
    rejected_before = writer.cache.rejected
    since = writer.generation.number if writer.generation.is_fresh else 0
    today = writer.stores.today
    result.vectors = writer.cache.get(keys, dimensions, since_generation=since, used_on=today)
    if writer.cache.rejected > rejected_before:
        _rescue_from_table(writer, keys, result)
    if direct.lane is not Lane.LOCAL:
        missing = [key for key in keys if key not in result.vectors]
        result.refused = writer.ledger.attempts.refusals(missing) if missing else {}
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
    """Texts that go together. Those that the model refuses are found by halves, and fail alone; those whose
    vectors are wrong are sent again, alone.
    """
    direct = sending.direct
    tokens = sum(text.tokens for _, text in batch)
    if len(batch) > 1 and direct.budget().is_never_enough_for(direct.prices.cost(direct.lane, tokens)):
        _embed_halves(sending, batch)
        return
    _check_budget(direct, tokens)
    try:
        answer = _answer(sending, batch)
    except OutageError:
        raise
    except EmbeddingError as error:
        _take_failure(sending, batch, error)
        return
    good = [position for position in range(len(batch)) if position not in answer.wrong]
    wrong_tokens = answer.tokens * len(answer.wrong) // len(batch)
    vectors = answer.vectors[good] if answer.wrong else answer.vectors
    _file(sending, [batch[position] for position in good], vectors, answer.tokens - wrong_tokens)
    if answer.wrong:
        _book_again(sending, Outcome.UNUSABLE, len(answer.wrong), wrong_tokens)
        _embed_wrong(sending, {batch[position]: reason for position, reason in answer.wrong.items()})


def _take_failure(
    sending: _Sending, batch: Sequence[tuple[EmbeddingKey, Text]], error: EmbeddingError
) -> None:
    """Nothing came of a request, and it is not known to be the provider's fault: the canary tells. What was
    refused is one text's fault; what was answered wrongly, as often as a text may be, is that of all.
    """
    direct, refused = sending.direct, sending.result.refused
    is_wrong = direct.paid is not None and not isinstance(error, RefusedError)
    if len(batch) > 1 and not is_wrong:
        _embed_halves(sending, batch)
        return
    if _is_down(direct.embedder):
        if is_wrong:
            raise OutageError(error.message, error.hint, is_lasting=True, code="wrong_answer") from error
        raise EmbeddingError(
            f"the model fails on every text: {error.message}", "Check the model, then run again."
        ) from error
    refused.update((key, error.message) for key, _ in batch)
    if direct.lane is not Lane.LOCAL:
        sending.writer.ledger.attempts.refuse({key: error.message for key, _ in batch})


def _embed_halves(sending: _Sending, batch: Sequence[tuple[EmbeddingKey, Text]]) -> None:
    half = len(batch) // 2
    _embed_batch(sending, batch[:half])
    _embed_batch(sending, batch[half:])


def _embed_wrong(sending: _Sending, wrong: Mapping[tuple[EmbeddingKey, Text], str]) -> None:
    """Once more those that may be sent once more; the others are refused for what was wrong."""
    attempts, refused = sending.writer.ledger.attempts, sending.result.refused
    for (key, _), reason in wrong.items():
        attempts.count([key], sending.direct.attempts_max, f"the answer was wrong: {reason}")
    refused.update(attempts.refusals([key for key, _ in wrong]))
    again = [(key, text) for key, text in wrong if key not in refused]
    if again:
        _embed_batch(sending, again)
        attempts.forget(key for key, _ in again if key in sending.result.vectors)


@dataclass(frozen=True, slots=True)
class _Answer:
    """A PaidAnswer."""

    vectors: Vectors
    tokens: int
    wrong: Mapping[int, str] = field(default_factory=dict)


def _answer(sending: _Sending, batch: Sequence[tuple[EmbeddingKey, Text]]) -> _Answer:
    """Vectors for texts in order, and the tokens that they were billed."""
    sent = [text.sent for _, text in batch]
    counts = [text.tokens for _, text in batch]
    direct = sending.direct
    if direct.paid is None:
        return _Answer(_checked(direct.embedder, sent), sum(counts))
    if not direct.has_sung and len(list(direct.requests([_CANARY_TOKENS, *counts]))) > 1:
        _sing(sending)  # the request has no room for it
    if direct.has_sung:
        return _paid(sending, direct.paid, sent, counts)
    answer = _paid(sending, direct.paid, [CANARY_TEXT, *sent], [_CANARY_TOKENS, *counts])
    tokens = max(0, answer.tokens - _CANARY_TOKENS)
    wrong = {position - 1: reason for position, reason in answer.wrong.items() if position}
    if 0 in answer.wrong:
        _sing(sending)
    else:
        try:
            _hear(sending, answer.vectors[0], min(_CANARY_TOKENS, answer.tokens))
        except OutageError:
            _book_again(sending, Outcome.UNUSABLE, len(sent), tokens)
            raise
    return _Answer(answer.vectors[1:], tokens, wrong)


def _paid(sending: _Sending, paid: PaidEmbedder, sent: Sequence[str], counts: Sequence[int]) -> _Answer:
    """What brought nothing is booked when it is known, canaries apart."""
    canaries = int(sent[0] == CANARY_TEXT)

    def lost(texts: int, _: int) -> None:
        _book_again(sending, Outcome.AGAIN_LOST, texts - canaries, 0)

    def wrong(texts: int, tokens: int) -> None:
        _book_again(sending, Outcome.UNUSABLE, texts - canaries, tokens)

    answer = paid.embed_partly(sent, counts, lost, wrong)
    return _Answer(answer.vectors, answer.tokens, answer.wrong)


def _sing(sending: _Sending) -> None:
    """The canary, alone."""
    paid = sending.direct.paid
    assert paid is not None, "only a provider has to"
    answer = _paid(sending, paid, [CANARY_TEXT], [_CANARY_TOKENS])
    _hear(sending, answer.vectors[0], answer.tokens)


def _hear(sending: _Sending, vector: Vector, tokens: int) -> None:
    """Raises OutageError when the canary does not sing as ever."""
    direct, writer = sending.direct, sending.writer
    reason = canary_fault(writer.stores, direct.model, vector)
    writer.ledger.bookings.add(
        Booking(direct.lane, direct.model, Outcome.CANARY, 1, tokens), writer.clock.now()
    )
    if reason:
        raise OutageError(
            reason, "`reindex rebuild --fresh` makes an index by what answers now.", is_lasting=True
        )
    direct.has_sung = True


def _book_again(sending: _Sending, outcome: Outcome, texts: int, tokens: int) -> None:
    """Texts that were sent for nothing: they are sent again, and may be paid twice."""
    if not texts:
        return
    direct, writer = sending.direct, sending.writer
    now, usd = writer.clock.now(), direct.prices.cost(direct.lane, tokens)
    with writer.ledger.transaction():
        if outcome is not Outcome.AGAIN_LOST:
            writer.ledger.bookings.add(Booking(direct.lane, direct.model, outcome, texts, tokens, usd), now)
        writer.ledger.bookings.add(Booking(direct.lane, direct.model, Outcome.AGAIN_LOST, texts), now)


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
