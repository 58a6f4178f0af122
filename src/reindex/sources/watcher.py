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
from reindex.model import WHOLE, DocumentName, Places, outermost
from reindex.sources import inotify
from reindex.sources.files import FileSource
from reindex.sources.ignore import IGNORE_FILES
from reindex.sources.roots import Roots
from reindex.sources.watches import Key, Watches

HINTS_MAX = 100_000  # more paths than these are looked at by looking at everything
PLACES_MAX = 500  # of one source in one pass: above it, their folders are looked at
LOCKED_MAX_S = 60.0  # so long a burst waits for version control to be done; a lock may be left from a crash
LOCKED_EVERY_S = 0.1

_COMPLETE = inotify.CLOSED | inotify.MOVED_TO | inotify.MOVED_FROM | inotify.DELETED
_SELF = inotify.SELF_DELETED | inotify.SELF_MOVED | inotify.ATTRIBUTES


class Watcher:
    """Hears of changes below the folders of sources. Belongs to one thread, but for `wake` and the counts."""

    def __init__(self, sources: Mapping[str, FileSource], settle_s: float, poll_s: float) -> None:
        """Watches nothing yet: the first scan of everything sets the watches, through `entering`."""
        self._sources = dict(sources)
        self._poll_s = poll_s
        self._settling: Settling[Key] = Settling(settle_s)  # (source, "") stands for all of it: a doubt
        self._deaf: set[str] = set()  # sources whose table of watches may be wrong as well
        self._heard = threading.Event()
        self._watches = Watches(self._heard.set)
        self._roots = Roots(self._sources)
        self._next_poll = time.monotonic()
        self._locked_until = self._next_lock_look = 0.0
        self.overflows = 0
        self._look_at_roots(time.monotonic())

    @property
    def watches(self) -> int:
        """How many folders are watched."""
        return len(self._watches)

    @property
    def waiting(self) -> int:
        """Paths that something was heard of and that were not taken yet."""
        return len(self._settling)

    @property
    def is_in_burst(self) -> bool:
        """Whether so much is going on that a look at everything had better wait."""
        return self._settling.is_burst

    @property
    def has_saves_due(self) -> bool:
        """Whether some saved files, and no more than that, can be taken now."""
        due_at = self._settling.due_at()
        if due_at is None or due_at > time.monotonic() or self._settling.is_burst:
            return False
        return all(path for _, path in self._settling)

    def oldest_s(self) -> float:
        """For how long the one that waits longest has waited, in seconds; 0 without one."""
        oldest = self._settling.oldest()
        return 0.0 if oldest is None else time.monotonic() - oldest

    def being_written(self) -> frozenset[DocumentName]:
        """What may be half written now: a look that comes by for another reason had better not read it."""
        return frozenset(DocumentName(*key) for key in self._settling.open_paths())

    def troubles(self) -> list[str]:
        """Why changes are found later than they could be, each with what to do about it."""
        silent = self._roots.silent.items()
        why = f"which does not tell of all changes: it is polled every {self._poll_s:g} s"
        return [
            *(f"source {name!r} is on {kind}, {why}" for name, kind in silent),
            *self._watches.troubles(self._poll_s),
        ]

    def close(self) -> None:
        """Give up every watch."""
        self._watches.close()

    def wake(self) -> None:
        """End a `wait`, from any thread."""
        self._heard.set()

    def entering(self, source: str, folder: str) -> None:
        """A scan is about to list this folder."""
        root = self._roots.path(source)
        if root is not None:
            self._watches.add((source, folder), f"{root}/{folder}".rstrip("/") or "/")

    def wait(self, limit_s: float, *, is_taking: bool = True) -> None:
        """Until something is heard, or so long; if it is going to be taken, until it is due."""
        now = time.monotonic()
        moments = [now + limit_s, self._roots.next_look]
        if is_taking:
            moments += [at for at in (self._due_at(now), self._next_poll_at()) if at is not None]
        self._heard.wait(max(0.0, min(moments) - now))

    def listen(self) -> None:
        """Take in what the kernel told since."""
        self._heard.clear()
        now = time.monotonic()
        for event in self._watches.take():
            self._hear(event, now)
        if self._watches.take_mounts_changed():
            self._roots.doubt(self._roots.remounted())
        if self._roots.has_clock_jumped():
            self.doubt()
        if now >= self._roots.next_look:
            self._look_at_roots(now)
        if len(self._settling) > HINTS_MAX:
            self._doubt_lost(now)

    def take(self) -> Places:
        """The places that are quiet by now; the whole of a source that is in doubt, or is polled."""
        now = time.monotonic()
        if self._is_held(now):
            return {}
        places: dict[str, set[str]] = defaultdict(set)
        for source, path in self._settling.take(now):
            folder, _, name = path.rpartition("/")
            places[source].add(folder if name in IGNORE_FILES else path)
        for source, folder in self._polled(now):
            places[source].add(folder)
        found = {source: _few(paths) for source, paths in places.items()}
        for source in [source for source in self._deaf if found.get(source) == WHOLE]:
            self._listen_anew(source)
        return found

    def take_everything(self) -> None:
        """Everything is about to be looked at: what is complete is part of that."""
        is_open = set(self._settling.open_paths())
        self._settling.forget([key for key in self._settling if key not in is_open or not key[1]])
        for source in list(self._deaf):
            self._listen_anew(source)
        self._next_poll = time.monotonic() + self._poll_s

    def hint(self, source: str, path: str, *, is_complete: bool | None = None) -> None:
        """Look at this again soon, as if something had been heard of it; if something was, that decides."""
        if (source, path) not in self._settling:
            self._settling.hear((source, path), time.monotonic(), is_complete=is_complete)

    def doubt(self, sources: Iterable[str] | None = None) -> None:
        """Anything may have been missed of these (None: of all): they are looked at whole, and what was heard
        is part of it.
        """
        self._doubt(set(self._sources if sources is None else sources), time.monotonic(), is_complete=True)

    def _doubt(self, sources: set[str], now: float, *, is_complete: bool) -> None:
        self._settling.forget([key for key in self._settling if key[0] in sources])
        for source in sources:
            self._settling.hear((source, ""), now, is_complete=is_complete)

    def _doubt_lost(self, now: float) -> None:
        """Events were lost, or are too many. The burst is taken when it is over."""
        self._deaf |= self._sources.keys()
        self._doubt(set(self._sources), now, is_complete=False)

    def _listen_anew(self, source: str) -> None:
        """The scan that comes sets every watch again: folders went elsewhere, and nobody told."""
        self._deaf.discard(source)
        self._watches.forget_below((source, ""))

    def _hear(self, event: inotify.RawEvent, now: float) -> None:
        if event.mask & inotify.OVERFLOWN:
            self.overflows += 1
            self._doubt_lost(now)
            return
        keys = self._watches.keys(event.watch)
        if event.mask & inotify.WATCH_GONE:
            self._watches.drop(event.watch)
        for source, folder in keys:
            if event.name:
                self._hear_of((source, f"{folder}/{event.name}" if folder else event.name), event.mask, now)
            elif event.mask & (_SELF | inotify.UNMOUNTED | inotify.WATCH_GONE) and not folder:
                self._roots.doubt([source])

    def _hear_of(self, key: Key, mask: int, now: float) -> None:
        source, path = key
        if mask & inotify.FOLDER and mask & inotify.MOVED_FROM:
            self._watches.forget_below(key)
        if (source, "") in self._settling:
            self._settling.hear((source, ""), now, is_complete=None)
        elif mask & inotify.FOLDER and mask & inotify.CREATED:
            self._enter(key, now)
        elif mask & inotify.FOLDER or self._sources[source].may_concern(path):
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

    def _look_at_roots(self, now: float) -> None:
        """Whether each source's folder is still the one that is watched."""
        changed = self._roots.look(now)
        for source in changed:
            self._listen_anew(source)
        if changed:
            self.doubt(changed)

    def _due_at(self, now: float) -> float | None:
        due_at = self._settling.due_at()
        if due_at is not None and now < self._locked_until:
            return max(due_at, self._next_lock_look)
        return due_at

    def _is_held(self, now: float) -> bool:
        """Version control is writing a working tree: what it writes is taken when it is done."""
        if not (self._settling.is_burst and self._roots.are_locked({source for source, _ in self._settling})):
            self._locked_until = 0.0
            return False
        self._locked_until = self._locked_until or now + LOCKED_MAX_S
        self._next_lock_look = now + LOCKED_EVERY_S
        return now < self._locked_until

    def _next_poll_at(self) -> float | None:
        is_polling = self._roots.silent or self._watches.unwatched or not self._watches.are_possible
        return self._next_poll if is_polling else None

    def _polled(self, now: float) -> Iterable[Key]:
        if now < self._next_poll:
            return []
        self._next_poll = now + self._poll_s
        if not self._watches.are_possible:
            return [(source, "") for source in self._sources]
        return [*((source, "") for source in self._roots.silent), *self._watches.take_unwatched()]


def _few(paths: set[str]) -> frozenset[str]:
    """The outermost of these places, or rather the folders that they are in, if they are many."""
    while len(paths) > PLACES_MAX:
        paths = {path.rpartition("/")[0] for path in paths}
    return outermost(paths)
