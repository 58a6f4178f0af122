"""Getting vectors for keys: from the cache, and at once from the model for what is really missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from reindex.answers import answer_to, book_again, check_budget, is_down
from reindex.core.jobs import JobState, Lane
from reindex.direct import DirectLane, Embedded, Sending, Text
from reindex.errors import EmbeddingError, ModelError, OutageError, RefusedError
from reindex.model import EmbeddingKey
from reindex.stores.booking_rows import Booking, Outcome
from reindex.writer import Writer

if TYPE_CHECKING:
    from reindex.vectors import Vectors


def embed_missing(
    writer: Writer,
    direct: DirectLane,
    keys: Sequence[EmbeddingKey],
    texts_of: Callable[[Sequence[EmbeddingKey]], Mapping[EmbeddingKey, Text]],
    advance: Callable[[int, int, int], None],
    result: Embedded,
) -> None:
    """A vector for every key, into `result`, which has those that are known. The others go down the lane as
    one job; `texts_of` is asked for the texts of that.

    Each batch is in the cache before the next is sent, so that a kill loses one batch at most. `advance` is
    told of the texts and tokens of each batch, and of all tokens that are sent. Raises ModelError, and
    EmbeddingError in an outage or when the budget is spent: what came before that is in `result`.
    """
    missing = [key for key in keys if key not in result.vectors and key not in result.refused]
    if missing:
        _embed(Sending(writer, direct, result, advance), missing, texts_of(missing))


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


def _embed(sending: Sending, missing: Sequence[EmbeddingKey], texts: Mapping[EmbeddingKey, Text]) -> None:
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


def _embed_batch(sending: Sending, batch: Sequence[tuple[EmbeddingKey, Text]]) -> None:
    """Texts that go together. Those that the model refuses are found by halves, and fail alone; those whose
    vectors are wrong are sent again, alone.
    """
    direct = sending.direct
    tokens = sum(text.tokens for _, text in batch)
    if len(batch) > 1 and direct.budget().is_never_enough_for(direct.prices.cost(direct.lane, tokens)):
        _embed_halves(sending, batch)
        return
    check_budget(direct, tokens)
    try:
        answer = answer_to(sending, batch)
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
        book_again(sending, Outcome.UNUSABLE, len(answer.wrong), wrong_tokens)
        _embed_wrong(sending, {batch[position]: reason for position, reason in answer.wrong.items()})


def _take_failure(
    sending: Sending, batch: Sequence[tuple[EmbeddingKey, Text]], error: EmbeddingError
) -> None:
    """Nothing came of a request, and it is not known to be the provider's fault: the canary tells. What was
    refused is one text's fault; what was answered wrongly, as often as a text may be, is that of all.
    """
    direct, refused = sending.direct, sending.result.refused
    is_wrong = direct.paid is not None and not isinstance(error, RefusedError)
    if len(batch) > 1 and not is_wrong:
        _embed_halves(sending, batch)
        return
    if is_down(direct.embedder):
        if is_wrong:
            raise OutageError(error.message, error.hint, is_lasting=True, code="wrong_answer") from error
        raise EmbeddingError(
            f"the model fails on every text: {error.message}", "Check the model, then run again."
        ) from error
    refused.update((key, error.message) for key, _ in batch)
    if direct.lane is not Lane.LOCAL:
        sending.writer.ledger.attempts.refuse({key: error.message for key, _ in batch})


def _embed_halves(sending: Sending, batch: Sequence[tuple[EmbeddingKey, Text]]) -> None:
    half = len(batch) // 2
    _embed_batch(sending, batch[:half])
    _embed_batch(sending, batch[half:])


def _embed_wrong(sending: Sending, wrong: Mapping[tuple[EmbeddingKey, Text], str]) -> None:
    """Once more those that may be sent once more; the others are refused for what was wrong."""
    attempts, refused = sending.writer.ledger.attempts, sending.result.refused
    for (key, _), reason in wrong.items():
        attempts.count([key], sending.direct.attempts_max, f"the answer was wrong: {reason}")
    refused.update(attempts.refusals([key for key, _ in wrong]))
    again = [(key, text) for key, text in wrong if key not in refused]
    if again:
        _embed_batch(sending, again)
        attempts.forget(key for key, _ in again if key in sending.result.vectors)


def _file(
    sending: Sending, batch: Sequence[tuple[EmbeddingKey, Text]], vectors: Vectors, tokens: int
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


def _rescue_from_table(writer: Writer, keys: Sequence[EmbeddingKey], result: Embedded) -> None:
    """The cache had damaged rows: the table may hold the same vectors, and they are not paid for twice."""
    from reindex.vectors import stack

    missing = [key for key in keys if key not in result.vectors]
    found = writer.table().vectors_of(missing)
    if found:
        writer.cache.put(list(found), stack(list(found.values())), writer.stores.today)
        result.vectors |= found
