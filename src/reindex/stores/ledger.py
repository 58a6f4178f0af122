"""The ledger: one SQLite file that knows what was seen, what each generation holds, jobs and failures."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from reindex.core.generations import Generation
from reindex.core.jobs import JobState
from reindex.model import DocumentName
from reindex.stores.batch_rows import BatchRows
from reindex.stores.booking_rows import BookingRows
from reindex.stores.document_rows import DocumentRows, RecordedDocument
from reindex.stores.failure_rows import FailureRows
from reindex.stores.file_rows import FileRows
from reindex.stores.generation_rows import GenerationRows
from reindex.stores.job_rows import JobRows
from reindex.stores.ledger_schema import MIGRATIONS
from reindex.stores.settled_rows import SettledRows
from reindex.stores.sqlite import CorruptDatabaseError, Database, open_writable
from reindex.stores.sqlite_reading import open_readable
from reindex.stores.table_file_rows import TableFileRows
from reindex.stores.wait_rows import AttemptRows, WaitRows

FILE = "ledger.sqlite"


class Ledger:
    """Opened under the writer's lock, or read-only beside a writer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.files = FileRows(database)
        self.settled = SettledRows(database)
        self.generations = GenerationRows(database)
        self.documents = DocumentRows(database)
        self.failures = FailureRows(database)
        self.jobs = JobRows(database)
        self.batches = BatchRows(database)
        self.waits = WaitRows(database)
        self.attempts = AttemptRows(database)
        self.bookings = BookingRows(database)
        self.table_files = TableFileRows(database)

    @staticmethod
    def open(data_dir: Path) -> "Ledger":
        """Open for writing; made if absent. The whole file is checked: damage raises CorruptDatabaseError."""
        ledger = Ledger(open_writable(data_dir / FILE, MIGRATIONS, check=True))
        try:
            ledger._check(data_dir / FILE)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @staticmethod
    def open_beside(data_dir: Path) -> "Ledger":
        """Open for writing beside the writer, for what only adds to sums. Raises StoreError."""
        return Ledger(open_writable(data_dir / FILE, MIGRATIONS))

    @staticmethod
    def open_for_reading(data_dir: Path) -> "Ledger | None":
        """None when there is no ledger yet. Writes nothing."""
        database = open_readable(data_dir / FILE, MIGRATIONS)
        return Ledger(database) if database is not None else None

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside, or nothing."""
        with self._database.transaction():
            yield

    def record(
        self,
        generation: Generation,
        *,
        version: int,
        manifest: str,
        upserts: Mapping[DocumentName, RecordedDocument],
        deletes: Sequence[DocumentName],
        job: int | None,
        now: float,
        heals: bool,
    ) -> Generation:
        """The fourth commit: these documents stand at these revisions, at this Lance version; the job is
        done; they are failures no more, if this generation `heals` (those are the live one's). Returns the
        generation as it is now.
        """
        with self._database.transaction():
            self.documents.record(generation.number, upserts, deletes)
            if self.waits.any():
                self.waits.forget(generation.number, (*upserts, *deletes))
            if heals:
                self.failures.forget((*upserts, *deletes))
            if job is not None:
                self.jobs.change_state(job, JobState.DONE, now)
            return self.generations.record_version(generation, version, manifest)

    def _check(self, path: Path) -> None:
        """What SQLite takes for sound may still be no ledger: a flipped bit in a name, a number, a state."""
        try:
            self.generations.all()
            self.jobs.all()
            self.batches.all()
            self.failures.all()
            is_sound = self.documents.are_packed()
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptDatabaseError(path, f"it has a value that can't be: {error}") from error
        if not is_sound:
            raise CorruptDatabaseError(path, "it has a document whose keys are not whole")

    def note(self, name: str) -> str | None:
        """A small fact by name."""
        row = self._database.one("SELECT value FROM notes WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    def record_note(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO notes (name, value) VALUES (?, ?)", (name, value))

    def forget_notes(self, prefix: str) -> None:
        """All whose names begin so."""
        self._database.execute("DELETE FROM notes WHERE substr(name, 1, length(?)) = ?", (prefix, prefix))
