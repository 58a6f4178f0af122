"""The life of a generation, as a table: which state may follow which."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from reindex.core.identity import Recipe


class GenerationState(StrEnum):
    """Where a generation stands."""

    BUILDING = "building"  # being filled; nobody reads it
    READY = "ready"  # whole, but not promoted
    LIVE = "live"  # the published pointer names it
    RETIRED = "retired"  # was live; kept for a rollback
    LOST = "lost"  # its table vanished from the disk
    DROPPED = "dropped"  # its table was removed on purpose


TRANSITIONS: Mapping[GenerationState, frozenset[GenerationState]] = {
    GenerationState.BUILDING: frozenset(
        {GenerationState.READY, GenerationState.LIVE, GenerationState.DROPPED, GenerationState.LOST}
    ),
    GenerationState.READY: frozenset({GenerationState.LIVE, GenerationState.DROPPED, GenerationState.LOST}),
    GenerationState.LIVE: frozenset({GenerationState.RETIRED, GenerationState.LOST}),
    GenerationState.RETIRED: frozenset({GenerationState.LIVE, GenerationState.DROPPED, GenerationState.LOST}),
    GenerationState.LOST: frozenset({GenerationState.DROPPED}),
    GenerationState.DROPPED: frozenset(),
}


TABLE_STATES = frozenset(GenerationState) - {GenerationState.LOST, GenerationState.DROPPED}
"""Those of a generation that has a table."""


@dataclass(frozen=True, slots=True)
class Behind:
    """How far a generation that was promoted again is behind the disk: so many documents, the oldest change
    of them at `since` (seconds since the epoch).
    """

    documents: int
    since: float

    def age_s(self, now: float) -> float:
        """Of that change; a clock that was set back makes it 0."""
        return max(0.0, now - self.since)


@dataclass(frozen=True, slots=True)
class Generation:
    """One table built by one recipe. `version` is the Lance commit that the ledger vouches for.

    `is_fresh`: it was asked for with vectors of its own, and takes none that were made before it.
    `promoted_by` is what sent readers to it last: a command's name.
    """

    number: int
    state: GenerationState
    table: str
    recipe: Recipe
    version: int
    manifest: str
    created_at: float
    promoted_at: float | None
    promoted_by: str = ""
    is_fresh: bool = False
    behind: Behind | None = None


def check_transition(before: GenerationState, after: GenerationState) -> None:
    """A transition that the table does not hold is a bug."""
    assert after in TRANSITIONS[before], f"a {before} generation can't become {after}"
