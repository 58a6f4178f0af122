"""What every step of the batch lane works with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reindex.core.jobs import Job, JobState, Lane
from reindex.core.money import Budget, Prices
from reindex.model import DAY_S
from reindex.opening import Stores
from reindex.ports import BatchProvider
from reindex.settings import OpenAISettings

FOLDER = "batches"
LEARNED_S = 6 * 3_600.0  # then a limit is tried out again: a refusal costs nothing
_SENT = frozenset({JobState.SUBMITTING, JobState.SUBMITTED})
_PAUSE_COUNTS_S = 3_600.0  # after its end: the next is longer
_PAUSE_NOTE = "batches paused of "
_QUEUE_NOTE = "batch queue limit of "
_FILE_NOTE = "batch file limit of "


@dataclass(frozen=True, slots=True)
class BatchContext:
    """Stores that are open for writing, the server, and the limits that hold. `prices_of` takes a model;
    `meanwhile` is called now and then where something takes long: other work may be done in it.
    """

    stores: Stores
    provider: BatchProvider
    settings: OpenAISettings
    prices_of: Callable[[str], Prices]
    meanwhile: Callable[[], None] = lambda: None

    @property
    def now(self) -> float:
        return self.stores.clock.now()

    def folder(self) -> Path:
        """Where input and output files stand while they are needed."""
        folder = self.stores.data_dir / FOLDER
        folder.mkdir(exist_ok=True)
        return folder

    def input_file(self, job: int) -> Path:
        return self.folder() / f"{job}.input.jsonl"

    def prices(self, job: Job) -> Prices:
        return self.prices_of(job.model)

    def budget(self) -> Budget:
        """Of this day: what is booked, and what batches that were sent today are estimated to cost."""
        ledger, today = self.stores.ledger, self.now // DAY_S
        reserved = 0.0
        for job in ledger.jobs.open(Lane.BATCH):
            record = ledger.batches.one(job.number)
            sent_at = record.submitting_at if record is not None else None
            if sent_at is not None and sent_at // DAY_S == today:
                reserved += job.usd
        used = ledger.bookings.spent_on_documents(self.now) + reserved
        return Budget(self.settings.budget_usd_per_day, used)

    def enqueued_tokens(self, model: str) -> int:
        """Of a model, in batches that were sent and have not ended: the provider limits them."""
        jobs = self.stores.ledger.jobs.open(Lane.BATCH)
        return sum(job.tokens for job in jobs if job.model == model and job.state in _SENT)

    def first_seen(self, job: int, what: str) -> float:
        """Since when something is so: remembered from now on, if it was not before."""
        note = note_of(job, f"first seen: {what}")
        known = self.stores.ledger.note(note)
        if known is None:
            self.stores.ledger.record_note(note, str(self.now))
        return self.now if known is None else float(known)

    def first_missed(self, job: int, remote_id: str) -> float:
        """Since when the provider does not know a batch or a file."""
        return self.first_seen(job, f"{remote_id} is missing")

    def forget_missed(self, job: int, remote_id: str) -> None:
        """The provider knows it: if it ever is missing again, that is another time."""
        note = note_of(job, f"first seen: {remote_id} is missing")
        if self.stores.ledger.note(note) is not None:
            self.stores.ledger.forget_notes(note)

    def forget_notes(self, job: int) -> None:
        """The job has ended."""
        self.stores.ledger.forget_notes(note_of(job, ""))

    def pause(self, model: str, seconds: float, reason: str) -> None:
        """Send no batch of this model for some time."""
        self.stores.ledger.record_note(_PAUSE_NOTE + model, f"{self.now + seconds} {seconds} {reason}")

    def paused(self, model: str) -> str:
        """Why none is sent now; "" when it is."""
        until, seconds, reason = (self.stores.ledger.note(_PAUSE_NOTE + model) or "0 0 ").split(" ", 2)
        return reason if 0 < float(until) - self.now <= float(seconds) else ""

    def last_pause_s(self, model: str) -> float:
        """How long the last one was; 0: there was none lately."""
        until, seconds, _ = (self.stores.ledger.note(_PAUSE_NOTE + model) or "0 0 ").split(" ", 2)
        return float(seconds) if self.now - float(until) < _PAUSE_COUNTS_S else 0.0

    def batch_tokens(self, model: str) -> int:
        """Of one batch; 0: no limit is known. Half of the queue, and of what may be spent in a day, so that
        one may wait while another is worked on.
        """
        usd_each = self.prices_of(model).cost(Lane.BATCH, 1)
        budget = self.settings.budget_usd_per_day / usd_each if usd_each else 0.0
        limits = [int(limit / 2) for limit in (self.queue_limit(model), budget) if limit]
        return max(1, min(limits)) if limits else 0

    def file_limit_bytes(self) -> int:
        """Of an input file: as it is set, or less, where the server refused one of twice that size."""
        known = self._learned(_FILE_NOTE + self.provider.account)
        limit = int(self.settings.batch_max_mb * 1e6)
        return min(limit, known) if known else limit

    def learn_file_limit(self, refused_bytes: int) -> None:
        """The server refused a file of that size for its size."""
        note = _FILE_NOTE + self.provider.account
        self._learn(note, min(refused_bytes, self.file_limit_bytes()) // 2)

    def queue_limit(self, model: str) -> int:
        """Tokens that may be enqueued at a time; 0: nobody knows yet."""
        if self.settings.batch_queue_tokens:
            return self.settings.batch_queue_tokens
        return self._learned(_QUEUE_NOTE + model)

    def learn_queue_limit(self, model: str, tokens: int) -> None:
        """The server said so, or refused so many."""
        self._learn(_QUEUE_NOTE + model, tokens)

    def _learn(self, note: str, limit: int) -> None:
        self.stores.ledger.record_note(note, f"{max(1, limit)} {self.now}")

    def _learned(self, note: str) -> int:
        """A limit that was learned within LEARNED_S; 0: none. Accounts grow, and a refusal may have been for
        what others had enqueued.
        """
        limit, _, at = (self.stores.ledger.note(note) or "0 0").partition(" ")
        is_fresh = abs(self.now - float(at or 0)) < LEARNED_S
        return int(limit) if is_fresh else 0


def note_of(job: int, what: str) -> str:
    """The name of a note that ends with its job."""
    return f"job {job}: {what}"


def sweep(stores: Stores) -> None:
    """Remove the files of jobs that are over: a run ended before it did."""
    folder = stores.data_dir / FOLDER
    if not folder.exists():
        return
    kept = {str(job.number) for job in stores.ledger.jobs.open(Lane.BATCH)}
    for path in folder.iterdir():
        if path.name.partition(".")[0] not in kept:
            path.unlink(missing_ok=True)
