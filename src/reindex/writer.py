"""Everything open for writing, and made consistent first: the same steps on each opening, crash or not.

The commits of a window come in the order ledger (job), cache, Lance, ledger (record), pointer. Whatever the
last run left half done is decided by the ledger: a table ahead of it is taken back, a pointer behind it is
moved on, and a ledger that knows less than the table is made again from the table's own rows.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from reindex.core.generations import Generation, GenerationState
from reindex.core.identity import Recipe
from reindex.errors import StoreError
from reindex.model import DAY_S
from reindex.ports import Clock
from reindex.stores.cache import VectorCache
from reindex.stores.document_rows import recorded_from
from reindex.stores.index import GenerationTable
from reindex.stores.lance import TableMissingError
from reindex.stores.ledger import FILE as LEDGER_FILE
from reindex.stores.ledger import Ledger
from reindex.stores.lock import writer_lock
from reindex.stores.manifests import manifest_path, tables_on_disk, versions_on_disk
from reindex.stores.pointer import Pointer, Published
from reindex.stores.sqlite import CorruptDatabaseError, set_aside

_REFILL = "cache refill"  # the note that a refill was begun and must be finished


class Writer:
    """The stores of a data directory in the hands of their one writer."""

    def __init__(
        self,
        data_dir: Path,
        ledger: Ledger,
        cache: VectorCache,
        clock: Clock,
        reader_grace_s: float,
        warn: Callable[[str], None],
    ) -> None:
        self.data_dir = data_dir
        self.ledger = ledger
        self.cache = cache
        self.clock = clock
        self.pointer = Pointer(data_dir)
        self.generation: Generation | None = None
        self._reader_grace_s = reader_grace_s
        self._warn = warn
        self._table: GenerationTable | None = None

    @property
    def today(self) -> int:
        """Days since the epoch, for the cache's size limit."""
        return int(self.clock.now() // DAY_S)

    def table(self) -> GenerationTable:
        """The table of the current generation, opened on first use (LanceDB is a heavy import)."""
        assert self.generation is not None, "no generation is open"
        if self._table is None:
            self._table = GenerationTable.open(
                self.data_dir, self.generation.table, self.generation.recipe.space.dimensions
            )
        return self._table

    @property
    def data_commits(self) -> int:
        """Lance commits with data since the table was opened."""
        return self._table.data_commits if self._table is not None else 0

    def start_generation(self, recipe: Recipe) -> Generation:
        """A new generation with an empty table and an empty record. Its table's name was never used."""
        number = self._next_number()
        name = f"g{number}"
        table = GenerationTable.create(self.data_dir, name, recipe.space.dimensions)
        generation = Generation(
            number=number,
            state=GenerationState.BUILDING,
            table=name,
            recipe=recipe,
            version=table.version,
            manifest=table.manifest,
            created_at=self.clock.now(),
            promoted_at=None,
        )
        self.ledger.generations.add(generation)
        self.generation, self._table = generation, table
        return generation

    def publish(self) -> None:
        """Send readers to the version that the ledger vouches for: the fifth commit."""
        generation = self.generation
        assert generation is not None, "no generation is open"
        now = self.clock.now()
        with self.ledger.transaction():
            if generation.state is not GenerationState.LIVE:
                generation = self.ledger.generations.change_state(generation, GenerationState.LIVE, now)
            self.ledger.generations.record_publish(generation, now, now - self._reader_grace_s)
        self.generation = generation
        self.pointer.write(_published(generation, now))

    def adopt_version(self) -> None:
        """A commit that changed no document (index, compaction) becomes the published version."""
        assert self.generation is not None, "no generation is open"
        table = self.table()
        if table.version != self.generation.version:
            self.generation = self.ledger.generations.record_version(
                self.generation, table.version, table.manifest
            )
            self.publish()

    def oldest_version_in_reach(self) -> int:
        """The oldest version of the live table that a reader may still be pinned to."""
        assert self.generation is not None, "no generation is open"
        since = self.clock.now() - self._reader_grace_s
        reachable = self.ledger.generations.versions_in_reach(self.generation.number, since)
        return min([*reachable, self.generation.version])

    def recover(self) -> None:
        """Make ledger, table and pointer agree. Imports LanceDB only if they do not."""
        self._table = None
        published = self._read_pointer()
        self.generation = self._open_generation()
        if self.generation is None and published is not None and self._is_on_disk(published):
            self._adopt_pointer(published)
        elif self.generation is not None:
            self._align_table(self.generation, published)
        self._align_pointer(published)
        if self.generation is not None and (self.cache.was_made or self.ledger.note(_REFILL)):
            self._refill_cache()

    def abandon_lost_table(self, generation: Generation) -> None:
        """The table is gone or broken: nothing can be served from it. A new generation takes over, and its
        vectors come from the cache.
        """
        self._warn(
            f"the table of generation {generation.number} is missing or broken:"
            " the index is made again (texts in the vector cache are not embedded again)"
        )
        self.ledger.generations.change_state(generation, GenerationState.LOST, self.clock.now())
        self.generation, self._table = None, None

    def _open_generation(self) -> Generation | None:
        """The live generation, or one whose first window was never published."""
        generations = self.ledger.generations.all()
        for state in (GenerationState.LIVE, GenerationState.BUILDING):
            found = [generation for generation in generations if generation.state is state]
            if found:
                return found[-1]
        return None

    def _align_table(self, generation: Generation, published: Published | None) -> None:
        versions = versions_on_disk(self.data_dir, generation.table)
        if generation.version in versions:
            if versions[-1] != generation.version:
                self._take_back(generation, generation.version)
            return
        if published is not None and published.table != generation.table and self._is_on_disk(published):
            # The ledger is from a backup that is older than the pointer.
            self.ledger.generations.change_state(generation, GenerationState.LOST, self.clock.now())
            self._adopt_pointer(published)
        else:
            self._rebuild_record(generation, published, versions)

    def _take_back(self, generation: Generation, version: int) -> None:
        """The table is ahead of the ledger: its last commits were never recorded."""
        try:
            restored = self.table().restore(version)
        except TableMissingError:
            self.abandon_lost_table(generation)
            return
        self.generation = self.ledger.generations.record_version(
            generation, restored, manifest_path(generation.table, restored)
        )

    def _rebuild_record(
        self, generation: Generation, published: Published | None, versions: list[int]
    ) -> None:
        """The ledger vouches for a version that is gone: believe the published one, or the latest."""
        trusted = next((v for v in reversed(versions) if published and v == published.version), None)
        if trusted is None and versions:
            trusted = versions[-1]
        if trusted is None:
            self.abandon_lost_table(generation)
            return
        self._warn("the ledger does not know the table's version: its record is made again from the table")
        self.generation = generation
        self._record_from_rows(generation, trusted, versions)

    def _is_on_disk(self, published: Published) -> bool:
        return published.version in versions_on_disk(self.data_dir, published.table)

    def _adopt_pointer(self, published: Published) -> None:
        """The ledger is lost or older than the pointer: take the published table as it is."""
        known = {generation.number: generation for generation in self.ledger.generations.all()}
        generation = known.get(published.generation)
        if generation is not None and generation.state is GenerationState.LOST:
            return
        if generation is None:
            generation = Generation(
                number=published.generation,
                state=GenerationState.LIVE,
                table=published.table,
                recipe=published.recipe,
                version=published.version,
                manifest=published.manifest,
                created_at=published.published_at,
                promoted_at=self.clock.now(),
            )
            self.ledger.generations.add(generation)
        self._warn("the ledger was lost: its record is made again from the published table")
        self.generation = generation
        versions = versions_on_disk(self.data_dir, published.table)
        self._record_from_rows(generation, published.version, versions)

    def _record_from_rows(self, generation: Generation, version: int, versions: list[int]) -> None:
        try:
            table = self.table()
            if versions[-1] != version:
                version = table.restore(version)
            documents = {layout.name: recorded_from(layout) for layout in table.layouts()}
        except (StoreError, ValueError, KeyError):
            self.abandon_lost_table(generation)
            return
        with self.ledger.transaction():
            self.ledger.documents.replace_all(generation.number, documents)
            self.generation = self.ledger.generations.record_version(
                generation, version, manifest_path(generation.table, version)
            )

    def _align_pointer(self, published: Published | None) -> None:
        generation = self.generation
        if generation is None or generation.state is not GenerationState.LIVE:
            return
        wanted = _published(generation, 0.0)
        if published is None or replace(published, published_at=0.0) != wanted:
            self.publish()

    def _read_pointer(self) -> Published | None:
        try:
            return self.pointer.read()
        except StoreError as error:
            if type(error) is not StoreError:
                raise
            self._warn(error.message)
            return None

    def _refill_cache(self) -> None:
        """The cache was lost: the live table's rows carry keys and vectors, so nothing is paid again."""
        self.ledger.record_note(_REFILL, "begun")
        for keys, vectors in self.table().vectors():
            self.cache.put(keys, vectors, self.today)
        self.ledger.record_note(_REFILL, "")
        self._warn(f"the vector cache was filled again from the index: {self.cache.count()} vectors")

    def _next_number(self) -> int:
        numbers = [generation.number for generation in self.ledger.generations.all()]
        on_disk = [int(name[1:]) for name in tables_on_disk(self.data_dir) if name[1:].isdigit()]
        return max([0, *numbers, *on_disk]) + 1


@contextlib.contextmanager
def open_writer(
    data_dir: Path, command: str, clock: Clock, reader_grace_s: float, warn: Callable[[str], None]
) -> Iterator[Writer]:
    """Take the lock, open the stores and make them agree. Raises LockedError and StoreError."""
    with writer_lock(data_dir, command, clock.now()), contextlib.ExitStack() as stack:
        ledger = _open_ledger(data_dir, clock, warn)
        stack.callback(ledger.close)
        cache = VectorCache.open(data_dir, clock.now())
        stack.callback(cache.close)
        writer = Writer(data_dir, ledger, cache, clock, reader_grace_s, warn)
        writer.recover()
        yield writer


def _open_ledger(data_dir: Path, clock: Clock, warn: Callable[[str], None]) -> Ledger:
    try:
        return Ledger.open(data_dir)
    except CorruptDatabaseError as error:
        aside = set_aside(data_dir / LEDGER_FILE, int(clock.now()))
        warn(f"{error.message}; it was set aside as {aside.name}")
        return Ledger.open(data_dir)


def _published(generation: Generation, now: float) -> Published:
    return Published(
        generation=generation.number,
        table=generation.table,
        version=generation.version,
        manifest=generation.manifest,
        recipe=generation.recipe,
        published_at=now,
    )
