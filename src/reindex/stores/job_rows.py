"""Jobs in the ledger, the keys they carry, and what was spent on them."""

from collections.abc import Sequence

from reindex.core.jobs import OPEN_STATES, Job, JobState, Lane, check_transition
from reindex.model import EmbeddingKey
from reindex.stores.sqlite import Database, Row

_COLUMNS = "number, generation, lane, state, texts, tokens, created_at, updated_at, reason"


class JobRows:
    """Jobs by number. The keys of a job are kept while it is open or failed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(
        self, generation: int, lane: Lane, keys: Sequence[EmbeddingKey], tokens: int, now: float
    ) -> int:
        """Write down what is about to be sent, before it is sent: the first commit. Returns the number."""
        with self._database.transaction():
            number = self._database.insert(
                "INSERT INTO jobs (generation, lane, state, texts, tokens, created_at, updated_at, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, '')",
                (generation, lane, JobState.PLANNED, len(keys), tokens, now, now),
            )
            self._database.execute_many(
                "INSERT INTO job_keys (job, key) VALUES (?, ?)", ((number, key) for key in keys)
            )
        return number

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
        return [_job(r) for r in self._database.rows(f"SELECT {_COLUMNS} FROM jobs ORDER BY number DESC")]  # noqa: S608

    def open(self, lane: Lane) -> list[Job]:
        return [job for job in self.all() if job.lane is lane and job.state in OPEN_STATES]

    def one(self, number: int) -> Job | None:
        row = self._database.one(f"SELECT {_COLUMNS} FROM jobs WHERE number = ?", (number,))  # noqa: S608
        return None if row is None else _job(row)

    def keys(self, number: int) -> list[EmbeddingKey]:
        rows = self._database.rows("SELECT key FROM job_keys WHERE job = ? ORDER BY key", (number,))
        return [EmbeddingKey(row[0]) for row in rows]

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state; every state is there."""
        found: dict[str, int] = dict(self._database.rows("SELECT state, count(*) FROM jobs GROUP BY state"))
        return {state: int(found.get(state.value, 0)) for state in JobState}

    def forget_done(self, before: float) -> None:
        """Drop finished jobs that ended before then: the history is bounded."""
        self._database.execute(
            "DELETE FROM jobs WHERE state IN ('done', 'cancelled') AND updated_at < ?", (before,)
        )

    def add_spend(self, lane: Lane, texts: int, tokens: int, usd: float) -> None:
        """Count what was sent to a model, for the store's life."""
        self._database.execute(
            "INSERT INTO spend (lane, texts, tokens, usd) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (lane) DO UPDATE SET texts = texts + excluded.texts,"
            " tokens = tokens + excluded.tokens, usd = usd + excluded.usd",
            (lane, texts, tokens, usd),
        )

    def spend(self) -> tuple[int, float]:
        """(tokens, usd) over the store's life, all lanes."""
        row = self._database.one("SELECT coalesce(sum(tokens), 0), coalesce(sum(usd), 0.0) FROM spend")
        assert row is not None
        return int(row[0]), float(row[1])


def _job(row: Row) -> Job:
    number, generation, lane, state, *rest = row
    return Job(number, generation, Lane(lane), JobState(state), *rest)
