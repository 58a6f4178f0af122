"""What may go wrong with one call, as small objects, and the rules that say with which call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reindex.dev_openai.refusals import Refusal

ANY = "*"
BATCH = "batch"


class WrongVector(StrEnum):
    """In what way a vector is not that of its text."""

    SHORT = "short"
    LONG = "long"
    NAN = "nan"
    INFINITE = "infinite"
    ZERO = "zero"
    NOT_UNIT = "not_unit"
    NULL = "null"
    BAD_BASE64 = "bad_base64"  # a string that is none
    OTHER_MODEL = "other_model"  # the body names another model
    SHIFTED = "shifted"  # its neighbour's
    SWAPPED = "swapped"  # another model's


@dataclass(frozen=True, slots=True)
class Lines:
    """Which items of a request, or lines of a batch in the order of its input file, from 0."""

    every: int = 1
    first: int | None = None  # only the first so many
    containing: str = ""  # only texts with this in them

    def chooses(self, index: int, text: str) -> bool:
        """Whether this one is meant."""
        return (
            index % self.every == 0
            and (self.first is None or index < self.first)
            and (not self.containing or self.containing in text)
        )


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset; `after`: when all was done, and the answer is lost."""

    after: bool = False


@dataclass(frozen=True, slots=True)
class Hang:
    """Nothing comes for some seconds, then all goes on: before anything is done, or before the answer."""

    seconds: float
    after: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Another answer; `after`: though all was done."""

    refusal: Refusal
    after: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """The body ends early and the connection with it: by FIN, or `reset`."""

    share: float = 0.5
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """The body trickles."""

    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Do:
    """Something of the test's own, in this process: as a client is killed at that moment."""

    act: Callable[[], object]
    after: bool = False


@dataclass(frozen=True, slots=True)
class WrongVectors:
    """Items of an answer, or lines of a batch, that are wrong."""

    kind: WrongVector
    lines: Lines = field(default_factory=Lines)


@dataclass(frozen=True, slots=True)
class Reordered:
    """The items come in the reverse order, each with its right index."""


@dataclass(frozen=True, slots=True)
class NoIndex:
    """The items have no index."""


@dataclass(frozen=True, slots=True)
class SameIndex:
    """Two items have the same index, and one index is missing."""


@dataclass(frozen=True, slots=True)
class FewerItems:
    """The last items are missing."""

    count: int = 1


@dataclass(frozen=True, slots=True)
class FloatsOnly:
    """Floats come, though base64 was asked for."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, as rules see it. `body`: None for an upload."""

    route: str
    path: str
    query: str = ""
    body: bytes | None = None


@dataclass(slots=True)
class Rule:
    """`fault` happens to the `n`-th matching subject from now on, `times` times in a row (None: for ever)."""

    route: str
    fault: Any
    n: int = 1
    times: int | None = 1
    where: Callable[[Any], bool] | None = None
    seen: int = 0
    met: int = 0

    def meets(self, route: str, subject: Any) -> bool:
        """Count the subject, and say whether it is its turn."""
        is_route = self.route == route or (self.route == ANY and route != BATCH)
        if not is_route or (self.where is not None and not self.where(subject)):
            return False
        self.seen += 1
        is_met = self.seen >= self.n and (self.times is None or self.seen < self.n + self.times)
        self.met += is_met
        return is_met


class Faults:
    """The rules. Used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(
        self,
        route: str,
        fault: Any,
        *,
        n: int = 1,
        times: int | None = 1,
        where: Callable[[Any], bool] | None = None,
    ) -> Rule:
        """`route`: a name in `gate.ROUTES`, ANY of them, or BATCH for what becomes of a created batch."""
        rule = Rule(route, fault, n, times, where)
        with self._lock:
            self._rules.append(rule)
        return rule

    def take(self, route: str, subject: Any) -> tuple[Any, ...]:
        """The faults of this call or batch, in the order in which they were added."""
        with self._lock:
            return tuple(rule.fault for rule in self._rules if rule.meets(route, subject))

    def clear(self) -> None:
        """All is well from now on."""
        with self._lock:
            self._rules.clear()
