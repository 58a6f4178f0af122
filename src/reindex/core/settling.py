"""When a change is quiet enough to be taken: a saved file at once, a burst whole, a torn write not before its
end.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

FEW = 32  # so many paths are single saves; more are a burst (a copied tree, another branch)
FEW_WAIT_MAX_S = 0.5  # that single saves wait for each other, so that one pass takes them
BURST_QUIET_S = (0.3, 2.5)  # of a small burst, and of one of BURST_LARGE paths or more
BURST_LARGE = 1000  # a branch that is switched there and back in a second or two changes nothing
OPEN_QUIET_S = 2.5  # of a path that nobody said was complete: appended to, mapped, or being written in parts
WAIT_MAX_S = 30.0  # after its first event a path is taken all the same: reading proves whether it is whole

P = TypeVar("P", bound=Hashable)


@dataclass(slots=True)
class _Unsettled:
    """What was heard of one path: first and last, in seconds of a clock that never jumps.

    `is_complete`: the last that was heard says that nobody is writing it (closed, moved here, gone).
    """

    first: float
    last: float
    is_complete: bool


class Settling(Generic[P]):
    """The paths of which something was heard and that were not taken yet."""

    def __init__(self, settle_s: float) -> None:
        """`settle_s`: how long a single saved file has to be quiet."""
        self._settle_s = settle_s
        self._waiting: dict[P, _Unsettled] = {}  # in the order of their first events
        self._open = 0  # of them are not complete
        self._last = self._last_complete = float("-inf")

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, path: P) -> bool:
        return path in self._waiting

    def __iter__(self) -> Iterator[P]:
        """The oldest first."""
        return iter(self._waiting)

    @property
    def is_burst(self) -> bool:
        """Whether so many wait that they are taken together, or not yet."""
        return len(self._waiting) > FEW

    def oldest(self) -> float | None:
        """When the first thing was heard of the path that waits longest."""
        return next(iter(self._waiting.values())).first if self._waiting else None

    def open_paths(self) -> list[P]:
        """Those that may be half written."""
        return [path for path, heard in self._waiting.items() if not heard.is_complete] if self._open else []

    def hear(self, path: P, now: float, *, is_complete: bool | None) -> None:
        """Something happened to it; with None, something that does not say whether it is complete."""
        known = self._waiting.get(path)
        was_open = known is not None and not known.is_complete
        if known is None:
            known = self._waiting[path] = _Unsettled(now, now, is_complete is not False)
        else:
            known.last = now
            if is_complete is not None:
                known.is_complete = is_complete
        self._open += (not known.is_complete) - was_open
        if known.is_complete:
            self._last = self._last_complete = now
        elif not was_open:  # one that is written for long must not hold up the others
            self._last = now

    def due_at(self) -> float | None:
        """When there will be something to take, if nothing more is heard; None where nothing waits."""
        if not self._waiting:
            return None
        if not self.is_burst:
            return min(map(self._settled_at, self._waiting.values()))
        if self._open < len(self._waiting):
            return self._burst_settled_at()
        return max(self._burst_settled_at(), min(map(_open_until, self._waiting.values())))

    def take(self, now: float) -> list[P]:
        """Those that are quiet by now; of a burst all that are complete, or none. They are forgotten here."""
        if self.is_burst:
            if now < self._burst_settled_at():
                return []
            waiting = self._waiting.items()
            taken = [path for path, heard in waiting if heard.is_complete or now >= _open_until(heard)]
        else:
            taken = [path for path, heard in self._waiting.items() if now >= self._settled_at(heard)]
        self.forget(taken)
        return taken

    def forget(self, paths: Iterable[P]) -> None:
        """These are looked after otherwise."""
        for path in list(paths):
            heard = self._waiting.pop(path, None)
            self._open -= heard is not None and not heard.is_complete

    def _burst_settled_at(self) -> float:
        least, most = BURST_QUIET_S
        quiet_s = least + (most - least) * min(1.0, len(self._waiting) / BURST_LARGE)
        first = next(iter(self._waiting.values())).first
        return min(self._last + quiet_s, first + WAIT_MAX_S)

    def _settled_at(self, heard: _Unsettled) -> float:
        if not heard.is_complete:
            return _open_until(heard)
        alone = heard.last + max(self._settle_s, FEW_WAIT_MAX_S)
        return min(self._last_complete + self._settle_s, alone, heard.first + WAIT_MAX_S)


def _open_until(heard: _Unsettled) -> float:
    return min(heard.last + OPEN_QUIET_S, heard.first + WAIT_MAX_S)
