"""Doing the next pieces of work in a thread while the last one is used, within a limit."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from threading import Condition, Thread
from typing import Generic, TypeVar

_LOOK_S = 0.5  # a Ctrl-C that comes right before a wait begins is answered only when the wait ends

T = TypeVar("T")
R = TypeVar("R")


def ahead(
    items: Iterable[T],
    work: Callable[[T], R],
    weigh: Callable[[R], int],
    limit: int,
    *,
    cancel: Callable[[], None] = lambda: None,
    idle: Callable[[], None] = lambda: None,
) -> Generator[tuple[T, R], None, None]:
    """Yield (item, work(item)) in order. A thread of its own does the work, and waits while the results that
    nobody took yet weigh `limit` or more together.

    What `work` raises is raised here, at its place in the order. Close the generator to end the thread early:
    `cancel` is called then, so that the item in hand need not be waited for. `idle` is called twice a second
    while there is nothing to take.
    """
    results: _Results[tuple[T, R]] = _Results(limit)

    def run() -> None:
        try:
            for item in items:
                done = work(item)
                if not results.put((item, done), weigh(done)):
                    return
        except BaseException as error:  # noqa: BLE001 (raised again where the results are taken)
            results.end(error)
        else:
            results.end(None)

    thread = Thread(target=run, name="prepare", daemon=True)
    try:
        thread.start()
        yield from results.take_all(idle)
    finally:
        if results.stop():
            cancel()
        if thread.ident is not None:  # else Ctrl-C came before it was started
            thread.join()


class _Results(Generic[T]):
    """A queue whose places are weights."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = Condition()
        self._waiting: deque[tuple[T, int]] = deque()
        self._weight = 0
        self._is_over = False
        self._is_stopped = False
        self._error: BaseException | None = None

    def put(self, result: T, weight: int) -> bool:
        """Add a result, when there is room for it. False: nobody wants more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self._weight < self._limit)
            if self._is_stopped:
                return False
            self._waiting.append((result, weight))
            self._weight += weight
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None) -> None:
        with self._changed:
            self._is_over, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> bool:
        """Nobody wants more. Whether there would have been more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
            return not self._is_over

    def take_all(self, idle: Callable[[], None]) -> Generator[T, None, None]:
        while True:
            with self._changed:
                is_there = self._changed.wait_for(lambda: bool(self._waiting) or self._is_over, _LOOK_S)
                if is_there:
                    if not self._waiting:
                        break
                    result, weight = self._waiting.popleft()
                    self._weight -= weight
                    if self._weight <= self._limit // 2:
                        self._changed.notify_all()  # for each result, the threads would change places
            if is_there:
                yield result
            else:
                idle()
        if self._error is not None:
            raise self._error
