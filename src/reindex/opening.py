"""The stores of a data directory, opened for writing under its lock."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reindex.model import DAY_S
from reindex.ports import Clock
from reindex.stores.cache import VectorCache
from reindex.stores.ledger import FILE as LEDGER_FILE
from reindex.stores.ledger import Ledger
from reindex.stores.lock import Lock, writer_lock
from reindex.stores.pointer import Pointer
from reindex.stores.sqlite import CorruptDatabaseError, set_aside


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a writer is told of the world: time, whom to warn, how long readers keep a version."""

    clock: Clock
    warn: Callable[[str], None]
    reader_grace_s: float


class Stores:
    """Ledger, cache and pointer of a locked data directory, shared by the writers of its generations."""

    def __init__(
        self, data_dir: Path, lock: Lock, ledger: Ledger, cache: VectorCache, around: Surroundings
    ) -> None:
        self.data_dir = data_dir
        self.lock = lock
        self.ledger = ledger
        self.cache = cache
        self.clock = around.clock
        self.warn = around.warn
        self.reader_grace_s = around.reader_grace_s
        self.pointer = Pointer(data_dir)

    @property
    def today(self) -> int:
        """Days since the epoch, for the cache's size limit."""
        return int(self.clock.now() // DAY_S)

    def replace_cache(self, damage: CorruptDatabaseError) -> None:
        """The cache turned out to be damaged: set it aside and go on with a new one."""
        self.cache.close()
        aside = set_aside(damage.path, int(self.clock.now()))
        self.warn(f"{damage.message}; it was set aside as {aside.name}")
        self.cache = VectorCache.open(self.data_dir, self.clock.now())

    def close(self) -> None:
        self.cache.close()
        self.ledger.close()


@contextlib.contextmanager
def open_stores(data_dir: Path, command: str, around: Surroundings) -> Iterator[Stores]:
    """Take the lock and open the stores, as the last run left them. Raises LockedError and StoreError."""
    now = around.clock.now()
    with writer_lock(data_dir, command, now) as lock:
        ledger = _open_ledger(data_dir, around)
        try:
            cache = VectorCache.open(data_dir, now)
        except BaseException:
            ledger.close()
            raise
        with contextlib.closing(Stores(data_dir, lock, ledger, cache, around)) as stores:
            yield stores


def _open_ledger(data_dir: Path, around: Surroundings) -> Ledger:
    try:
        return Ledger.open(data_dir)
    except CorruptDatabaseError as error:
        aside = set_aside(data_dir / LEDGER_FILE, int(around.clock.now()))
        around.warn(f"{error.message}; it was set aside as {aside.name}")
        return Ledger.open(data_dir)
