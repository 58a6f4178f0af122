"""Texts on their way down a lane that answers at once: what goes, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reindex.core.jobs import Lane
from reindex.core.money import Budget, Prices
from reindex.model import EmbeddingKey
from reindex.ports import Embedder, PaidEmbedder
from reindex.token_gauge import TokenGauge
from reindex.writer import Writer

if TYPE_CHECKING:
    from reindex.vectors import Vector


@dataclass(frozen=True, slots=True)
class Text:
    """One text to embed, exactly as it is sent, and its tokens with special tokens and prompt."""

    sent: str
    tokens: int


@dataclass(slots=True)
class DirectLane:
    """A lane that answers at once, for one pass: the local model, or a provider in real time.

    `requests` cuts texts, given by their tokens, into positions that go together. `budget` is asked before
    each of them. `paid` is the same embedder where its answers have a price; its model has to pass the canary
    once (`has_sung`). `attempts_max` is how often a text is sent whose vectors are wrong. `gauge` is
    told what was billed.
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
    gauge: TokenGauge | None = None


@dataclass(slots=True)
class Embedded:
    """Vectors by key, what was really sent to the model, and the texts that it refused, with the reason."""

    vectors: dict[EmbeddingKey, Vector] = field(default_factory=dict)
    texts_sent: int = 0
    tokens_sent: int = 0
    usd: float = 0.0
    refused: dict[EmbeddingKey, str] = field(default_factory=dict)
    job: int | None = None


@dataclass(slots=True)
class Sending:
    """Texts on their way down a lane."""

    writer: Writer
    direct: DirectLane
    result: Embedded
    advance: Callable[[int, int, int], None]
