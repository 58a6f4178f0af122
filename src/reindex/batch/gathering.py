"""Texts into the input file of a batch that grows, job after job.

A text is in the file, and the file on the disk, before the ledger says so: what stands behind the length that
the ledger knows was never committed, and is cut off when the file is taken up again.
"""

import hashlib
import math
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from reindex.batch.context import BatchContext
from reindex.core.batches import BatchRecord
from reindex.core.canary import CANARY_ID, CANARY_TEXT
from reindex.core.generations import Generation
from reindex.core.jobs import Job, JobState, Lane
from reindex.core.lanes import BatchLimits, seal_reason
from reindex.direct import Text
from reindex.errors import DiskError
from reindex.model import DocumentName, EmbeddingKey, Revision
from reindex.stores.wait_rows import Wait

_FLUSH_TEXTS = 2_000
_HASH_BYTES = 1 << 20


@dataclass(slots=True)
class _Growing:
    """A job whose input file takes more texts. What is not flushed yet is in the file, not in the ledger."""

    number: int
    record: BatchRecord
    file: BinaryIO
    created_at: float
    texts: int = 0
    tokens: int = 0
    keys: list[EmbeddingKey] = field(default_factory=list)
    new_tokens: int = 0


class Gatherer:
    """Of one generation. Close it to flush; texts that were not flushed are planned again."""

    def __init__(self, context: BatchContext, generation: Generation, sent_dimensions: int | None) -> None:
        """`sent_dimensions` is what the server is asked for; None: nothing."""
        self._context = context
        self._generation = generation
        self._model = generation.recipe.model
        self._sent_dimensions = sent_dimensions
        self._limits = replace(limits(context, self._model), age_s=math.inf)  # a pass adds all it has
        self._job: _Growing | None = None
        self._waits: list[tuple[Wait, frozenset[int]]] = []
        self._unflushed: dict[EmbeddingKey, int] = {}
        self._has_failed = False  # while it flushed: what the ledger knows of it is not known here
        self.texts = 0

    def in_flight(self, keys: Sequence[EmbeddingKey]) -> dict[EmbeddingKey, int]:
        """Those of the keys that a job carries already, with its number."""
        found = self._context.stores.ledger.jobs.in_flight(keys)
        found.update((key, self._unflushed[key]) for key in keys if key in self._unflushed)
        return found

    def add(
        self,
        name: DocumentName,
        revision: Revision,
        parser: str,
        texts: Mapping[EmbeddingKey, Text],
        waits_for: set[int],
    ) -> None:
        """A document waits for these texts, and for the jobs that carry its others."""
        jobs = set(waits_for)
        for key, text in texts.items():
            job = self._growing()
            self._write(job, key.hex(), text.sent)
            job.keys.append(key)
            job.texts += 1
            job.tokens += text.tokens
            job.new_tokens += text.tokens
            self._unflushed[key] = job.number
            jobs.add(job.number)
            self.texts += 1
            if reason := self._full(job):
                self.seal(reason)
        wait = Wait(name, revision, parser, max(jobs), self._context.now)
        self._waits.append((wait, frozenset(jobs)))
        if len(self._unflushed) >= _FLUSH_TEXTS or len(self._waits) >= _FLUSH_TEXTS:
            self._flush()

    def close(self) -> None:
        """Everything is in the ledger. The job stays open for more."""
        try:
            if not self._has_failed:
                self._flush()
        finally:
            if self._job is not None:
                self._job.file.close()
                self._job = None

    def seal(self, reason: str) -> None:
        """The job that grows takes no more."""
        job = self._job
        if job is None:
            return
        self._flush()
        self._job = None
        job.file.close()
        seal(self._context, job.record, reason)

    def _growing(self) -> _Growing:
        if self._job is None:
            self._job = self._taken_up() or self._begun()
        return self._job

    def _taken_up(self) -> _Growing | None:
        """The job of this generation that was left to grow."""
        for job, record in growing(self._context):
            if job.generation != self._generation.number or job.model != self._model:
                continue
            file = self._context.input_file(job.number).open("r+b")
            file.truncate(record.size_bytes)
            file.seek(record.size_bytes)
            return _Growing(job.number, record, file, job.created_at, job.texts, job.tokens)
        return None

    def _begun(self) -> _Growing:
        """A new job. Its first line is the canary."""
        context, ledger = self._context, self._context.stores.ledger
        with ledger.transaction():
            number = ledger.jobs.enqueue(
                self._generation.number, Lane.BATCH, [], 0, context.now, model=self._model
            )
            record = BatchRecord(
                job=number,
                tag=f"{number}-{secrets.token_hex(6)}",
                account=context.provider.account,
                dimensions=self._generation.recipe.space.dimensions,
            )
            ledger.batches.save(record)
        job = _Growing(number, record, context.input_file(number).open("wb"), context.now)
        self._write(job, CANARY_ID, CANARY_TEXT)
        return job

    def _write(self, job: _Growing, custom_id: str, text: str) -> None:
        from reindex.embedders.batch_lines import input_line

        has_base64 = self._context.settings.has_base64
        line = input_line(custom_id, text, self._model, self._sent_dimensions, base64=has_base64)
        try:
            job.file.write(line)
        except OSError as error:
            raise _disk_error(Path(job.file.name), error) from error

    def _flush(self) -> None:
        """The file on the disk, then the ledger."""
        ledger, job, now = self._context.stores.ledger, self._job, self._context.now
        self._has_failed = True
        if job is not None:
            try:
                job.file.flush()
                os.fsync(job.file.fileno())
            except OSError as error:
                raise _disk_error(Path(job.file.name), error) from error
        with ledger.transaction():
            if job is not None:
                usd = self._context.prices_of(self._model).cost(Lane.BATCH, job.new_tokens)
                ledger.jobs.grow(job.number, job.keys, job.new_tokens, usd, now)
                job.record = replace(job.record, size_bytes=job.file.tell())
                ledger.batches.save(job.record)
            ledger.waits.record(self._generation.number, self._waits)
        if job is not None:
            job.keys, job.new_tokens = [], 0
        self._waits, self._unflushed = [], {}
        self._has_failed = False

    def _full(self, job: _Growing) -> str:
        """Why it takes no more; "" while it does."""
        return seal_reason(
            texts=job.texts + 1,  # and the canary
            size_bytes=job.file.tell(),
            tokens=job.tokens,
            age_s=0.0,
            limits=self._limits,
            is_last=False,
        )


def limits(context: BatchContext, model: str) -> BatchLimits:
    """Of one batch."""
    settings = context.settings
    return BatchLimits(
        texts=settings.batch_max_inputs,
        size_bytes=context.file_limit_bytes(),
        tokens=context.batch_tokens(model),
        age_s=settings.batch_max_wait_s,
    )


def growing(context: BatchContext) -> list[tuple[Job, BatchRecord]]:
    """Jobs that take more texts. One whose file was lost is given up: its texts are planned again."""
    ledger = context.stores.ledger
    found = []
    for job in ledger.jobs.open(Lane.BATCH):
        record = ledger.batches.one(job.number)
        if job.state is not JobState.PLANNED or record is None or record.sealed_by:
            continue
        path = context.input_file(job.number)
        if record.size_bytes == 0 or not path.exists() or path.stat().st_size < record.size_bytes:
            give_up(context, job, "its input file is gone: its texts are planned again")
        else:
            found.append((job, record))
    return found


def seal_due(context: BatchContext, *, is_last: bool) -> None:
    """Seal what is old enough; all of it when no more will come."""
    for job, record in growing(context):
        reason = seal_reason(
            texts=job.texts,
            size_bytes=record.size_bytes,
            tokens=job.tokens,
            age_s=context.now - job.created_at,
            limits=limits(context, job.model),
            is_last=is_last,
        )
        if reason:
            seal(context, record, reason)


def seal(context: BatchContext, record: BatchRecord, reason: str) -> None:
    """Write down why it grows no more, and what its file holds."""
    digest = file_digest(context.input_file(record.job), record.size_bytes)
    context.stores.ledger.batches.save(replace(record, sealed_by=reason, digest=digest))


def give_up(context: BatchContext, job: Job, reason: str) -> None:
    """A job that was never sent: what waits for it is planned again."""
    ledger = context.stores.ledger
    with ledger.transaction():
        ledger.waits.release(job.number)
        ledger.jobs.change_state(job.number, JobState.CANCELLED, context.now, reason)
    context.input_file(job.number).unlink(missing_ok=True)


def file_digest(path: Path, size_bytes: int) -> str:
    """sha256 of so many bytes from the start of a file, in hex; "" where it is shorter."""
    digest, left = hashlib.sha256(), size_bytes
    with path.open("r+b") as file:
        file.truncate(size_bytes)
        while left > 0 and (part := file.read(min(left, _HASH_BYTES))):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest() if left == 0 else ""


def _disk_error(path: Path, error: OSError) -> DiskError:
    return DiskError(f"{path} can't be written: {error.strerror or error}", "Free some space and run again.")
