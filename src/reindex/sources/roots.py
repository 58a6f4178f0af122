"""The folders of sources themselves, of which no event tells enough: another may be put in their place, a
file system mounted over them, the machine put to sleep.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from reindex.sources.files import FileSource, RootIdentity
from reindex.sources.mounts import file_system_of, mounts_around, tells_of_changes

EVERY_S = 5.0  # a source's folder may be renamed, or another put in its place, without a sound
CLOCK_STEP_S = 2.0  # a jump of the wall clock, or a sleep of the machine

_LOCKS = (".git/index.lock", ".git/HEAD.lock", ".hg/wlock")  # the working tree is being written


@dataclass(frozen=True, slots=True)
class _Root:
    """`identity` is None where there is no folder; `locks` is where version control locks its files."""

    identity: RootIdentity | None
    kind: str
    mounts: frozenset[bytes]
    locks: tuple[Path, ...]


class Roots:
    """Where the sources' folders are, as of the last look at them."""

    def __init__(self, sources: Mapping[str, FileSource]) -> None:
        self._sources = sources
        self._roots: dict[str, _Root] = {}
        self._doubtful: set[str] = set()
        self._clocks = _clocks()
        self.next_look = 0.0

    def path(self, source: str) -> str | None:
        """The real path of a source's folder; None while there is none."""
        root = self._roots.get(source)
        return None if root is None or root.identity is None else root.identity.path

    @property
    def silent(self) -> dict[str, str]:
        """Source -> the file system it is on, for those whose file system tells of nothing."""
        kinds = ((name, root.kind) for name, root in self._roots.items())
        return {name: kind for name, kind in kinds if not tells_of_changes(kind)}

    def doubt(self, sources: Iterable[str]) -> None:
        """Something happened to these folders themselves (the same one may be back by now): the next look,
        which is due at once, finds them changed.
        """
        self._doubtful.update(sources)
        self.next_look = 0.0 if self._doubtful else self.next_look

    def look(self, now: float) -> list[str]:
        """The sources whose folder is another than before, or not known yet."""
        self.next_look = now + EVERY_S
        return list(self._changed())

    def remounted(self) -> list[str]:
        """Something was mounted or unmounted somewhere: the sources for which that makes a difference."""
        return [
            name
            for name, root in self._roots.items()
            if root.identity is not None and mounts_around(root.identity.path) != root.mounts
        ]

    def has_clock_jumped(self) -> bool:
        """Whether the wall clock was set, or the machine slept, since this was asked last."""
        before, self._clocks = self._clocks, _clocks()
        return any(abs(a - b) > CLOCK_STEP_S for a, b in zip(before, self._clocks, strict=True))

    def are_locked(self, sources: Iterable[str]) -> bool:
        """Whether version control is writing one of their working trees."""
        locks = {lock for name in sources if name in self._roots for lock in self._roots[name].locks}
        return any(os.path.exists(lock) for lock in locks)  # noqa: PTH110 (it never raises)

    def _changed(self) -> Iterator[str]:
        for name, source in self._sources.items():
            identity = source.root_identity()
            known = self._roots.get(name)
            if known is not None and known.identity == identity and name not in self._doubtful:
                continue
            self._doubtful.discard(name)
            self._roots[name] = _root(identity)
            yield name


def _root(identity: RootIdentity | None) -> _Root:
    if identity is None:
        return _Root(None, "", frozenset(), ())
    path = identity.path
    return _Root(identity, file_system_of(path), mounts_around(path), tuple(_locks(Path(path))))


def _locks(folder: Path) -> Iterator[Path]:
    """Of the nearest repository that the folder is in."""
    for place in (folder, *folder.parents):
        found = [place / lock for lock in _LOCKS if os.path.isdir((place / lock).parent)]  # noqa: PTH112 (the same)
        if found:
            yield from found
            return


def _clocks() -> tuple[float, float]:
    """What wall clock and boot clock are ahead of the one that never jumps and sleeps with the machine."""
    steady = time.monotonic()
    boot = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else steady
    return time.time() - steady, boot - steady
