"""The thread in which batches go from one status to the next."""

from __future__ import annotations

import math
import threading

from reindex.dev_openai.batch_faults import Fails, GoneOutput, Halfway, Stuck
from reindex.dev_openai.batch_input import Contents, Problem, read_input
from reindex.dev_openai.batch_output import Execution
from reindex.dev_openai.batches import Batch, Batches, Status
from reindex.dev_openai.bill import Bill
from reindex.dev_openai.embedder import Embedder
from reindex.dev_openai.files import Files
from reindex.dev_openai.options import Clock, Options
from reindex.dev_openai.refusals import Refusal

_LOOK_S = 1.0  # at the latest, should the machine's clock jump
_JOIN_S = 30.0
_ORGANIZATION = "org-standin"


class BatchWorker:
    """Runs from `start` to `stop`. A batch leaves a status after `Options.stage_s`, unless held or stuck."""

    def __init__(
        self, batches: Batches, files: Files, embedder: Embedder, bill: Bill, clock: Clock, options: Options
    ) -> None:
        self._batches, self._files, self._embedder, self._bill = batches, files, embedder, bill
        self._clock, self._options = clock, options
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="dev-openai-batches", daemon=True)
        clock.on_advance(self.wake)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the group of lines that is under way."""
        self._is_stopping = True
        self.wake()
        self._thread.join(_JOIN_S)

    def wake(self) -> None:
        """Something may be due."""
        with self._batches.changed:
            self._batches.changed.notify_all()

    def finish(self, batch: Batch, limit_s: float = 60.0) -> None:
        """Neither held, stuck nor delayed any more; return when it is over. Raises TimeoutError."""
        with self._batches.changed:
            batch.is_hurried = True
            self._batches.changed.notify_all()
            if not self._batches.changed.wait_for(lambda: not batch.is_open, limit_s):
                raise TimeoutError(f"{batch.id} is {batch.status} after {limit_s} s")

    def release(self) -> None:
        """No status is held any more."""
        with self._batches.changed:
            self._options.hold.clear()
            self._batches.changed.notify_all()

    def _run(self) -> None:
        while not self._is_stopping:
            with self._batches.changed:
                now = self._clock.now()
                open_ones = [batch for batch in self._batches.all() if batch.is_open]
                due, batch = min(
                    ((self._due(batch), batch) for batch in open_ones),
                    key=lambda pair: pair[0],
                    default=(math.inf, None),
                )
                if batch is None or due > now:
                    self._batches.changed.wait(max(0.0, min(due - now, _LOOK_S)))
                    continue
            self._step(batch)

    def _due(self, batch: Batch) -> float:
        """When it leaves its status, on the server's clock."""
        if batch.is_hurried:
            return batch.entered
        if any(isinstance(fault, Stuck) and fault.status == batch.status for fault in batch.faults):
            return math.inf
        at = batch.entered + self._options.stage_s.get(batch.status, 0.0)
        if batch.status in self._options.hold:
            at = math.inf
        return min(at, batch.expires_at) if batch.status == Status.IN_PROGRESS else at

    def _step(self, batch: Batch) -> None:
        match batch.status:
            case Status.VALIDATING:
                self._validate(batch)
            case Status.IN_PROGRESS:
                self._work(batch)
            case Status.FINALIZING:
                self._end(batch, Status.COMPLETED)
            case Status.CANCELLING:
                if batch.contents is not None and not batch.is_executed:
                    self._execute(batch, self._share_done(batch), Status.CANCELLED)
                self._end(batch, Status.CANCELLED)
            case _:
                raise AssertionError(f"{batch.status} is an end")

    def _validate(self, batch: Batch) -> None:
        problems = self._read(batch)
        with self._batches.changed:
            if batch.status is not Status.VALIDATING:  # cancelled meanwhile
                return
            batch.problems = problems
            if batch.contents is not None:
                batch.total = len(batch.contents.offsets)
            self._batches.move(batch, Status.FAILED if problems else Status.IN_PROGRESS)

    def _read(self, batch: Batch) -> list[Problem]:
        path = self._files.new_path()
        try:
            file = self._files.get(batch.input_file_id, is_fresh_missing=False)
            path.hardlink_to(file.path)  # it may be deleted, or expire, while the batch runs
        except (Refusal, OSError):
            return [Problem("file_not_found", f"The input file {batch.input_file_id} can't be read.")]
        contents, problems = read_input(path, batch.endpoint, self._options)
        problems = problems or self._problems_of_account(batch, contents)
        if problems:
            path.unlink()
        else:
            batch.contents = contents
        return problems

    def _problems_of_account(self, batch: Batch, contents: Contents) -> list[Problem]:
        fails = next((fault for fault in batch.faults if isinstance(fault, Fails)), None)
        if fails is not None:
            return [
                Problem(fails.code, fails.message or self._message(fails.code, contents.model), fails.line)
            ]
        queued = sum(
            other.contents.tokens
            for other in self._batches.all()
            if other.is_open and other.contents is not None and other.contents.model == contents.model
        )
        limit = self._options.queue_tokens_max
        if limit and queued + contents.tokens > limit:
            return [Problem("token_limit_exceeded", self._message("token_limit_exceeded", contents.model))]
        return []

    def _message(self, code: str, model: str) -> str:
        if code == "token_limit_exceeded":
            return (
                f"Enqueued token limit reached for {model} in organization {_ORGANIZATION}. "
                f"Limit: {self._options.queue_tokens_max:,} enqueued tokens. "
                "Please try again once some in_progress batches have been completed."
            )
        if code == "billing_hard_limit_reached":
            return "Billing hard limit has been reached."
        return f"The batch failed: {code}."

    def _work(self, batch: Batch) -> None:
        halfway = next((fault for fault in batch.faults if isinstance(fault, Halfway)), None)
        is_late = not batch.is_hurried and self._clock.now() >= batch.expires_at
        if halfway is None and not is_late:
            self._execute(batch, 1.0, Status.COMPLETED)
            with self._batches.changed:
                if batch.status is Status.IN_PROGRESS:
                    self._batches.move(batch, Status.FINALIZING)
            return
        ending = Status(halfway.ending) if halfway is not None else Status.EXPIRED
        self._execute(batch, halfway.share if halfway is not None else self._share_done(batch), ending)
        if ending is Status.FAILED:
            batch.problems = [Problem("server_error", "The batch failed while it was processed.")]
        self._end(batch, ending)

    def _share_done(self, batch: Batch) -> float:
        """Of a batch that is stopped now: as a test has said, or by the time it had."""
        if batch.progress is not None:
            return batch.progress
        begun = batch.stamps.get(Status.IN_PROGRESS)
        stage_s = self._options.stage_s.get(Status.IN_PROGRESS, 0.0)
        if begun is None or stage_s <= 0:
            return 0.0
        stopped = batch.stamps.get(Status.CANCELLING, self._clock.now())
        return min(1.0, max(0.0, (stopped - begun) / stage_s))

    def _execute(self, batch: Batch, share: float, ending: Status) -> None:
        def now_ending() -> Status:
            if self._is_stopping or batch.status is Status.CANCELLING:
                return Status.CANCELLED
            return ending

        execution = Execution(batch, self._files, self._embedder, self._bill, self._options)
        execution.run(share, now_ending)
        batch.is_executed = True

    def _end(self, batch: Batch, ending: Status) -> None:
        if batch.output_file_id and any(isinstance(fault, GoneOutput) for fault in batch.faults):
            self._files.discard(batch.output_file_id)
        with self._batches.changed:
            if batch.status is Status.CANCELLING and ending is not Status.CANCELLED:
                return  # cancelled meanwhile: the next step
            if batch.contents is not None:
                batch.contents.path.unlink(missing_ok=True)
            self._batches.move(batch, ending)
