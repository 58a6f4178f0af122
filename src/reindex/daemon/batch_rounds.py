"""When the daemon looks at its batches, what it found, and when it goes on with a rebuild that waited."""

import logging
import math
import re
import time
from collections.abc import Callable, Sequence

from reindex.app import App
from reindex.attending import attend, longest_rest_s
from reindex.core.jobs import Lane
from reindex.errors import DiskError
from reindex.report import PassReport
from reindex.writer import Writer

GO_ON_S = (15.0, 3600.0)  # it takes a look at everything, and a budget lasts a day

_log = logging.getLogger("reindex.daemon")


class BatchRounds:
    """Rounds come soon after something was gathered or has ended, and then less and less often."""

    def __init__(self) -> None:
        self.next_at = 0.0  # the first at once: batches may have ended while nobody looked
        self.trouble = ""
        self.held: tuple[str, ...] = ()
        self._said = ""
        self._rest_s = 0.0

    @property
    def is_due(self) -> bool:
        return time.monotonic() >= self.next_at

    def look_soon(self, writer: Writer) -> None:
        """After a pass, which may have gathered texts for a batch."""
        if self.next_at == math.inf and writer.ledger.jobs.open(Lane.BATCH):
            self.next_at = 0.0

    def attend(self, app: App, writer: Writer, meanwhile: Callable[[], None]) -> int:
        """One round, with `meanwhile` called all the time; how many batches have ended. Trouble with the
        provider, or a full disk, is told, and no reason to stop indexing what needs neither. Raises other
        StoreErrors.
        """
        report = PassReport()
        poll_s = app.settings.embedding.openai.batch_poll_s
        try:
            attended = attend(app, writer, report, is_last=False, meanwhile=meanwhile)
        except DiskError as error:
            self._rest(longest_rest_s(app, writer))
            self._tell(error.message, ())
            return 0
        if attended is None or not attended.open:
            self.next_at = math.inf
            self._rest_s = 0.0
        else:
            self._rest(min(max(poll_s, 2 * self._rest_s), longest_rest_s(app, writer)))
        if attended is None:  # nothing is with the provider, or there is no key any more
            self._tell("; ".join(report.notices), ())
            return 0
        if attended.ended:
            _log.info("%d batches ended: %d chunks embedded", attended.ended, report.chunks.embedded)
            self._rest(poll_s)
        self._tell(attended.outage.message if attended.outage is not None else "", attended.held)
        return attended.ended

    def _tell(self, trouble: str, held: Sequence[str]) -> None:
        """What is not as it should be, and what waits; logged when it has changed, figures apart."""
        said = _without_figures("; ".join((trouble, *held)))
        if said.strip("; ") and said != self._said:
            _log.warning("batches: %s", "; ".join(filter(None, (trouble, *held))))
        self.trouble, self.held, self._said = trouble, tuple(held), said

    def _rest(self, rest_s: float) -> None:
        self._rest_s = rest_s
        self.next_at = time.monotonic() + rest_s


class GoingOn:
    """When a rebuild that waited for batches is gone on with: at once, and where that changed nothing (it
    failed, say) again after a while, which grows.
    """

    def __init__(self) -> None:
        self.next_at = 0.0
        self._generation: int | None = None
        self._rest_s = GO_ON_S[0]

    def begin_try(self, generation: int) -> bool:
        """Whether this one is to be gone on with now; then the next try comes after a while."""
        now = time.monotonic()
        if generation != self._generation:
            self.batches_ended()
            self._generation = generation
        if now < self.next_at:
            return False
        self.next_at = now + self._rest_s
        self._rest_s = min(2 * self._rest_s, GO_ON_S[1])
        return True

    def batches_ended(self) -> None:
        """There is something new to go on with."""
        self.next_at, self._rest_s = 0.0, GO_ON_S[0]


def _without_figures(text: str) -> str:
    return re.sub(r"[\d,.]+", "", text)
