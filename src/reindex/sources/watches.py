"""The table of watched folders: which the kernel's numbers stand for, and which can't be watched."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from reindex.sources.inotify import Inotify, RawEvent

Key = tuple[str, str]
"""(source, path below its folder); "" is the folder itself."""

_REMEDIES = {
    errno.ENOSPC: "the limit of watches is reached; raise it: sudo sysctl"
    " fs.inotify.max_user_watches=1048576",
    errno.EMFILE: "the limit of inotify instances is reached; raise it: sudo sysctl"
    " fs.inotify.max_user_instances=1024",
}


class Watches:
    """Folders and their watches. Where there can be none at all, everything is unwatched."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._keys: dict[int, list[Key]] = {}
        self._numbers: dict[Key, int] = {}
        self.unwatched: dict[Key, int] = {}  # folder -> errno
        self._polled: dict[Key, int] = {}  # the same of those that are being looked at
        self._impossible = 0
        self._inotify: Inotify | None = None
        try:
            self._inotify = Inotify(told)
        except OSError as error:
            self._impossible = error.errno or errno.ENOSYS

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def are_possible(self) -> bool:
        """Whether the kernel gave an instance."""
        return self._inotify is not None and self._inotify.is_listening

    def troubles(self, poll_s: float) -> list[str]:
        """What is not watched, why, and what to do."""
        if not self.are_possible:
            reason = _reason(self._impossible or errno.EIO)
            return [f"nothing can be watched, all is polled every {poll_s:g} s: {reason}"]
        return [
            f"{count} folders can't be watched and are polled every {poll_s:g} s: {_reason(number)}"
            for number, count in Counter({**self._polled, **self.unwatched}.values()).items()
        ]

    def close(self) -> None:
        """Give up every watch."""
        if self._inotify is not None:
            self._inotify.close()

    def take(self) -> Iterable[RawEvent]:
        """All events so far."""
        return self._inotify.take() if self._inotify is not None else ()

    def take_mounts_changed(self) -> bool:
        """Whether something was mounted or unmounted since this was asked last."""
        if self._inotify is None or not self._inotify.mounts_changed.is_set():
            return False
        self._inotify.mounts_changed.clear()
        return True

    def take_unwatched(self) -> list[Key]:
        """The folders to poll now: the scan of them finds out anew which can't be watched."""
        self._polled, self.unwatched = self.unwatched, {}
        return list(self._polled)

    def keys(self, number: int) -> list[Key]:
        """The folders that a watch stands for: several, where sources lie in each other."""
        return list(self._keys.get(number, ()))

    def add(self, key: Key, folder: str) -> None:
        """Watch a folder, wherever it was before."""
        self._polled.pop(key, None)
        if self._inotify is None:
            return
        try:
            number = self._inotify.watch(folder)
        except OSError as error:
            self._remove(key)
            if error.errno not in {errno.ENOENT, errno.ENOTDIR}:  # gone: the scan finds that out as well
                self.unwatched[key] = error.errno or errno.EIO
            return
        self.unwatched.pop(key, None)
        if self._numbers.get(key) != number:
            self._remove(key)
            self._numbers[key] = number
            self._keys.setdefault(number, []).append(key)

    def drop(self, number: int) -> None:
        """The kernel ended a watch."""
        for key in self._keys.pop(number, ()):
            self._numbers.pop(key, None)

    def forget_below(self, key: Key) -> None:
        """A folder went elsewhere: what happens in it is not ours, and would be heard under its old name."""
        for found in list(_below(key, (*self._numbers, *self.unwatched))):
            self._polled.pop(found, None)
            self._remove(found)

    def _remove(self, key: Key) -> None:
        self.unwatched.pop(key, None)
        number = self._numbers.pop(key, None)
        if number is None:
            return
        keys = self._keys.get(number, [])
        if key in keys:
            keys.remove(key)
        if not keys:
            self._keys.pop(number, None)
            if self._inotify is not None:
                self._inotify.forget(number)


def _below(key: Key, keys: Iterable[Key]) -> Iterator[Key]:
    source, path = key
    prefix = path + "/" if path else ""
    return (k for k in keys if k[0] == source and (k[1] == path or k[1].startswith(prefix)))


def _reason(number: int) -> str:
    return _REMEDIES.get(number, os.strerror(number))
