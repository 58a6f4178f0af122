"""Which places of the sources to look at again, because something was heard of them: hints, never the truth.

The table of watches is filled by the scans themselves: each folder is watched right before it is listed, so
that nothing can happen between the two unheard, and what rules leave out is never watched. A scan that meets
a folder again finds its watch again: every scan mends the table.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial

from reindex.core.settling import Settling
from reindex.model import WHOLE, Places
from reindex.sources import inotify
from reindex.sources.files import FileSource, RootIdentity
from reindex.sources.ignore import IGNORE_FILES
from reindex.sources.mounts import file_system_of, tells_of_changes
from reindex.sources.watches import Key, Watches

HINTS_MAX = 100_000  # more paths than these are looked at by looking at everything
PLACES_MAX = 500  # of one source in one pass: above it, one look at all of it is quicker
ROOTS_EVERY_S = 5.0  # a source's folder may be renamed, or another put in its place, without a sound
CLOCK_STEP_S = 2.0  # a jump of the wall clock, or a sleep of the machine

_COMPLETE = inotify.CLOSED | inotify.MOVED_TO | inotify.MOVED_FROM | inotify.DELETED
_SELF = inotify.SELF_DELETED | inotify.SELF_MOVED


class Watcher:
    """Hears of changes below the folders of sources. Belongs to one thread, but for `wake` and the counts."""

    def __init__(self, sources: Mapping[str, FileSource], settle_s: float, poll_s: float) -> None:
        """Watches nothing yet: the first scan of everything sets the watches, through `entering`."""
        self._sources = dict(sources)
        self._poll_s = poll_s
        self._settling: Settling[Key] = Settling(settle_s)
        self._doubted: set[str] = set()
        self._heard = threading.Event()
        self._watches = Watches(self._heard.set)
        self._roots: dict[str, RootIdentity | None] = {}
        self._silent: dict[str, str] = {}  # source -> the file system that tells of nothing
        self._next_roots = self._next_poll = time.monotonic()
        self._clocks = _clocks()
        self.overflows = 0
        self._look_at_roots()

    @property
    def watches(self) -> int:
        """How many folders are watched."""
        return len(self._watches)

    @property
    def waiting(self) -> int:
        """Paths that something was heard of and that were not taken yet."""
        return len(self._settling) + len(self._doubted)

    def oldest_s(self) -> float:
        """For how long the one that waits longest has waited, in seconds; 0 without one."""
        oldest = self._settling.oldest()
        return 0.0 if oldest is None else time.monotonic() - oldest

    def troubles(self) -> list[str]:
        """Why changes are found later than they could be, each with what to do about it."""
        polled = [f"source {name!r} is on {kind}: it is polled" for name, kind in self._silent.items()]
        return [*polled, *self._watches.troubles(self._poll_s)]

    def close(self) -> None:
        """Give up every watch."""
        self._watches.close()

    def wake(self) -> None:
        """End a `wait`, from any thread."""
        self._heard.set()

    def entering(self, source: str, folder: str) -> None:
        """A scan is about to list this folder."""
        identity = self._roots.get(source)
        if identity is not None:
            self._watches.add((source, folder), f"{identity.path}/{folder}".rstrip("/") or "/")

    def wait(self, limit_s: float) -> None:
        """Until something is heard, something that was heard is due, or so long."""
        now = time.monotonic()
        due_at = self._settling.due_at()
        moments = [now + limit_s, self._next_roots, *([] if due_at is None else [due_at])]
        if self._is_polling:
            moments.append(self._next_poll)
        self._heard.wait(max(0.0, 0.0 if self._doubted else min(moments) - now))

    def listen(self) -> None:
        """Take in what the kernel told since."""
        self._heard.clear()
        now = time.monotonic()
        for event in self._watches.take():
            self._hear(event, now)
        if self._watches.take_mounts_changed() or self._clocks_jumped():
            self.doubt()
        if now >= self._next_roots:
            self._look_at_roots()
        if len(self._settling) > HINTS_MAX:
            self.doubt()

    def take(self) -> Places:
        """The places that are quiet by now; the whole of a source that is in doubt, or is polled."""
        now = time.monotonic()
        places: dict[str, set[str]] = defaultdict(set)
        for source, path in self._settling.take(now):
            folder, _, name = path.rpartition("/")
            places[source].add(folder if name in IGNORE_FILES else path)
        for source, folder in self._polled(now):
            places[source].add(folder)
        doubted, self._doubted = self._doubted, set()
        for source, paths in places.items():
            if len(paths) > PLACES_MAX:
                doubted.add(source)
        found = {source: _outermost(paths) for source, paths in places.items()}
        return found | dict.fromkeys(doubted, WHOLE)

    def hint(self, source: str, path: str, *, is_complete: bool | None = None) -> None:
        """Look at this again soon, as if something had been heard of it."""
        self._settling.hear((source, path), time.monotonic(), is_complete=is_complete)

    def doubt(self, sources: Iterable[str] | None = None) -> None:
        """Anything may have been missed of these (None: of all): they are looked at whole, and what was heard
        is part of it.
        """
        doubted = set(self._sources if sources is None else sources)
        self._doubted |= doubted
        self._settling.forget([key for key in self._settling.waiting() if key[0] in doubted])

    def _hear(self, event: inotify.RawEvent, now: float) -> None:
        if event.mask & (inotify.OVERFLOWN | inotify.UNMOUNTED):
            self.overflows += bool(event.mask & inotify.OVERFLOWN)
            self.doubt()
            return
        if event.mask & inotify.WATCH_GONE:
            self._watches.drop(event.watch)
            return
        for source, folder in self._watches.keys(event.watch):
            if event.name:
                self._hear_of((source, f"{folder}/{event.name}" if folder else event.name), event.mask, now)
            elif event.mask & _SELF and not folder:
                self._next_roots = now  # the source's own folder

    def _hear_of(self, key: Key, mask: int, now: float) -> None:
        if key[0] in self._doubted:
            return
        if mask & inotify.FOLDER:
            if mask & inotify.MOVED_FROM:
                self._watches.forget_below(key)
            if mask & inotify.CREATED:
                self._enter(key, now)
                return
        is_complete = None if mask & inotify.ATTRIBUTES else bool(mask & (_COMPLETE | inotify.FOLDER))
        self._settling.hear(key, now, is_complete=is_complete)

    def _enter(self, key: Key, now: float) -> None:
        """A folder was made: watch it at once. What is in it already may still be being written."""
        source, folder = key
        scan = self._sources[source].scan([folder], partial(self.entering, source))
        for path in scan.files:
            self._settling.hear((source, path), now, is_complete=False)
        for problem in scan.unreadable:
            self._settling.hear((source, problem.path), now, is_complete=True)

    def _look_at_roots(self) -> None:
        """Whether each source's folder is still the one that is watched."""
        self._next_roots = time.monotonic() + ROOTS_EVERY_S
        for name, source in self._sources.items():
            identity = source.root_identity()
            if name in self._roots and identity == self._roots[name]:
                continue
            self._roots[name] = identity
            self._watches.forget_below((name, ""))
            self.doubt([name])
            kind = file_system_of(identity.path) if identity is not None else ""
            self._silent.pop(name, None)
            if not tells_of_changes(kind):
                self._silent[name] = kind

    @property
    def _is_polling(self) -> bool:
        return bool(self._silent or self._watches.unwatched or not self._watches.are_possible)

    def _polled(self, now: float) -> Iterable[Key]:
        if now < self._next_poll:
            return []
        self._next_poll = now + self._poll_s
        if not self._watches.are_possible:
            return [(source, "") for source in self._sources]
        return [*((source, "") for source in self._silent), *self._watches.unwatched]

    def _clocks_jumped(self) -> bool:
        before, self._clocks = self._clocks, _clocks()
        return any(abs(a - b) > CLOCK_STEP_S for a, b in zip(before, self._clocks, strict=True))


def _clocks() -> tuple[float, float]:
    """What wall clock and boot clock are ahead of the one that never jumps and sleeps with the machine."""
    steady = time.monotonic()
    boot = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else steady
    return time.time() - steady, boot - steady


def _outermost(paths: set[str]) -> frozenset[str]:
    """Without those that lie below others."""
    if "" in paths:
        return WHOLE
    kept: list[str] = []
    for path in sorted(paths, key=lambda path: path.replace("/", "\0")):  # what is below a folder follows it
        if not (kept and path.startswith(kept[-1] + "/")):
            kept.append(path)
    return frozenset(kept)
