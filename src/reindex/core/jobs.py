"""The life of a job (one batch of keys sent down one lane), as a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from reindex.errors import ConfigError


class Lane(StrEnum):
    """The ways a text reaches a model."""

    LOCAL = "local"
    REALTIME = "realtime"
    BATCH = "batch"


class JobState(StrEnum):
    """Where a job stands. The batch lane passes through `submitting` and `submitted`."""

    PLANNED = "planned"  # in the ledger; nothing sent
    SUBMITTING = "submitting"  # may have reached the provider
    SUBMITTED = "submitted"  # the provider's id is known
    DONE = "done"  # its vectors are in the cache; what got none was planned anew
    FAILED = "failed"  # the provider did none of it, or the model failed
    CANCELLED = "cancelled"  # its keys were planned anew


OPEN_STATES = frozenset({JobState.PLANNED, JobState.SUBMITTING, JobState.SUBMITTED})

TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.PLANNED: frozenset({JobState.SUBMITTING, JobState.DONE, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUBMITTING: frozenset(
        {JobState.SUBMITTED, JobState.PLANNED, JobState.FAILED, JobState.CANCELLED}
    ),
    JobState.SUBMITTED: frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED}),
    JobState.DONE: frozenset(),
    JobState.FAILED: frozenset({JobState.CANCELLED}),
    JobState.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One batch of keys. `texts` and `tokens` are what it sends; `reason` says why it failed, ended or waits.
    `usd` is what it is estimated to cost while it is open, and what it cost when it is done.
    """

    number: int
    generation: int
    lane: Lane
    state: JobState
    texts: int
    tokens: int
    created_at: float
    updated_at: float
    reason: str
    model: str = ""
    usd: float = 0.0


def check_transition(before: JobState, after: JobState) -> None:
    """A transition that the table does not hold is a bug."""
    assert after in TRANSITIONS[before], f"a {before} job can't become {after}"


def no_such_job(name: str) -> ConfigError:
    """For whoever names a job ("7") or a dead letter ("d3") that is not there."""
    return ConfigError(f"there is no job {name}", "`reindex jobs list` shows them.")
