"""What may become of a batch, beside `WrongVectors`: for rules of the route "batch"."""

from __future__ import annotations

from dataclasses import dataclass, field

from reindex.dev_openai.faults import Lines


@dataclass(frozen=True, slots=True)
class Stuck:
    """It stays in this status, past its expiry, until it is told to go on."""

    status: str


@dataclass(frozen=True, slots=True)
class Fails:
    """It fails in validation, with nothing run."""

    code: str
    message: str = ""  # "": as the API words it, for token_limit_exceeded and billing_hard_limit_reached
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Halfway:
    """It ends early with that share of its lines done: as expired, failed or cancelled."""

    ending: str = "expired"
    share: float = 0.5


@dataclass(frozen=True, slots=True)
class Dropped:
    """Lines that were run and paid, and are in neither file (`is_billed=False`: were not run)."""

    lines: Lines = field(default_factory=Lines)
    is_billed: bool = True


@dataclass(frozen=True, slots=True)
class Duplicated:
    """Lines that are in the output twice."""

    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Lines more, with ids that nobody gave."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class LineFails:
    """Lines that are answered by an error, unpaid: in the error file."""

    status: int = 500
    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True)
class Garbled:
    """Lines of the output that are no JSON."""

    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True)
class TruncatedOutput:
    """The stored output file lacks its end: its size agrees with what the API says."""

    share: float = 0.5


@dataclass(frozen=True, slots=True)
class NoOutput:
    """It completes without the id of an output file: paid, and lost."""


@dataclass(frozen=True, slots=True)
class GoneOutput:
    """The output file is a 404: expired, or deleted, before it was read."""
