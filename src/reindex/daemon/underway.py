"""What work under way tells the daemon: that it moves, how far it is; and where it can be ended."""

from collections.abc import Callable

from reindex.daemon.condition import Condition
from reindex.errors import ReindexError
from reindex.report import Progress


class Stopping(ReindexError):  # noqa: N818 (no error: the way in which work under way is ended)
    """The daemon was asked to stop: what is done is done, and the next start goes on from there."""

    def __init__(self) -> None:
        super().__init__("the daemon was asked to stop", "What was published stays; the next start goes on.")


class Underway:
    """A Progress. `meanwhile` is called at every step, and a step is where `is_stopping` ends the work."""

    def __init__(
        self,
        condition: Condition,
        is_stopping: Callable[[], bool],
        meanwhile: Callable[[], None],
        inner: Progress | None,
    ) -> None:
        self._condition = condition
        self._is_stopping = is_stopping
        self._meanwhile = meanwhile
        self._inner = inner

    def phase(self, name: str, total: int, unit: str) -> None:
        """A phase begins. Raises Stopping."""
        self._condition.phase = name
        if self._inner is not None:
            self._inner.phase(name, total, unit)
        self._step()

    def advance(self, amount: int) -> None:
        """A step is done. Raises Stopping."""
        if self._inner is not None:
            self._inner.advance(amount)
        self._step()

    def planned(self, documents: int) -> None:
        """Remembered of the daemon's own pass; what a task works on may be another generation's."""
        if self._inner is None:
            self._condition.planned, self._condition.worked = documents, 0

    def count(self, *, documents: int, chunks: int) -> None:
        """The same; a task's client is told."""
        if self._inner is None:
            self._condition.worked = documents
        else:
            self._inner.count(documents=documents, chunks=chunks)

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
