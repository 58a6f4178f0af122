"""How the daemon is: written by the thread that works, read by those who ask. Each field is replaced as a
whole, so that a reader needs no lock.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from reindex.errors import ReindexError
from reindex.report import PassReport

WEDGED_AFTER_S = 900.0  # without a sign of progress: the longest single step is the index of a large table


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of the last reload of the configuration. `error` is "" when it was taken."""

    at: float
    error: str


@dataclass(slots=True)
class Condition:
    """What the daemon knows of itself. Times are in seconds since the epoch, `_s` are durations.

    `waiting` and `waiting_s` are of hints that no pass has taken yet, `taken` are those that a pass has taken
    and not yet looked into. `planned` documents are those of the pass that is under way, or failed last,
    `worked` the published ones of them, `failed_documents` and `held_documents` are as of the last one;
    `behind_since` (by the clock that never jumps) is when the oldest of them changed. `postponed` were being
    written. `unscanned` says by source why its folder can't be listed. `watching` says why changes are found
    later than they could be. `failure` is of the last pass, with what to do about it; "" when it went well.
    `provider` is what keeps batches from being sent or looked at, `held` what waits to be sent, for budget or
    queue, or for a person.
    """

    since: float = field(default_factory=time.time)
    is_ready: bool = False
    is_paused: bool = False
    is_stopping: bool = False
    phase: str = "starting"
    failure: str = ""
    provider: str = ""
    held: tuple[str, ...] = ()
    watching: tuple[str, ...] = ()
    waiting: int = 0
    waiting_s: float = 0.0
    taken: int = 0
    planned: int = 0
    worked: int = 0
    planned_at: float = 0.0
    behind_since: float | None = None
    postponed: int = 0
    failed_documents: int = 0
    held_documents: int = 0
    unscanned: Mapping[str, str] = field(default_factory=dict)
    watches: int = 0
    overflows: int = 0
    passes: int = 0
    last_success_at: float | None = None
    reconciles: int = 0
    reconciles_s: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    reload: Reload | None = None
    _beat: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """There is progress."""
        self._beat = time.monotonic()

    @property
    def pending(self) -> int:
        """Documents, or places, that are not indexed as they are on disk."""
        return self.waiting + self.taken + self.postponed + max(0, self.planned - self.worked)

    @property
    def lag_s(self) -> float:
        """The age of the oldest change that is not indexed, as far as it was heard of; 0 without one."""
        now = time.monotonic()
        return max(self.waiting_s, 0.0 if self.behind_since is None else now - self.behind_since)

    @property
    def is_wedged(self) -> bool:
        """Nothing has moved for so long that nothing will."""
        return time.monotonic() - self._beat > WEDGED_AFTER_S

    @property
    def state(self) -> str:
        """starting, ready, degraded, paused or stopping."""
        if self.is_stopping:
            return "stopping"
        if not self.is_ready:
            return "starting"
        if self.is_paused:
            return "paused"
        has_trouble = self.failure or self.watching or self.provider or self.unscanned
        is_well = self.is_as_configured and not has_trouble
        return "ready" if is_well else "degraded"

    @property
    def is_as_configured(self) -> bool:
        """The last reload, if there was one, was taken."""
        return self.reload is None or not self.reload.error

    def reasons(self) -> list[str]:
        """Why it is not simply ready, each with what to do."""
        found = [self.failure] if self.failure else []
        found += [f"batches: {self.provider}"] if self.provider else []
        found += self.held
        found += self.watching
        if self.is_paused:
            found.append("paused: `reindex resume` goes on")
        if self.reload is not None and not self.is_as_configured:
            found.append(f"the configuration was not reloaded: {self.reload.error}")
        return found

    def lacks(self, report: PassReport) -> None:
        """What the last pass could not index, or did not dare to delete."""
        self.failed_documents, self.held_documents = report.documents.failed, report.documents.held
        known = {**self.unscanned, **report.unscanned}
        self.unscanned = {source: reason for source, reason in known.items() if reason}

    def failed(self, error: ReindexError) -> None:
        """The last pass could not be done."""
        self.errors[type(error).__name__] += 1
        self.failure = f"{error.message} ({error.hint})" if error.hint else error.message
