"""How good, and how alike, the answers of two generations are. Answers are documents, best first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

DEPTH = 10
"""Hits that count: recall and overlap are at 10."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one question. `overlap` is the share of hits in both, of the longer answer's; `moved`
    have another rank, `lost` are only in the first, `gained` only in the second.
    """

    overlap: float
    moved: tuple[str, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]


def compare(before: Sequence[str], after: Sequence[str], depth: int = DEPTH) -> Comparison:
    """Of the first `depth` hits. Two empty answers are alike."""
    first, second = list(dict.fromkeys(before))[:depth], list(dict.fromkeys(after))[:depth]
    both = set(first) & set(second)
    longer = max(len(first), len(second))
    return Comparison(
        overlap=len(both) / longer if longer else 1.0,
        moved=tuple(hit for hit in second if hit in both and first.index(hit) != second.index(hit)),
        lost=tuple(hit for hit in first if hit not in both),
        gained=tuple(hit for hit in second if hit not in both),
    )


def recall(found: Sequence[str], expected: Collection[str], depth: int = DEPTH) -> float:
    """The share of the expected documents (at least one) that are among the first `depth` found."""
    wanted = set(expected)
    assert wanted, "a probe expects at least one document"
    return len(wanted & set(list(dict.fromkeys(found))[:depth])) / min(len(wanted), depth)


def mean(values: Sequence[float]) -> float | None:
    """None of none."""
    return sum(values) / len(values) if values else None
