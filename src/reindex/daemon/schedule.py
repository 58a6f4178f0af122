"""When the keeper looks at what, by the clock that never jumps."""

import random
import time
from collections.abc import Iterable

from reindex.daemon.retries import RETRY_S, retry_times
from reindex.errors import OutageError
from reindex.model import WHOLE, DocumentName, Places, outermost
from reindex.sources.watcher import Watcher
from reindex.stores.failure_rows import Failure

BACKOFF_S = (1.0, 15.0)  # after a pass that failed as a whole, doubled each time
LASTING_S = (15.0, 300.0)  # the same while a provider wants a person (no money, a wrong key), or hours
OUTAGE_SHARE = 4.0  # so many times as long as a try took is rested after it, in an outage
BURST_REST_S = 1.0  # a periodic look waits for the end of a burst; the watcher limits how long that takes
OVERTAKE_EVERY_S = 2.0  # a backlog is overtaken at most so often, and
OVERTAKE_SHARE = 4.0  # so many times as long apart as a look at everything takes, which comes after it
RECONCILE_SPREAD = 0.1  # several daemons of a machine need not look at everything at the same moment


class Schedule:
    """What is due: a look at everything, at some places, or none yet."""

    def __init__(self) -> None:
        self.is_everything_due = False
        self.not_before = 0.0  # after a failure, nothing is tried until then
        self.outage: OutageError | None = None  # the last failure; what needs no provider goes on
        self._backoff_s, self._lasting_s = BACKOFF_S[0], LASTING_S[0]
        self._next_reconcile = self._next_overtaking = 0.0
        self._is_overtaken = False
        self._retries: dict[DocumentName, float] = {}

    @property
    def is_backing_off(self) -> bool:
        """Whether the last failure is too fresh for another try."""
        return time.monotonic() < self.not_before

    @property
    def may_overtake(self) -> bool:
        """Whether a saved file may go before a backlog now."""
        return time.monotonic() >= self._next_overtaking

    def rest_s(self, batches_at: float, limit_s: float) -> float:
        """How long there is nothing to do, if nothing is heard."""
        now = time.monotonic()
        times = [self._next_reconcile, batches_at, *self._retries.values()]
        due = now if self.is_everything_due else min(times)
        return min(limit_s, max(0.0, due - now, self.not_before - now))

    def due(self, watcher: Watcher, sources: Iterable[str]) -> Places | None:
        """Where to look now, taken from the watcher; None is everywhere."""
        now = time.monotonic()
        places = dict(watcher.take())
        if self._is_overtaken and places:
            self._is_overtaken = False
            return places
        is_reconcile_due = now >= self._next_reconcile
        if is_reconcile_due and watcher.is_in_burst:  # it would take half of it
            is_reconcile_due, self._next_reconcile = False, now + BURST_REST_S
        is_everywhere = all(places.get(source) == WHOLE for source in sources)
        if self.is_everything_due or is_reconcile_due or is_everywhere:
            watcher.take_everything()
            return None
        for name in [name for name, at in self._retries.items() if now >= at]:
            places[name.source] = outermost({*places.get(name.source, ()), name.path})
            self._retries[name] = now + RETRY_S[0]
        return places

    def overtaken(self, look_s: float) -> None:
        """A saved file goes first. The pass that it overtook comes after it, and begins with a look at
        everything that takes so long.
        """
        self.is_everything_due = self._is_overtaken = True
        self._next_overtaking = time.monotonic() + max(OVERTAKE_EVERY_S, OVERTAKE_SHARE * look_s)

    def looked_everywhere(self, reconcile_s: float) -> None:
        """The next look at everything comes by the hour, if nothing asks for it before."""
        self.is_everything_due = False
        spread = 1 + random.uniform(-RECONCILE_SPREAD, RECONCILE_SPREAD)  # noqa: S311 (no secret)
        self._next_reconcile = time.monotonic() + reconcile_s * spread

    def retry(self, failures: dict[DocumentName, Failure], now: float) -> None:
        """These failed; those that may do better have their times."""
        self._retries = retry_times(failures, now, tried=self._retries)

    def succeeded(self) -> None:
        """The next failure is a first one."""
        self._backoff_s, self._lasting_s = BACKOFF_S[0], LASTING_S[0]
        self.not_before, self.outage = 0.0, None

    def failed(self, error: Exception, took_s: float = 0.0) -> None:
        """The next try comes after a while, which grows; not before an outage lets it. In an outage each try
        prepares a backlog anew, and took so long: most of the time is to be rest.
        """
        wait_s = self._backoff_s
        self.outage = error if isinstance(error, OutageError) else None
        if self.outage is not None:
            wait_s = max(wait_s, min(max(self.outage.wait_s, OUTAGE_SHARE * took_s), LASTING_S[1]))
        if self.outage is not None and self.outage.is_lasting:
            wait_s = max(wait_s, self._lasting_s)
            self._lasting_s = min(2 * self._lasting_s, LASTING_S[1])
        self.not_before = time.monotonic() + wait_s
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_S[1])
