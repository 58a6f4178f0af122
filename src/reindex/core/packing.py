"""Which pieces form a chunk: the division with the least total cost, by dynamic programming.

A chunk costs the square of how far it is from the target size; a cut costs what it goes through, is
rewarded at a heading, and has a small share from the hash of the text behind it. That share is what
makes the cuts content-defined: in a table of equal rows all divisions would cost the same, and one row
more would move every cut to the end. So the cuts find back within two or three chunks of an edit.
Measured on a real edit history by benchmarks/replay_chunks.py.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from reindex.core.splitting import Cut

TARGET_SHARE = 0.51
"""The size aimed for, as a share of the limit: smaller chunks are embedded again more cheaply, but too
small ones retrieve worse."""

_HASH_COST = 0.12
_HEADING_REWARD = (0.0, 0.4, 0.4, 0.35, 0.3, 0.25, 0.2)
_AFTER_HEADING_COST = 8.0
_CUT_COST = {
    Cut.BLOCK: 0.0,
    Cut.PARAGRAPH: 0.1,
    Cut.LINE: 0.2,
    Cut.SENTENCE: 0.3,
    Cut.WRAP: 0.5,
    Cut.WORD: 0.8,
}
_SMALL_SHARE = 12  # pieces under a twelfth of the target are tied together first: time stays linear
_NO_HEADING = 7


@dataclass(frozen=True, slots=True)
class Piece:
    """What is never divided further: a block that fits, or a slice of one that does not.

    `glue` is what stands between it and the piece before; `tokens` its exact count, `size` what it takes
    of the limit; `level` its own if it is a heading, `depth` that of the section it is in (0: none).
    """

    text: str
    glue: str
    tokens: int
    size: int
    cut: Cut
    level: int
    depth: int
    line_start: int
    line_end: int
    headings: tuple[str, ...]


def pack(pieces: Sequence[Piece], room: int) -> list[tuple[int, int]]:
    """The chunks as ranges of pieces: (first, one after the last). None is larger than `room`.

    A chunk never crosses a heading that is stronger than the section it began in, and a heading is
    never parted from what follows it if both fit.
    """
    target = max(1, int(room * TARGET_SHARE))
    groups = _tied(pieces, target // _SMALL_SHARE)
    starts = [first for first, _ in groups]
    sizes = [sum(piece.size for piece in pieces[first:last]) for first, last in groups]
    costs = [_cut_cost(pieces, first) for first in starts]
    cuts = _divide([pieces[first] for first in starts], sizes, costs, room, target)
    bounds = [*(starts[index] for index in cuts), len(pieces)]
    return list(pairwise(bounds))


def _divide(
    heads: Sequence[Piece], sizes: Sequence[int], costs: Sequence[float], room: int, target: int
) -> list[int]:
    """Indices of the groups that open a chunk. `best[j]` is the least cost of the groups before `j`."""
    count = len(heads)
    penalty = [((size - target) / target) ** 2 for size in range(room + 1)]
    best = [0.0] * (count + 1)
    opened_at = [0] * (count + 1)
    for end in range(1, count + 1):
        size = 0
        inner_level = _NO_HEADING  # of the strongest heading inside the chunk, its opening ones left out
        least = float("inf")
        for first in range(end - 1, -1, -1):
            size += sizes[first]
            if size > room:
                break
            head = heads[first]
            if head.depth <= inner_level:
                cost = best[first] + penalty[size] + costs[first]
                if cost < least:
                    least = cost
                    opened_at[end] = first
            if head.level and head.level < inner_level and not (first and heads[first - 1].level):
                inner_level = head.level
        best[end] = least
    cuts = []
    at = count
    while at:
        at = opened_at[at]
        cuts.append(at)
    return cuts[::-1]


def _cut_cost(pieces: Sequence[Piece], at: int) -> float:
    """What it costs to open a chunk with this piece."""
    if at == 0:
        return 0.0
    piece = pieces[at]
    cost = _CUT_COST[piece.cut] + _HASH_COST * _hash(piece.text) / 2**32 - _HEADING_REWARD[piece.level]
    return cost + _AFTER_HEADING_COST if pieces[at - 1].level else cost


def _tied(pieces: Sequence[Piece], small: int) -> list[tuple[int, int]]:
    """Ranges of pieces to handle as one: runs of small ones, divided where the content says so."""
    groups: list[tuple[int, int]] = []
    first = size = 0
    for index, piece in enumerate(pieces):
        before = pieces[index - 1] if index else None
        apart = (
            before is None
            or piece.level
            or before.level
            or piece.size >= small
            or before.size >= small
            or size + piece.size > 2 * small
            or (_hash(piece.text) % 4 == 0 and piece.text != before.text)
        )
        if apart and index > first:
            groups.append((first, index))
            first, size = index, 0
        size += piece.size
    if pieces:
        groups.append((first, len(pieces)))
    return groups


def _hash(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "replace"))
