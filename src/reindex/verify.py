"""Is the index equal to the disk? The disk is read now, whole, and compared with the published table."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reindex.core.identity import Recipe, document_id, embedding_key
from reindex.core.layout import DocumentLayout
from reindex.model import DocumentName, EmbeddingKey
from reindex.observe import Observation
from reindex.ports import Embedder
from reindex.preparing import Prepared, Preparer
from reindex.stores.failure_rows import Failure
from reindex.stores.snapshot import Snapshot, StoredChunk
from reindex.vectors import UNIT_NORM_TOLERANCE

DEEP_SAMPLE_CHUNKS = 256
COSINE_MIN = 0.999


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
) -> Verification:
    """Compare documents by revision, then each document's rows with what its layout says."""
    result = Verification()
    layouts = {layout.name: layout for layout in snapshot.layouts()}
    result.documents = len(layouts)
    failing = _failing(observation, failures)
    result.failed = len(failing)
    result.held = len(held)
    result.pending = len(observation.unstable)
    excused = failing | set(held) | observation.unstable
    for name, revision in observation.revisions.items():
        if name in excused:
            continue
        if name not in layouts:
            result.missing += 1
            result.note(name, "on disk, not in the index")
        elif layouts[name].revision != revision:
            result.stale += 1
            result.note(name, "the index has another revision")
    for name in layouts:
        if name not in observation.revisions and name not in excused:
            result.extra += 1
            result.note(name, "in the index, not on disk")
    _check_rows(snapshot, layouts, result)
    return result


def verify_deeply(
    snapshot: Snapshot,
    observation: Observation,
    preparer: Preparer,
    embedder: Embedder | None,
    result: Verification,
    advance: Callable[[int], None],
) -> None:
    """Parse and chunk every document again and compare the keys; embed a sample again and compare vectors.

    Without an embedder the vectors are left alone.
    """
    layouts = {layout.name: layout for layout in snapshot.layouts()}
    for name, revision in observation.revisions.items():
        advance(1)
        layout = layouts.get(name)
        if layout is None or layout.revision != revision:
            continue
        prepared = preparer.prepare(name)
        if isinstance(prepared, Prepared) and prepared.layout.revision == revision:
            _compare(prepared, layout, result)
    if embedder is not None:
        _embed_sample(snapshot, embedder, result)


def _compare(prepared: Prepared, layout: DocumentLayout, result: Verification) -> None:
    if prepared.layout.keys != layout.keys:
        result.stale += 1
        result.note(layout.name, "it parses to other chunks than the index has")
    elif prepared.layout.places != layout.places:
        result.stale += 1
        result.note(layout.name, "its chunks stand at other lines or headings than the index says")


def _failing(observation: Observation, failures: Mapping[DocumentName, Failure]) -> set[DocumentName]:
    """Failures that explain the disk as it is: at exactly this revision, or unreadable then and now."""
    return {
        name
        for name, failure in failures.items()
        if failure.revision == observation.revisions.get(name)
        or (failure.revision is None and name not in observation.revisions)
    }


def _check_rows(
    snapshot: Snapshot, layouts: Mapping[DocumentName, DocumentLayout], result: Verification
) -> None:
    """Every chunk row belongs to exactly one layout, once, with the text and vector its key promises."""
    recipe = snapshot.published.recipe
    expected = {
        chunk_id: (layout.name, key)
        for layout in layouts.values()
        for chunk_id, key in zip(layout.chunk_ids(), layout.keys, strict=True)
    }
    seen: Counter[str] = Counter()
    for chunk in snapshot.chunks():
        result.chunks += 1
        seen[chunk.chunk_id] += 1
        if seen[chunk.chunk_id] > 1 or chunk.chunk_id not in expected:
            result.duplicates += 1
            result.details.append(f"row {chunk.chunk_id}: not wanted by any document, or there twice")
            continue
        name, key = expected[chunk.chunk_id]
        if not _is_sound(chunk, name, key, recipe):
            result.wrong_vectors += 1
            result.note(name, f"row {chunk.chunk_id} has a wrong text, key or vector")
    short = {expected[chunk_id][0] for chunk_id in expected if chunk_id not in seen}
    for name in sorted(short):
        result.stale += 1
        result.note(name, "some of its chunks are not in the index")


def _is_sound(chunk: StoredChunk, name: DocumentName, key: EmbeddingKey, recipe: Recipe) -> bool:
    if chunk.vector is None or not np.isfinite(chunk.vector).all():
        return False
    if abs(float(np.linalg.norm(chunk.vector.astype(np.float64))) - 1.0) > UNIT_NORM_TOLERANCE:
        return False
    sent = recipe.space.document_prompt + chunk.text
    return (
        chunk.key == key.hex()
        and chunk.document == document_id(name)
        and embedding_key(recipe.space.fingerprint, sent) == key
    )


def _embed_sample(snapshot: Snapshot, embedder: Embedder, result: Verification) -> None:
    """A sample that is another one for every version, and the same one for the same version."""
    ids = sorted(chunk_id for layout in snapshot.layouts() for chunk_id in layout.chunk_ids())
    chooser = random.Random(snapshot.published.version)  # noqa: S311 (no secret: a sample)
    chosen = set(chooser.sample(ids, min(DEEP_SAMPLE_CHUNKS, len(ids))))
    sample = [chunk for chunk in snapshot.chunks() if chunk.chunk_id in chosen]
    prompt = snapshot.published.recipe.space.document_prompt
    for chunk in sorted(sample, key=lambda chunk: len(chunk.text)):
        if chunk.vector is None:
            continue
        again = embedder.embed([prompt + chunk.text])[0]
        if float(np.dot(again, chunk.vector)) < COSINE_MIN:
            result.wrong_vectors += 1
            result.details.append(f"row {chunk.chunk_id}: its vector is not what the model says")
