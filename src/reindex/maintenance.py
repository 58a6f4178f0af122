"""Upkeep of the live table, between passes only: indices, compaction, pruning. Decided by statistics."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reindex.core.generations import TABLE_STATES, Generation, GenerationState
from reindex.core.identity import unpack_keys
from reindex.core.jobs import OPEN_STATES, Job, JobState, Lane
from reindex.meanwhile import run_beside
from reindex.model import EmbeddingKey
from reindex.recovery import recover_beside
from reindex.settings import Settings
from reindex.stores.booking_rows import Booking, Outcome
from reindex.stores.index import PRUNE_MARGIN_S
from reindex.stores.manifests import (
    prunable_versions,
    remove_table,
    table_bytes,
    tables_on_disk,
    versions_on_disk,
)
from reindex.writer import Writer

VERSIONS_MAX = 64  # this many versions that no reader can reach: prune them
VERSIONS_MIN = (
    8  # or this many, where much of the disk is theirs: after a first load and its compaction, half
)
GARBAGE_MIN_BYTES = 100 << 20
REQUEST_TEXTS_MAX = 2_048  # that one real-time request can carry
JOBS_KEPT_S = 30 * 86_400.0
JOBS_KEPT = 1_000  # those before are gone sooner; batches, which are few and cost money, go by age alone
_ROWS_OF_SETTING = 50_000  # up to here `optimize_small_fragments` is what it says


@dataclass(frozen=True, slots=True)
class GarbageReport:
    """What `gc` did. Sizes are of the whole data directory."""

    versions_removed: int
    tables_removed: int
    encoders_removed: int
    vectors_evicted: int
    bytes_before: int
    bytes_after: int


def maintain(writer: Writer, settings: Settings, meanwhile: Callable[[], None]) -> None:
    """After a pass that wrote: keep the indices and the fragments in shape. Each step is published, and
    `meanwhile` is called while it takes its time.
    """
    index = settings.index
    statistics = writer.table().statistics()
    if not statistics.has_vector_index and statistics.rows >= index.vector_index_min_rows:
        run_beside(writer.table().build_vector_index, meanwhile)
        writer.adopt_version()
    if (
        statistics.unindexed_rows >= index.optimize_unindexed_rows
        or statistics.small_fragments >= small_fragments_max(statistics.rows, index.optimize_small_fragments)
    ):
        run_beside(writer.table().optimise, meanwhile)
        writer.adopt_version()
    oldest = writer.oldest_version_in_reach()
    table = writer.table()
    name = table.name
    on_disk = table_bytes(writer.data_dir, name)
    found = prunable_versions(writer.data_dir, name, oldest, PRUNE_MARGIN_S)
    if found >= versions_max(on_disk, statistics.live_bytes):
        run_beside(lambda: table.prune(oldest, orphans=False), meanwhile)
        writer.adopt_version()


def versions_max(on_disk_bytes: int, live_bytes: int) -> int:
    """How many unreachable versions may stay: few where what is not of the latest version takes much room."""
    garbage = on_disk_bytes - live_bytes
    is_much = garbage > max(live_bytes // 2, GARBAGE_MIN_BYTES)
    return VERSIONS_MIN if is_much else VERSIONS_MAX


def small_fragments_max(rows: int, setting: int) -> int:
    """How many small files a table of that many rows may have before they are merged.

    To merge them LanceDB writes the indices over the ids again, all of them: 0.7 CPU s at 100,000 rows and 3
    at 1,000,000. Each file that waits costs each edit half a millisecond. The sum of both is least where
    the number of files goes with the square root of the rows.
    """
    return max(setting, round(setting * math.sqrt(rows / _ROWS_OF_SETTING)))


def collect_garbage(writer: Writer, settings: Settings) -> GarbageReport:
    """Remove what nobody can reach any more: old versions, lost tables, files of killed writers, encoders of
    models that no generation has, and vectors over the cache's limit that no kept generation uses.
    """
    before = folder_bytes(writer.data_dir)
    _drop_old_generations(writer, settings.index.keep_generations)
    versions_removed = _prune_tables(writer)
    tables_removed = _remove_unknown_tables(writer)
    evicted = 0
    if settings.embedding.cache_max_gb:
        limit = int(settings.embedding.cache_max_gb * 1e9)
        evicted = writer.cache.evict(limit, _keys_in_use(writer))
    return GarbageReport(
        versions_removed=versions_removed,
        tables_removed=tables_removed,
        encoders_removed=_remove_unused_encoders(writer),
        vectors_evicted=evicted,
        bytes_before=before,
        bytes_after=folder_bytes(writer.data_dir),
    )


def tidy_jobs(writer: Writer) -> None:
    """Close jobs that a killed run left open, and that live in a run alone (their vectors are cached); bound
    the history.
    """
    jobs = writer.ledger.jobs
    for job in jobs.open(Lane.REALTIME):
        _count_unanswered(writer, job)
    for job in [*jobs.open(Lane.LOCAL), *jobs.open(Lane.REALTIME)]:
        jobs.change_state(
            job.number, JobState.CANCELLED, writer.clock.now(), "the run that made it was interrupted"
        )
    jobs.forget_ended(writer.clock.now() - JOBS_KEPT_S, JOBS_KEPT)


def _count_unanswered(writer: Writer, job: Job) -> None:
    """A killed run may have been sent one answer more than it could keep: those texts may be paid twice."""
    keys = writer.ledger.jobs.keys(job.number)
    missing = len(keys) - len(writer.cache.present(keys))
    if missing:
        texts = min(missing, REQUEST_TEXTS_MAX)
        booking = Booking(Lane.REALTIME, job.model, Outcome.AGAIN_LOST, texts)
        writer.ledger.bookings.add(booking, writer.clock.now())


def folder_bytes(folder: Path) -> int:
    """The size of all files below a folder; files that vanish meanwhile count nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_size
        except OSError:
            continue
    return total


def _prune_tables(writer: Writer) -> int:
    """Old versions of the live table, and of those that are kept for a rollback."""
    removed = _prune(writer) if writer.is_live else 0
    for generation in writer.ledger.generations.all():
        if generation.state is GenerationState.RETIRED:
            beside = Writer(writer.stores, generation)
            recover_beside(beside)
            removed += _prune(beside) if beside.generation is not None else 0
    return removed


def _prune(writer: Writer) -> int:
    table = writer.table()
    before = len(versions_on_disk(writer.data_dir, table.name))
    table.prune(writer.oldest_version_in_reach(), orphans=True)
    writer.adopt_version()
    return max(0, before - len(versions_on_disk(writer.data_dir, table.name)))


def _drop_old_generations(writer: Writer, keep: int) -> None:
    """Retired ones that are more than are to be kept, beside the live one, and that no reader can be on."""
    retired = [g for g in writer.ledger.generations.all() if g.state is GenerationState.RETIRED]
    retired.sort(key=lambda generation: generation.promoted_at or 0.0, reverse=True)
    for generation in retired[keep - 1 :]:
        if not _is_in_reach(writer, generation):
            Writer(writer.stores).drop_unread(generation)


def _is_in_reach(writer: Writer, generation: Generation) -> bool:
    """Whether the pointer left it so lately that a reader may still be on it."""
    since = writer.clock.now() - writer.stores.reader_grace_s
    return bool(writer.ledger.generations.versions_in_reach(generation.number, since))


def _remove_unknown_tables(writer: Writer) -> int:
    """Tables that no generation of the ledger claims (a crash while one was made), and lost or dropped ones;
    but never one that readers may be on: the pointer names it, or left it lately.
    """
    generations = writer.ledger.generations.all()
    claimed = {g.table for g in generations if g.state in TABLE_STATES or _is_in_reach(writer, g)}
    published = writer.pointer.read()
    if published is not None:
        claimed.add(published.table)
    doomed = [name for name in tables_on_disk(writer.data_dir) if name not in claimed]
    for name in doomed:
        remove_table(writer.data_dir, name)
    for generation in generations:
        if generation.state is GenerationState.LOST and generation.table not in claimed:
            Writer(writer.stores).drop_unread(generation)
    return len(doomed)


def _remove_unused_encoders(writer: Writer) -> int:
    from reindex.embedders.onnx_files import OnnxFiles  # numpy and onnxruntime, for this command only

    files = OnnxFiles(writer.data_dir)
    spaces = [g.recipe.space for g in writer.ledger.generations.all() if g.state in TABLE_STATES]
    wanted = {files.folder_of(space.model_digest, space.precision) for space in spaces}
    return files.remove_others(wanted, writer.clock.now())


def _keys_in_use(writer: Writer) -> set[EmbeddingKey]:
    used: set[EmbeddingKey] = set()
    for generation in writer.ledger.generations.all():
        for document in writer.ledger.documents.all(generation.number).values():
            used.update(unpack_keys(document.keys))
    for job in writer.ledger.jobs.all():
        if job.state in OPEN_STATES:
            used.update(writer.ledger.jobs.keys(job.number))
    return used
