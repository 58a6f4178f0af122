"""Do a table's rows hold what its layouts promise, and do its indices find them? For verify and repair."""

import hashlib
import heapq
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from reindex.stores.cache import VectorCache
from reindex.stores.snapshot import Filter, Snapshot, StoredChunk
from reindex.stores.stop_words import ENGLISH
from reindex.vectors import are_unit

_CHUNKS_PER_LOOKUP = 2_000
_DOCUMENTS_AT_HAND = 64  # the rows of a document mostly lie together
_FOUND_AT_LEAST = 0.999  # cosine of a vector with itself, after the vector index' rounding and refining
_WORD = re.compile(r"\b[^\W_]{2,40}\b")
_STOP_WORDS = frozenset(ENGLISH)


@dataclass(slots=True)
class ExpectedRows:
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


def expected_rows(layout: DocumentLayout) -> ExpectedRows:
    """What of a layout its rows are held against; none of them met yet."""
    return ExpectedRows(layout.name, layout.revision, pack_keys(layout.keys))


@dataclass(slots=True)
class RowFaults:
    """What is wrong with the chunk rows of one version; `chunks` counts all of them."""

    chunks: int = 0
    unwanted: list[str] = field(default_factory=list)
    wrong: list[tuple[DocumentName, str]] = field(default_factory=list)
    short: list[DocumentName] = field(default_factory=list)

    @property
    def found(self) -> bool:
        return bool(self.unwanted or self.wrong or self.short)


def row_faults(snapshot: Snapshot, documents: Iterable[ExpectedRows]) -> RowFaults:
    """Every chunk row belongs to exactly one layout, once, with the text and vector its key promises."""
    faults = RowFaults()
    by_id = {document_id(document.name): document for document in documents}

    @lru_cache(_DOCUMENTS_AT_HAND)
    def positions(document: str) -> Mapping[str, int]:
        known = by_id.get(document)
        ids = chunk_ids(known.name, unpack_keys(known.keys)) if known is not None else []
        return {chunk_id: position for position, chunk_id in enumerate(ids)}

    for chunk in snapshot.chunks():
        faults.chunks += 1
        position = positions(chunk.document).get(chunk.chunk_id)
        if position is None or by_id[chunk.document].rows_met >> position & 1:
            faults.unwanted.append(chunk.chunk_id)
            continue
        document = by_id[chunk.document]
        document.rows_met |= 1 << position
        key = EmbeddingKey(document.keys[position * KEY_BYTES : (position + 1) * KEY_BYTES])
        if not _is_sound(chunk, key, snapshot.published.recipe):
            faults.wrong.append((document.name, chunk.chunk_id))
    faults.short = sorted(d.name for d in by_id.values() if d.rows_met != (1 << d.chunks) - 1)
    return faults


def vectors_unlike_the_cache(snapshot: Snapshot, cache: VectorCache) -> list[str]:
    """The chunk rows whose vector is another than the one that the cache has, under its checksum."""
    wrong: list[str] = []
    part: list[StoredChunk] = []
    for chunk in snapshot.chunks():
        part.append(chunk)
        if len(part) == _CHUNKS_PER_LOOKUP:
            wrong += _unlike(part, cache, snapshot)
            part = []
    return wrong + _unlike(part, cache, snapshot)


def sampled_chunks(snapshot: Snapshot, count: int) -> list[StoredChunk]:
    """So many chunks from all over the table (all, if there are fewer): others for every version, and the
    same ones for the same version.
    """
    version = b"%d " % snapshot.published.version
    ids = (chunk_id for layout in snapshot.layouts() for chunk_id in layout.chunk_ids())
    chosen = set(heapq.nsmallest(count, ids, lambda i: hashlib.sha256(version + i.encode()).digest()))
    return [chunk.on_its_own() for chunk in snapshot.chunks() if chunk.chunk_id in chosen]


def chunks_not_found(snapshot: Snapshot, sample: Sequence[StoredChunk]) -> list[tuple[DocumentName, str]]:
    """(document, what does not find it) for each chunk that its own words or its own vector don't find.

    The rows may be sound and their indices damaged: then answers lack what the table has.
    """
    if not sample:
        return []
    documents = sorted({chunk.document for chunk in sample})
    layouts = {document_id(layout.name): layout for layout in snapshot.layouts(documents)}
    missed = []
    for chunk in sample:
        layout = layouts.get(chunk.document)
        if layout is None or chunk.vector is None:
            continue  # told of as a fault of rows
        best = snapshot.nearest(chunk.vector, 1, Filter())
        if not best or best[0].score < _FOUND_AT_LEAST:
            missed.append((layout.name, "vector"))
        if _has_words(chunk.text):
            hits = snapshot.matching(chunk.text, len(layout.keys), Filter(document=chunk.document))
            if chunk.chunk_id not in {hit.chunk_id for hit in hits}:
                missed.append((layout.name, "words"))
    return missed


def _has_words(text: str) -> bool:
    """Whether the full-text index must have taken in a word of this text."""
    return any(word.lower() not in _STOP_WORDS for word in _WORD.findall(text) if word.isascii())


def _unlike(chunks: Sequence[StoredChunk], cache: VectorCache, snapshot: Snapshot) -> list[str]:
    keys = {chunk.chunk_id: EmbeddingKey(bytes.fromhex(chunk.key)) for chunk in chunks if chunk.key}
    cached = cache.get(list(set(keys.values())), snapshot.published.recipe.space.dimensions)
    return [
        chunk.chunk_id
        for chunk in chunks
        if keys.get(chunk.chunk_id) in cached
        and (chunk.vector is None or not np.array_equal(cached[keys[chunk.chunk_id]], chunk.vector))
    ]


def _is_sound(chunk: StoredChunk, key: EmbeddingKey, recipe: Recipe) -> bool:
    if chunk.vector is None or not are_unit(chunk.vector[np.newaxis])[0]:
        return False
    sent = recipe.space.document_prompt + chunk.text
    return chunk.key == key.hex() and embedding_key(recipe.space.fingerprint, sent) == key
