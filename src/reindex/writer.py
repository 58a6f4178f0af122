"""One generation open for writing: its table, its record, and what readers are sent to."""

import contextlib
from enum import StrEnum

from reindex.core.generations import Generation, GenerationState
from reindex.core.identity import Recipe
from reindex.core.jobs import JobState, Lane
from reindex.errors import StoreError
from reindex.opening import Stores
from reindex.stores.cache import VectorCache
from reindex.stores.index import GenerationTable
from reindex.stores.lance import TableMissingError
from reindex.stores.manifests import remove_table, table_files, table_folder, tables_on_disk
from reindex.stores.pointer import Published
from reindex.stores.snapshot import Snapshot


class FilesState(StrEnum):
    """The files of a table, against what they were when they were last known good."""

    KNOWN = "known"  # all there, unchanged, and they make up the version that the ledger vouches for
    NEW = "new"  # those that were known are; but that version has files that were never looked at
    TOUCHED = "touched"  # one that was known good is gone, or another


class Writer:
    """One generation, open for writing; several may be open over the same stores."""

    def __init__(self, stores: Stores, generation: Generation | None = None) -> None:
        self.stores = stores
        self.data_dir = stores.data_dir
        self.ledger = stores.ledger
        self.clock = stores.clock
        self.warn = stores.warn
        self.pointer = stores.pointer
        self.generation = generation
        self._table: GenerationTable | None = None

    @property
    def cache(self) -> VectorCache:
        """The stores' own: it may be replaced when it turns out to be damaged."""
        return self.stores.cache

    @property
    def data_commits(self) -> int:
        """Lance commits with data since the table was opened."""
        return self._table.data_commits if self._table is not None else 0

    def open_generation(self, generation: Generation | None) -> None:
        """Work on this generation from now on."""
        self.generation, self._table = generation, None

    def table(self) -> GenerationTable:
        """The table of the current generation, opened on first use (LanceDB is a heavy import).

        Ask for it anew before each change: DiskError tells that the data directory is not ours any more.
        """
        assert self.generation is not None, "no generation is open"
        self.stores.lock.check()
        if self._table is None:
            dimensions = self.generation.recipe.space.dimensions
            self._table = GenerationTable.open(self.data_dir, self.generation.table, dimensions)
        return self._table

    def start_generation(self, recipe: Recipe, *, fresh: bool = False) -> Generation:
        """A new generation with an empty table and an empty record. Its table's name was never used.

        A `fresh` one takes no vector that was made before it.
        """
        self.stores.lock.check()
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
            is_fresh=fresh,
        )
        self.ledger.generations.add(generation)
        self.generation, self._table = generation, table
        return generation

    @property
    def is_live(self) -> bool:
        """Whether readers are on this generation."""
        return self.generation is not None and self.generation.state is GenerationState.LIVE

    @property
    def is_beside(self) -> bool:
        """Whether this generation is built while readers are on another, and stay there."""
        live = self.ledger.generations.live()
        return live is not None and (self.generation is None or live.number != self.generation.number)

    def publish(self) -> None:
        """Send readers to the version that the ledger vouches for: the fifth commit. Of a generation that is
        built beside the live one nobody is told.
        """
        generation = self.generation
        assert generation is not None, "no generation is open"
        self.stores.lock.check()
        if self.is_beside:
            self.record_files()
            return
        now = self.clock.now()
        with self.ledger.transaction():
            if generation.state is not GenerationState.LIVE:
                generation = self.ledger.generations.promote(generation, now, "sync")
            self.ledger.generations.record_publish(generation, now, now - self.stores.reader_grace_s)
            self.record_files()
        self.generation = generation
        self.pointer.write(published_from(generation, now))

    def adopt_version(self) -> None:
        """After upkeep: a commit that changed no document (index, compaction) becomes the published version;
        without one, files may have been removed.
        """
        assert self.generation is not None, "no generation is open"
        table = self.table()
        if table.version != self.generation.version:
            self.generation = self.ledger.generations.record_version(
                self.generation, table.version, table.manifest
            )
            self.publish()
        else:
            self.record_files()

    def oldest_version_in_reach(self) -> int:
        """The oldest version of its table that a reader may still be pinned to."""
        assert self.generation is not None, "no generation is open"
        since = self.clock.now() - self.stores.reader_grace_s
        reachable = self.ledger.generations.versions_in_reach(self.generation.number, since)
        return min([*reachable, self.generation.version])

    def give_up_table(self, generation: Generation) -> None:
        """The table is gone or broken: nothing can be served from it. If it was the live one, a new one by
        the same recipe takes over, with vectors from the cache; one that was begun beside it is dropped, so
        that no half of an index is taken for a first load.
        """
        what = f"the table of generation {generation.number} is missing or broken"
        with self.ledger.transaction():
            begun = self.ledger.generations.unfinished()
            if self.is_beside:
                self.warn(f"{what}: that generation is given up")
            else:
                self.warn(
                    f"{what}: the index is made again (texts in the vector cache are not embedded again)"
                )
                is_half = begun is not None and begun.state is GenerationState.BUILDING
                if begun is not None and is_half and begun.number != generation.number:
                    self._drop(begun)
            self.ledger.generations.change_state(generation, GenerationState.LOST)
        self.open_generation(None)

    def drop_unread(self, generation: Generation) -> None:
        """A generation that readers are not on, and that is not wanted any more. Its files go at once if they
        never were; else when nobody can be reading them. Its batches that were not sent are cancelled.
        """
        with self.ledger.transaction():
            self._drop(generation)
        sent = [job for job in self.ledger.jobs.open(Lane.BATCH) if job.generation == generation.number]
        if sent:
            texts = sum(job.texts for job in sent)
            self.warn(
                f"generation {generation.number}: what was sent for it already goes on ({len(sent)} batches,"
                f" {texts:,} texts); its vectors are kept in the cache"
            )
        self.open_generation(None)
        if generation.promoted_at is None:
            remove_table(self.data_dir, generation.table)

    def mark_caught_up(self) -> None:
        """The generation is as new as the disk again: answers need not tell how far it is behind."""
        if self.generation is not None and self.generation.behind is not None:
            self.generation = self.ledger.generations.record_behind(self.generation, None)
            self.publish()

    def state_of_files(self, generation: Generation) -> FilesState:
        """What has become of the table's files since they were last known good. What a killed run left beside
        them is part of no version that anybody was sent to.
        """
        known = self.ledger.table_files.below(table_folder(generation.table))
        now = table_files(self.data_dir, generation.table)
        if any(now.get(path) != stat for path, stat in known.items()):
            return FilesState.TOUCHED
        return FilesState.KNOWN if generation.manifest in known else FilesState.NEW

    def distrust_table(self, table: str) -> None:
        """What its files looked like when they were good is lost: nothing in it may be taken on trust."""
        nowhere = {f"{table_folder(table)}/": (0, 0)}  # no file has this name
        self.ledger.table_files.replace(self.ledger.table_files.below(table_folder(table)), nowhere)

    def record_files(self) -> None:
        """The table's files, as they are now, are known good."""
        if self.generation is not None and self._table is not None:
            before = self.ledger.table_files.below(table_folder(self.generation.table))
            self.ledger.table_files.replace(before, table_files(self.data_dir, self.generation.table))

    def snapshot(self) -> Snapshot:
        """The current generation as readers are to see it, at the version that the ledger vouches for."""
        assert self.generation is not None, "no generation is open"
        return Snapshot.open(self.data_dir, published_from(self.generation, 0.0))

    def check_rows(self) -> None:
        """The table has as many rows as the ledger says: what is appended can't be there already.

        Raises TableMissingError.
        """
        assert self.generation is not None, "no generation is open"
        recorded = sum(self.ledger.documents.totals(self.generation.number))
        found = self.table().count()
        if found != recorded:
            raise TableMissingError(f"table {self.generation.table} has {found} rows, not {recorded}")

    def _drop(self, generation: Generation) -> None:
        self.ledger.generations.change_state(generation, GenerationState.DROPPED)
        self.ledger.documents.replace_all(generation.number, {})
        self.ledger.table_files.replace(self.ledger.table_files.below(table_folder(generation.table)), {})
        for job in self.ledger.jobs.open(Lane.BATCH):
            if job.generation == generation.number and job.state is JobState.PLANNED:
                self.ledger.waits.release(job.number)  # another generation may wait for the same texts
                reason = f"generation {generation.number} was dropped"
                self.ledger.jobs.change_state(job.number, JobState.CANCELLED, self.clock.now(), reason)
        self.ledger.waits.forget(generation.number, self.ledger.waits.all(generation.number))

    def _next_number(self) -> int:
        numbers = [generation.number for generation in self.ledger.generations.all()]
        numbers += [int(name[1:]) for name in tables_on_disk(self.data_dir) if name[1:].isdigit()]
        with contextlib.suppress(StoreError):
            published = self.pointer.read()
            numbers += [published.generation] if published is not None else []
        return max([0, *numbers]) + 1


def published_from(generation: Generation, now: float) -> Published:
    """What the pointer says when this generation, as it is now, is what readers see."""
    return Published(
        generation=generation.number,
        table=generation.table,
        version=generation.version,
        manifest=generation.manifest,
        recipe=generation.recipe,
        published_at=now,
        behind=generation.behind,
    )
