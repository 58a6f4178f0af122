"""What work under way tells the daemon: that it moves, how far it is; and where it can be ended."""

import time
from collections.abc import Callable

from reindex.daemon.condition import Condition
from reindex.errors import ReindexError
from reindex.report import Progress


class Stopping(ReindexError):  # noqa: N818 (no error: the way in which work under way is ended)
    """The daemon was asked to stop: what is done is done, and the next start goes on from there."""

    def __init__(self) -> None:
        super().__init__("the daemon was asked to stop", "What was published stays; the next start goes on.")


class Overtaken(ReindexError):  # noqa: N818 (no error either)
    """Something else goes first, or a pause. What was embedded is in the cache: the same work goes on from
    there.
    """

    def __init__(self) -> None:
        super().__init__("something else goes before the backlog")


class Underway:
    """A Progress. `meanwhile` is called at every step, which it may end, and a step is where `is_stopping`
    ends the work; where documents are embedded, so does `is_overtaken`. `listen` is called while an answer
    is waited for.
    """

    def __init__(
        self,
        condition: Condition,
        is_stopping: Callable[[], bool],
        meanwhile: Callable[[], None],
        listen: Callable[[], None],
        inner: Progress | None,
        is_overtaken: Callable[[], bool] = lambda: False,
    ) -> None:
        self._condition = condition
        self._is_stopping = is_stopping
        self._meanwhile = meanwhile
        self._listen = listen
        self._inner = inner
        self._is_overtaken = is_overtaken

    def phase(self, name: str, total: int, unit: str) -> None:
        """A phase begins. Raises Stopping."""
        self._condition.phase = name
        if self._inner is not None:
            self._inner.phase(name, total, unit)
        self._step()

    def advance(self, amount: int) -> None:
        """A step is done. Raises Stopping and Overtaken."""
        if self._inner is not None:
            self._inner.advance(amount)
        self._step()
        if self._is_overtaken():
            raise Overtaken

    def planned(self, documents: int) -> None:
        """Remembered of the daemon's own pass; what a task works on may be another generation's."""
        if self._inner is None:
            self._condition.planned, self._condition.worked, self._condition.taken = documents, 0, 0
            self._condition.planned_at = time.monotonic()

    def count(self, *, documents: int, chunks: int) -> None:
        """The same; a task's client is told."""
        if self._inner is None:
            self._condition.worked = documents
        else:
            self._inner.count(documents=documents, chunks=chunks)

    def waiting(self) -> None:
        """Nothing ends the waiting: what was asked for is paid for."""
        self._listen()

    def warn(self, message: str) -> None:
        """Passed on."""
        if self._inner is not None:
            self._inner.warn(message)

    def close(self) -> None:
        """Passed on."""
        if self._inner is not None:
            self._inner.close()

    def _step(self) -> None:
        self._meanwhile()
        if self._is_stopping():
            raise Stopping
