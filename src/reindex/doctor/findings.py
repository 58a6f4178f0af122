"""What a check of the doctor's says."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """`warning`: it works, and will not under every circumstance."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` is what is there, `fix` what a person can do: empty when all is well."""

    check: str
    state: State
    found: str
    fix: str = ""


def fine(check: str, found: str) -> Finding:
    return Finding(check, State.OK, found)


def warning(check: str, found: str, fix: str) -> Finding:
    return Finding(check, State.WARNING, found, fix)


def failed(check: str, found: str, fix: str) -> Finding:
    return Finding(check, State.FAILED, found, fix)
