"""What a batch that has ended gave: every good vector first, whatever state it ended in.

    download -> canary -> verify line by line -> [cache] -> account for every text -> [ledger: done]

A crash anywhere begins again with the download; vectors are filed under their keys, so that nothing is paid
or counted twice. What got no vector is not sent again from here: the documents that wait for it are planned
anew.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reindex.batch.closing import Collected, close, has_failed
from reindex.batch.context import BatchContext
from reindex.canary import canary_fault
from reindex.core.batches import (
    BatchRecord,
    RemoteBatch,
)
from reindex.core.canary import CANARY_ID
from reindex.core.jobs import Job
from reindex.embedders.batch_lines import Expected, LineGroup, key_of_line, read_groups
from reindex.errors import DiskError, GoneError
from reindex.model import EmbeddingKey

_BLOCK_BYTES = 1 << 18  # stays in the processor's cache
_CANARY, _ID_FIELD = f'"{CANARY_ID}"'.encode(), b'"custom_id"'
_ID_BYTES = 64  # that name, some white space, and the canary's id


def collect(
    context: BatchContext,
    job: Job,
    record: BatchRecord,
    ended: Sequence[RemoteBatch],
    is_lost: Callable[[str], bool],
) -> Collected:
    """Take in what its batches gave (one, or twins), and close the job. `is_lost` says of a result file that
    the provider does not have whether it will never come.

    Raises OutageError and DiskError, and GoneError for a file that may still come: it is tried again.
    """
    wanted = set(context.stores.ledger.jobs.keys(job.number))
    found = Collected()
    for remote in ended:
        for file_id in (remote.output_file_id, remote.error_file_id):
            if file_id:
                try:
                    _take_file(context, job, record, file_id, wanted, found)
                except GoneError as error:
                    if not is_lost(file_id):
                        raise
                    context.stores.warn(f"job {job.number}: a result file is gone: {error.message}")
                else:
                    context.forget_missed(job.number, file_id)
    if has_failed(ended):
        _take_refused_lines(context, job, record, ended, wanted, found)
    close(context, job, record, found, wanted, ended)
    return found


def _take_refused_lines(
    context: BatchContext,
    job: Job,
    record: BatchRecord,
    ended: Sequence[RemoteBatch],
    wanted: set[EmbeddingKey],
    found: Collected,
) -> None:
    """Texts whose lines did not pass the validation. The provider names lines: its input file tells whose."""
    reasons = {error.line: error.message or error.code for each in ended for error in each.errors}
    if not any(reasons):
        return
    path = context.folder() / f"{job.number}.refused.jsonl"
    try:
        context.provider.download(record.file_id, path)
    except GoneError:
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number in reasons and (key := key_of_line(line)) in wanted:
                found.refused[key] = reasons[number]
    path.unlink()


def _take_file(
    context: BatchContext,
    job: Job,
    record: BatchRecord,
    file_id: str,
    wanted: set[EmbeddingKey],
    found: Collected,
) -> None:
    path = context.folder() / f"{job.number}.output.jsonl"
    try:
        context.provider.download(file_id, path)
        counts = found.wrong_tokens, found.unknown, found.canary_tokens
        torn = _read_file(context, job, record, path, wanted, found)
        if torn:  # the file may be whole there, whatever its size: once more
            found.wrong_tokens, found.unknown, found.canary_tokens = counts
            context.provider.download(file_id, path)
            _read_file(context, job, record, path, wanted, found)
            found.repeated = 0
    finally:
        path.unlink(missing_ok=True)


def _read_file(
    context: BatchContext,
    job: Job,
    record: BatchRecord,
    path: Path,
    wanted: set[EmbeddingKey],
    found: Collected,
) -> int:
    """How many of its lines can't be read."""
    expected = Expected(job.model, record.dimensions, cuts=not context.settings.send_dimensions)
    reason = _canary_fault(context, job, expected, path)
    torn = 0
    for group in _groups(path, expected):
        if reason:
            group.wrong.update(dict.fromkeys(group.keys, reason))
            group.wrong_tokens += sum(group.tokens)
            group.keys = []
        torn += group.torn
        _take_group(context, job, group, wanted, found)
        context.meanwhile()
    return torn


def _groups(path: Path, expected: Expected) -> Iterator[LineGroup]:
    try:
        with path.open("rb", buffering=1 << 20) as file:
            yield from read_groups(file, expected)
    except OSError as error:
        raise DiskError(f"{path} can't be read: {error.strerror or error}", "Check the disk.") from error


def _canary_fault(context: BatchContext, job: Job, expected: Expected, path: Path) -> str:
    """Why nothing in a result file can be believed; "" if its canary sings as ever, or is not in it."""
    for line in _canary_lines(path):
        for group in read_groups([line], expected):
            if group.canary is not None:
                return canary_fault(context.stores, job.model, group.canary)
    return ""


def _canary_lines(path: Path) -> Iterator[bytes]:
    """The lines of a result file that may be about the canary. Of the others only what stands before their
    id is looked at, which is little: the vectors come behind it.
    """
    with path.open("rb", buffering=_BLOCK_BYTES) as file:
        while block := file.read(_BLOCK_BYTES) + file.readline():
            end = 0
            while (at := block.find(_ID_FIELD, end)) >= 0:
                end = block.find(b"\n", at) + 1 or len(block)
                if _CANARY in block[at : at + _ID_BYTES]:
                    yield block[block.rfind(b"\n", 0, at) + 1 : end]


def _take_group(
    context: BatchContext,
    job: Job,
    group: LineGroup,
    wanted: set[EmbeddingKey],
    found: Collected,
) -> None:
    """The vectors into the cache, the rest to the account. The first valid line of a text counts."""
    fresh = []
    for position, key in enumerate(group.keys):
        if key not in wanted:
            found.unknown += 1
        elif key in found.keys:
            found.repeated += 1
        else:
            found.keys.add(key)
            found.tokens += group.tokens[position]
            fresh.append(position)
    if fresh:
        context.stores.cache.put(
            [group.keys[position] for position in fresh],
            group.vectors if len(fresh) == len(group.keys) else group.vectors[fresh],
            context.stores.today,
            newest_generation=job.generation,
        )
    found.unknown += group.unknown
    found.wrong_tokens += group.wrong_tokens
    found.canary_tokens += group.canary_tokens
    for into, part in (
        (found.refused, group.refused),
        (found.failed, group.failed),
        (found.wrong, group.wrong),
    ):
        into.update((key, reason) for key, reason in part.items() if key in wanted)
    found.skipped |= group.skipped & wanted
