"""One request down a lane that answers at once: its answer, the canary in it, and its money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reindex.canary import canary_fault
from reindex.core.canary import CANARY_TEXT
from reindex.core.money import dollars
from reindex.core.token_ratio import TOO_MANY_TOKENS
from reindex.direct import DirectLane, Sending, Text
from reindex.errors import BudgetError, EmbeddingError, OutageError, RefusedError
from reindex.model import EmbeddingKey
from reindex.ports import Embedder, PaidEmbedder
from reindex.stores.booking_rows import Booking, Outcome

if TYPE_CHECKING:
    from reindex.vectors import Vector, Vectors

_CANARY_TOKENS = -(-len(CANARY_TEXT) // 3)  # an estimate


@dataclass(frozen=True, slots=True)
class Answer:
    """A PaidAnswer."""

    vectors: Vectors
    tokens: int
    wrong: Mapping[int, str] = field(default_factory=dict)


def answer_to(sending: Sending, batch: Sequence[tuple[EmbeddingKey, Text]]) -> Answer:
    """Vectors for texts in order, and the tokens that they were billed."""
    sent = [text.sent for _, text in batch]
    counts = [text.tokens for _, text in batch]
    direct = sending.direct
    if direct.paid is None:
        return Answer(_checked(direct.embedder, sent), sum(counts))
    if not direct.has_sung and len(list(direct.requests([_CANARY_TOKENS, *counts]))) > 1:
        _sing(sending)  # the request has no room for it
    if direct.has_sung:
        return _paid(sending, direct.paid, sent, counts)
    answer = _paid(sending, direct.paid, [CANARY_TEXT, *sent], [_CANARY_TOKENS, *counts])
    canary_tokens = answer.tokens * _CANARY_TOKENS // (_CANARY_TOKENS + sum(counts))  # its share of the bill
    tokens = answer.tokens - canary_tokens
    wrong = {position - 1: reason for position, reason in answer.wrong.items() if position}
    if 0 in answer.wrong:
        _sing(sending)
    else:
        try:
            _hear(sending, answer.vectors[0], canary_tokens)
        except OutageError:
            book_again(sending, Outcome.UNUSABLE, len(sent), tokens)
            raise
    return Answer(answer.vectors[1:], tokens, wrong)


def _paid(sending: Sending, paid: PaidEmbedder, sent: Sequence[str], counts: Sequence[int]) -> Answer:
    """What brought nothing is booked when it is known, canaries apart."""
    canaries = int(sent[0] == CANARY_TEXT)

    def lost(texts: int, _: int) -> None:
        book_again(sending, Outcome.AGAIN_LOST, texts - canaries, 0)

    def wrong(texts: int, tokens: int) -> None:
        book_again(sending, Outcome.UNUSABLE, texts - canaries, tokens)

    gauge = sending.direct.gauge
    try:
        answer = paid.embed_partly(sent, counts, lost, wrong)
    except RefusedError as error:
        if gauge is not None and error.code == TOO_MANY_TOKENS:
            gauge.learn_refusal(sum(counts), error.message)
        raise
    if gauge is not None:
        gauge.learn(sum(counts), answer.tokens)
    return Answer(answer.vectors, answer.tokens, answer.wrong)


def _sing(sending: Sending) -> None:
    """The canary, alone."""
    paid = sending.direct.paid
    assert paid is not None, "only a provider has to"
    answer = _paid(sending, paid, [CANARY_TEXT], [_CANARY_TOKENS])
    _hear(sending, answer.vectors[0], answer.tokens)


def _hear(sending: Sending, vector: Vector, tokens: int) -> None:
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


def book_again(sending: Sending, outcome: Outcome, texts: int, tokens: int) -> None:
    """Texts that were sent for nothing: they are sent again, and may be paid twice."""
    if not texts:
        return
    direct, writer = sending.direct, sending.writer
    now, usd = writer.clock.now(), direct.prices.cost(direct.lane, tokens)
    with writer.ledger.transaction():
        if outcome is not Outcome.AGAIN_LOST:
            writer.ledger.bookings.add(Booking(direct.lane, direct.model, outcome, texts, tokens, usd), now)
        writer.ledger.bookings.add(Booking(direct.lane, direct.model, Outcome.AGAIN_LOST, texts), now)


def check_budget(direct: DirectLane, tokens: int) -> None:
    """Raises BudgetError when so many tokens are more than may be spent today."""
    usd = direct.prices.cost(direct.lane, tokens)
    budget = direct.budget()
    if budget.holds(usd):
        raise BudgetError(
            f"the budget of the day holds this back: {dollars(budget.used_usd)} of"
            f" {dollars(budget.limit_usd)} are spent or reserved, and the next {tokens:,} tokens take"
            f" {dollars(usd)}",
            "It goes on after midnight (UTC), or raise [embedding.openai] budget_usd_per_day.",
        )


def is_down(embedder: Embedder) -> bool:
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
