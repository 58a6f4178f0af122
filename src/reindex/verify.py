"""Is the index equal to the disk? The disk is read now, whole, and compared with the published table."""

import hashlib
import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from reindex.core.identity import (
    KEY_BYTES,
    Recipe,
    chunk_ids,
    document_id,
    embedding_key,
    pack_keys,
    unpack_keys,
)
from reindex.core.layout import DocumentLayout
from reindex.model import DocumentName, EmbeddingKey, Revision
from reindex.observe import Observation
from reindex.ports import Embedder
from reindex.preparing import Prepared, Preparer
from reindex.stores.failure_rows import Failure
from reindex.stores.snapshot import Snapshot, StoredChunk
from reindex.vectors import UNIT_NORM_TOLERANCE

DEEP_SAMPLE_CHUNKS = 256
_DOCUMENTS_AT_HAND = 64  # the rows of a document mostly lie together
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


@dataclass(slots=True)
class _Document:
    """A document as its layout tells it, and which of its rows were met: one bit a chunk. Small, because all
    documents are held at once: 32 bytes a chunk, where a dictionary of chunk ids takes 800.
    """

    name: DocumentName
    revision: Revision
    keys: bytes  # packed, in reading order
    rows_met: int = 0

    @property
    def chunks(self) -> int:
        return len(self.keys) // KEY_BYTES


def verify_index(
    snapshot: Snapshot,
    observation: Observation,
    failures: Mapping[DocumentName, Failure],
    held: Sequence[DocumentName],
) -> Verification:
    """Compare documents by revision, then each document's rows with what its layout says."""
    result = Verification()
    documents = {
        layout.name: _Document(layout.name, layout.revision, pack_keys(layout.keys))
        for layout in snapshot.layouts()
    }
    result.documents = len(documents)
    failing = _failing(observation, failures)
    result.failed = len(failing)
    result.held = len(held)
    result.pending = len(observation.unstable)
    excused = failing | set(held) | observation.unstable
    for name, revision in observation.revisions.items():
        if name in excused:
            continue
        if name not in documents:
            result.missing += 1
            result.note(name, "on disk, not in the index")
        elif documents[name].revision != revision:
            result.stale += 1
            result.note(name, "the index has another revision")
    for name in documents:
        if name not in observation.revisions and name not in excused:
            result.extra += 1
            result.note(name, "in the index, not on disk")
    _check_rows(snapshot, documents.values(), result)
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
    for layout in snapshot.layouts():
        advance(1)
        if layout.revision != observation.revisions.get(layout.name):
            continue
        prepared = preparer.prepare(layout.name)
        if isinstance(prepared, Prepared) and prepared.layout.revision == layout.revision:
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


def _check_rows(snapshot: Snapshot, documents: Iterable[_Document], result: Verification) -> None:
    """Every chunk row belongs to exactly one layout, once, with the text and vector its key promises."""
    recipe = snapshot.published.recipe
    by_id = {document_id(document.name): document for document in documents}

    @lru_cache(_DOCUMENTS_AT_HAND)
    def positions(document: str) -> Mapping[str, int]:
        known = by_id.get(document)
        ids = chunk_ids(known.name, unpack_keys(known.keys)) if known is not None else []
        return {chunk_id: position for position, chunk_id in enumerate(ids)}

    for chunk in snapshot.chunks():
        result.chunks += 1
        position = positions(chunk.document).get(chunk.chunk_id)
        if position is None or by_id[chunk.document].rows_met >> position & 1:
            result.duplicates += 1
            result.details.append(f"row {chunk.chunk_id}: not wanted by any document, or there twice")
            continue
        document = by_id[chunk.document]
        document.rows_met |= 1 << position
        key = EmbeddingKey(document.keys[position * KEY_BYTES : (position + 1) * KEY_BYTES])
        if not _is_sound(chunk, key, recipe):
            result.wrong_vectors += 1
            result.note(document.name, f"row {chunk.chunk_id} has a wrong text, key or vector")
    for name in sorted(d.name for d in by_id.values() if d.rows_met != (1 << d.chunks) - 1):
        result.stale += 1
        result.note(name, "some of its chunks are not in the index")


def _is_sound(chunk: StoredChunk, key: EmbeddingKey, recipe: Recipe) -> bool:
    if chunk.vector is None:
        return False
    norm = math.sqrt(float(np.dot(chunk.vector, chunk.vector)))
    if not abs(norm - 1.0) <= UNIT_NORM_TOLERANCE:  # nor does one pass that is not a number
        return False
    sent = recipe.space.document_prompt + chunk.text
    return chunk.key == key.hex() and embedding_key(recipe.space.fingerprint, sent) == key


def _embed_sample(snapshot: Snapshot, embedder: Embedder, result: Verification) -> None:
    """A sample that is another one for every version, and the same one for the same version."""
    version = b"%d " % snapshot.published.version
    ids = (chunk_id for layout in snapshot.layouts() for chunk_id in layout.chunk_ids())
    chosen = set(
        heapq.nsmallest(DEEP_SAMPLE_CHUNKS, ids, lambda i: hashlib.sha256(version + i.encode()).digest())
    )
    sample = [_on_its_own(chunk) for chunk in snapshot.chunks() if chunk.chunk_id in chosen]
    prompt = snapshot.published.recipe.space.document_prompt
    for chunk in sorted(sample, key=lambda chunk: len(chunk.text)):
        if chunk.vector is None:
            continue
        again = embedder.embed([prompt + chunk.text])[0]
        if float(np.dot(again, chunk.vector)) < COSINE_MIN:
            result.wrong_vectors += 1
            result.details.append(f"row {chunk.chunk_id}: its vector is not what the model says")


def _on_its_own(chunk: StoredChunk) -> StoredChunk:
    """Without the thousands of rows that were read with it, and that its vector is a view of."""
    return chunk if chunk.vector is None else replace(chunk, vector=chunk.vector.copy())
