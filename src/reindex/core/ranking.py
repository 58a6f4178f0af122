"""Merging two rankings of the same version into one."""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

RRF_K = 60

T = TypeVar("T", bound=Hashable)


def ranks(scores: Mapping[T, float]) -> dict[T, int]:
    """From 1, for the highest score. Equal scores share the first rank of them, so that who is called what,
    or was found first, decides nothing.
    """
    found: dict[T, int] = {}
    rank, last = 0, None
    for position, (identity, score) in enumerate(sorted(scores.items(), key=lambda item: -item[1]), start=1):
        if score != last:
            rank, last = position, score
        found[identity] = rank
    return found


def reciprocal_rank_fusion(rankings: Sequence[Mapping[T, float]]) -> dict[T, float]:
    """Of rankings by score, the fused score of all: the sum of 1 / (60 + rank) over those that have it."""
    fused: dict[T, float] = defaultdict(float)
    for ranking in rankings:
        for identity, rank in ranks(ranking).items():
            fused[identity] += 1.0 / (RRF_K + rank)
    return dict(fused)


def best_with_ties(scores: Mapping[T, float], k: int) -> dict[T, float]:
    """The k highest, and all that are equal to the last of them."""
    if len(scores) <= k:
        return dict(scores)
    least = sorted(scores.values(), reverse=True)[k - 1]
    return {identity: score for identity, score in scores.items() if score >= least}
