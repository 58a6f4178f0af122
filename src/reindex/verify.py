"""Is the index equal to the disk? The disk is read now, whole, and compared with the published table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reindex.core.layout import DocumentLayout
from reindex.integrity import ExpectedRows, chunks_not_found, expected_rows, row_faults, sampled_chunks
from reindex.model import DocumentName
from reindex.observe import Observation
from reindex.preparing import Prepared, Preparer
from reindex.stores.failure_rows import Failure
from reindex.stores.snapshot import Snapshot, StoredChunk
from reindex.vectors import Vector

DEEP_SAMPLE_CHUNKS = 256
INDEX_SAMPLE_CHUNKS = 64
COSINE_MIN = 0.999
INDEX_HINT = (
    "an index is damaged; delete the folder `lance` of the data directory and run sync"
    " (texts in the vector cache are not embedded again)"
)


@dataclass(slots=True)
class Verification:
    """What was found. `missing`, `stale` and `extra` count documents; `duplicates`, `wrong_vectors` rows."""

    documents: int = 0
    chunks: int = 0
    missing: int = 0
    stale: int = 0
    extra: int = 0
    duplicates: int = 0
    wrong_vectors: int = 0
    pending: int = 0
    failed: int = 0
    held: int = 0
    details: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """No drift."""
        return not (self.missing or self.stale or self.extra or self.duplicates or self.wrong_vectors)

    def note(self, name: DocumentName, what: str) -> None:
        self.details.append(f"{name}: {what}")


def verify_index(
    snapshot: Snapshot,
    observation: Observation,
    failures: Mapping[DocumentName, Failure],
    held: Sequence[DocumentName],
    waiting: Sequence[DocumentName] = (),
) -> Verification:
    """Compare documents by revision, then each document's rows with what its layout says. `waiting` are those
    whose texts at the disk's revision are in a batch.
    """
    result = Verification()
    documents = {layout.name: expected_rows(layout) for layout in snapshot.layouts()}
    result.documents = len(documents)
    failing = _failing(observation, failures)
    result.failed = len(failing)
    result.held = len(held)
    excused_for_now = observation.unstable | set(waiting)
    result.pending = len(excused_for_now)
    excused = failing | set(held) | excused_for_now
    for name, revision in observation.documents():
        if name in excused:
            continue
        if name not in documents:
            result.missing += 1
            result.note(name, "on disk, not in the index")
        elif documents[name].revision != revision:
            result.stale += 1
            result.note(name, "the index has another revision")
    for name in documents:
        if observation.revision(name) is None and name not in excused:
            result.extra += 1
            result.note(name, "in the index, not on disk")
    _check_rows(snapshot, documents.values(), result)
    return result


def verify_deeply(
    snapshot: Snapshot,
    observation: Observation,
    preparer: Preparer,
    again: Callable[[StoredChunk], Vector | None],
    result: Verification,
    advance: Callable[[int], None],
) -> None:
    """Parse and chunk every document again and compare the keys; see that the indices find a sample; compare
    the vectors of a sample with what `again` gives for them (None: nothing to compare with).
    """
    for layout in snapshot.layouts():
        advance(1)
        if layout.revision != observation.revision(layout.name):
            continue
        prepared = preparer.prepare(layout.name)
        if isinstance(prepared, Prepared) and prepared.layout.revision == layout.revision:
            _compare(prepared, layout, result)
    sample = sampled_chunks(snapshot, DEEP_SAMPLE_CHUNKS)
    _ask_indices(snapshot, sample[:INDEX_SAMPLE_CHUNKS], result)
    _compare_vectors(sample, again, result)


def _compare(prepared: Prepared, layout: DocumentLayout, result: Verification) -> None:
    if prepared.layout.keys != layout.keys:
        result.stale += 1
        result.note(layout.name, "it parses to other chunks than the index has")
    elif prepared.layout.places != layout.places:
        result.stale += 1
        result.note(layout.name, "its chunks stand at other lines or headings than the index says")


def _failing(observation: Observation, failures: Mapping[DocumentName, Failure]) -> set[DocumentName]:
    """Failures that explain the disk as it is: at exactly this revision, or unreadable then and now."""
    return {name for name, failure in failures.items() if failure.revision == observation.revision(name)}


def _check_rows(snapshot: Snapshot, documents: Iterable[ExpectedRows], result: Verification) -> None:
    faults = row_faults(snapshot, documents)
    result.chunks = faults.chunks
    result.duplicates = len(faults.unwanted)
    result.details += [f"row {row}: not wanted by any document, or there twice" for row in faults.unwanted]
    result.wrong_vectors = len(faults.wrong)
    for name, row in faults.wrong:
        result.note(name, f"row {row} has a wrong text, key or vector")
    result.stale += len(faults.short)
    for name in faults.short:
        result.note(name, "some of its chunks are not in the index")


def _ask_indices(snapshot: Snapshot, sample: Sequence[StoredChunk], result: Verification) -> None:
    missed = chunks_not_found(snapshot, sample)
    result.stale += len({name for name, _ in missed})
    for name, what in missed:
        result.note(name, f"a chunk is not found by its own {what}: {INDEX_HINT}")


def _compare_vectors(
    sample: Sequence[StoredChunk], again: Callable[[StoredChunk], Vector | None], result: Verification
) -> None:
    for chunk in sorted(sample, key=lambda chunk: len(chunk.text)):
        if chunk.vector is None:
            continue
        expected = again(chunk)
        if expected is not None and float(np.dot(expected, chunk.vector)) < COSINE_MIN:
            result.wrong_vectors += 1
            result.details.append(f"row {chunk.chunk_id}: its vector is not what the model says")
