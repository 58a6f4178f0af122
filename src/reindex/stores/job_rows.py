"""Jobs in the ledger, and the keys they carry."""

from collections.abc import Sequence

from reindex.core.jobs import OPEN_STATES, Job, JobState, Lane, check_transition
from reindex.model import EmbeddingKey
from reindex.stores.sqlite import Database, Row

_FIRST_COLUMNS = "number, generation, lane, state, texts, tokens, created_at, updated_at, reason"
_KEYS_PER_STATEMENT = 2_000


class JobRows:
    """Jobs by number. The keys of a job are kept while it is open or failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(
        self,
        generation: int,
        lane: Lane,
        keys: Sequence[EmbeddingKey],
        tokens: int,
        now: float,
        *,
        model: str = "",
        usd: float = 0.0,
    ) -> int:
        """Write down what is about to be sent, before it is sent: the first commit. Returns the number."""
        with self._database.transaction():
            number = self._database.insert(
                "INSERT INTO jobs (generation, lane, state, texts, tokens, created_at, updated_at, reason,"
                " model, usd) VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, ?)",
                (generation, lane, JobState.PLANNED, len(keys), tokens, now, now, model, usd),
            )
            self._add_keys(number, keys)
        return number

    def grow(self, number: int, keys: Sequence[EmbeddingKey], tokens: int, usd: float, now: float) -> None:
        """More texts for a job that has not been sent."""
        with self._database.transaction():
            self._database.execute(
                "UPDATE jobs SET texts = texts + ?, tokens = tokens + ?, usd = usd + ?, updated_at = ?"
                " WHERE number = ?",
                (len(keys), tokens, usd, now, number),
            )
            self._add_keys(number, keys)

    def touch(self, number: int, now: float) -> None:
        """Something of it has moved on, its state has not."""
        self._database.execute("UPDATE jobs SET updated_at = ? WHERE number = ?", (now, number))

    def explain(self, number: int, reason: str, *, usd: float | None = None) -> None:
        """Why it stands where it does, and what it comes to cost; its state stays."""
        self._database.execute(
            "UPDATE jobs SET reason = ?, usd = coalesce(?, usd) WHERE number = ? AND"
            " (reason != ? OR usd != coalesce(?, usd))",
            (reason, usd, number, reason, usd),
        )

    def in_flight(self, keys: Sequence[EmbeddingKey]) -> dict[EmbeddingKey, int]:
        """Those that an open job of the batch lane carries, with its number."""
        found: dict[EmbeddingKey, int] = {}
        for start in range(0, len(keys), _KEYS_PER_STATEMENT):
            part = keys[start : start + _KEYS_PER_STATEMENT]
            rows = self._database.rows(
                "SELECT job_keys.key, jobs.number FROM job_keys JOIN jobs ON jobs.number = job_keys.job"  # noqa: S608
                f" WHERE job_keys.key IN ({','.join('?' * len(part))})"
                f" AND jobs.lane = 'batch' AND jobs.state IN ({_OPEN})",
                part,
            )
            found.update((EmbeddingKey(key), number) for key, number in rows)
        return found

    def texts_in_flight(self) -> int:
        """How many texts the open jobs of the batch lane carry."""
        row = self._database.one(
            f"SELECT coalesce(sum(texts), 0) FROM jobs WHERE lane = 'batch' AND state IN ({_OPEN})"  # noqa: S608
        )
        assert row is not None
        return int(row[0])

    def change_state(self, number: int, state: JobState, now: float, reason: str = "") -> None:
        """Move a job along the table of states."""
        with self._database.transaction():
            job = self.one(number)
            assert job is not None, f"there is no job {number}"
            check_transition(job.state, state)
            self._database.execute(
                "UPDATE jobs SET state = ?, updated_at = ?, reason = ? WHERE number = ?",
                (state, now, reason, number),
            )
            if state in {JobState.DONE, JobState.CANCELLED}:
                self._database.execute("DELETE FROM job_keys WHERE job = ?", (number,))

    def all(self) -> list[Job]:
        """Newest first."""
        return [
            _job(row)
            for row in self._database.rows(f"SELECT {self._columns} FROM jobs ORDER BY number DESC")  # noqa: S608
        ]

    def open(self, lane: Lane) -> list[Job]:
        """Newest first. Reads no other jobs."""
        rows = self._database.rows(
            f"SELECT {self._columns} FROM jobs WHERE lane = ? AND state IN ({_OPEN})"  # noqa: S608
            " ORDER BY number DESC",
            (lane,),
        )
        return [_job(row) for row in rows]

    def one(self, number: int) -> Job | None:
        row = self._database.one(f"SELECT {self._columns} FROM jobs WHERE number = ?", (number,))  # noqa: S608
        return None if row is None else _job(row)

    def keys(self, number: int) -> list[EmbeddingKey]:
        rows = self._database.rows("SELECT key FROM job_keys WHERE job = ? ORDER BY key", (number,))
        return [EmbeddingKey(row[0]) for row in rows]

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state; every state is there."""
        found: dict[str, int] = dict(self._database.rows("SELECT state, count(*) FROM jobs GROUP BY state"))
        return {state: int(found.get(state.value, 0)) for state in JobState}

    def forget_ended(self, before: float, kept: int) -> None:
        """Drop jobs that ended before then, and those that ended and are not of the latest `kept`, batches
        excepted. Mostly there are none: then nothing is written, and only those are looked at.
        """
        doomed = self._database.rows(
            f"SELECT number FROM jobs WHERE state NOT IN ({_OPEN}) AND updated_at < ?"  # noqa: S608
            " UNION SELECT number FROM jobs WHERE number <= (SELECT max(number) FROM jobs) - ?"
            f" AND state NOT IN ({_OPEN}) AND lane != 'batch'",
            (before, kept),
        )
        if not doomed:
            return
        with self._database.transaction():
            self._database.execute_many("DELETE FROM job_keys WHERE job = ?", doomed)
            self._database.execute_many("DELETE FROM batches WHERE job = ?", doomed)
            self._database.execute_many("DELETE FROM jobs WHERE number = ?", doomed)

    def _add_keys(self, number: int, keys: Sequence[EmbeddingKey]) -> None:
        self._database.execute_many(
            "INSERT INTO job_keys (job, key) VALUES (?, ?)", ((number, key) for key in keys)
        )

    @property
    def _columns(self) -> str:
        """A ledger of an older version is read before a writer has brought it up."""
        if self._database.one("SELECT 1 FROM sqlite_master WHERE name = 'batches'") is None:
            return _FIRST_COLUMNS
        return f"{_FIRST_COLUMNS}, model, usd"


_OPEN = ", ".join(f"'{state.value}'" for state in sorted(OPEN_STATES))  # as the indices `jobs_*` have it


def _job(row: Row) -> Job:
    number, generation, lane, state, *rest = row
    return Job(number, generation, Lane(lane), JobState(state), *rest)
