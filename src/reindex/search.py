"""Answering a query: embed it, search the published snapshot, rank. Needs no lock and follows the pointer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from reindex.core.generations import Behind
from reindex.core.identity import Recipe, embedding_key
from reindex.core.layout import DocumentPlaces
from reindex.core.ranking import best_with_ties, reciprocal_rank_fusion
from reindex.errors import ConfigError, EmbeddingError, ModelError, NothingIndexedError, StoreError
from reindex.model import DAY_S, EmbeddingKey
from reindex.stores.cache import VectorCache
from reindex.stores.lance import TableMissingError
from reindex.stores.pointer import Pointer, Published
from reindex.stores.snapshot import Candidate, Filter, Scores, Snapshot, Snapshots

if TYPE_CHECKING:
    from reindex.vectors import Vector, Vectors

_CANDIDATES_MIN = 50
_CANDIDATES_PER_HIT = 5

T = TypeVar("T")


class SearchMode(StrEnum):
    """How hits are found. Hybrid merges both sides by rank."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that answers. `path` is relative to its source, with `/`; lines count from 1."""

    rank: int
    score: float
    source: str
    path: str
    heading: str
    line_start: int
    line_end: int
    text: str
    chunk_id: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """An answer, wholly from one version of one generation.

    `degraded` says why the model could not take part, "" when it did as asked. `model` is the name by which
    the generation's model was configured. `behind` is set after a rollback, until it has caught up.
    """

    hits: list[Hit]
    generation: int
    version: int
    model: str = ""
    degraded: str = ""
    took_ms: float = 0.0
    behind: Behind | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in a form that can be answered."""

    text: str
    k: int
    mode: SearchMode
    limits: Filter

    @staticmethod
    def of(text: str, k: int, mode: SearchMode, limits: Filter | None) -> Question:
        """Raises ConfigError for a k that can't be."""
        if k < 1:
            raise ConfigError(f"k = {k}: at least one hit must be asked for")
        # A terminal may pass on broken bytes.
        return Question(text.encode("utf-8", "replace").decode("utf-8"), k, mode, limits or Filter())

    @property
    def depth(self) -> int:
        """How many candidates each side is to give."""
        return max(_CANDIDATES_MIN, _CANDIDATES_PER_HIT * self.k) if self.is_merged else self.k

    @property
    def is_merged(self) -> bool:
        """Whether two sides answer, and are merged by rank."""
        return self.mode is SearchMode.HYBRID

    @property
    def is_by_vector(self) -> bool:
        return self.mode is not SearchMode.TEXT and bool(self.text.strip())

    @property
    def is_by_text(self) -> bool:
        return self.mode is not SearchMode.VECTOR and bool(self.text.strip())


QueryEmbedder = Callable[[Recipe, str], "Vector"]
"""(recipe, text as it is sent) -> unit vector of shape (dimensions,). Raises ModelError or EmbeddingError."""


class Reader:
    """Searches a data directory. Follows promotions by itself: one stat of the pointer for each query."""

    def __init__(self, data_dir: Path, embed_query: QueryEmbedder) -> None:
        self._data_dir = data_dir
        self._pointer = Pointer(data_dir)
        self._embed_query = embed_query
        self._stamp: tuple[int, int, int] | None = None
        self._snapshot: Snapshot | None = None
        self._snapshots = Snapshots(data_dir)

    def search(
        self, text: str, k: int = 10, mode: SearchMode = SearchMode.HYBRID, limits: Filter | None = None
    ) -> SearchResult:
        """The k best chunks. Raises NothingIndexedError, and ModelError in vector mode without a model."""
        return self.with_snapshot(lambda snapshot: self.ask(snapshot, text, k, mode, limits))

    def ask(
        self,
        snapshot: Snapshot,
        text: str,
        k: int = 10,
        mode: SearchMode = SearchMode.HYBRID,
        limits: Filter | None = None,
    ) -> SearchResult:
        """The same of one snapshot, by the model that its vectors were made with."""
        started = time.perf_counter()
        question = Question.of(text, k, mode, limits)
        vector, degraded = self._vector(snapshot.published.recipe, question)
        hits = _answer(snapshot, question, vector)
        return search_result(snapshot.published, hits, degraded, started)

    def published(self) -> Published:
        """What readers are to see now. Raises NothingIndexedError."""
        published = self._pointer.read()
        if published is None:
            raise NothingIndexedError("nothing indexed yet: run sync", "reindex sync")
        return published

    def with_snapshot(self, use: Callable[[Snapshot], T]) -> T:
        """Run `use` on the published snapshot; if a file of it vanished, follow the pointer once."""
        try:
            return use(self._current())
        except TableMissingError:
            self._stamp, self._snapshot = None, None
            self._snapshots.forget()
            return use(self._current())

    def _current(self) -> Snapshot:
        stamp = self._pointer.stamp()
        if self._snapshot is None or stamp != self._stamp:
            self._snapshot = self._snapshots.open(self.published())
            self._stamp = stamp
        return self._snapshot

    def _vector(self, recipe: Recipe, question: Question) -> tuple[Vector | None, str]:
        """The query's vector by the answering generation's own model; or none, and why."""
        if not question.is_by_vector:
            return None, ""
        try:
            return self._cached_vector(recipe, recipe.space.query_prompt + question.text), ""
        except (ModelError, EmbeddingError) as error:
            if question.mode is SearchMode.VECTOR:
                raise
            return None, error.message

    def _cached_vector(self, recipe: Recipe, sent: str) -> Vector:
        """Query vectors are filed like any other text's, so that the same question needs no model twice."""
        key = embedding_key(recipe.space.fingerprint, sent)
        found = cached_query_vectors(self._data_dir, [key], recipe.space.dimensions)
        if key in found:
            return found[key]
        from reindex.vectors import check_vectors

        vector = self._embed_query(recipe, sent)
        check_vectors(vector[None, :], 1)
        remember_query_vectors(self._data_dir, [key], vector[None, :])
        return vector


def cached_query_vectors(
    data_dir: Path, keys: Sequence[EmbeddingKey], dimensions: int
) -> dict[EmbeddingKey, Vector]:
    """Those that are on disk. A damaged cache costs a query its speed and nothing else."""
    with suppress(StoreError):
        cache = VectorCache.open_for_reading(data_dir)
        if cache is not None:
            with closing(cache):
                return cache.get(keys, dimensions)
    return {}


def remember_query_vectors(data_dir: Path, keys: Sequence[EmbeddingKey], vectors: Vectors) -> None:
    """Best effort: a read-only or full disk costs the next asker a model, and nothing else."""
    with suppress(StoreError):
        cache = VectorCache.open_existing(data_dir)
        if cache is not None:
            with closing(cache):
                cache.put(keys, vectors, int(time.time() // DAY_S))


def search_result(published: Published, hits: list[Hit], degraded: str, started: float) -> SearchResult:
    """The answer of what is published there; `started` by time.perf_counter."""
    return SearchResult(
        hits,
        published.generation,
        published.version,
        published.recipe.model,
        degraded,
        took_ms=round((time.perf_counter() - started) * 1000, 3),
        behind=published.behind,
    )


def best_of(question: Question, by_vector: Scores, by_words: Scores) -> Scores:
    """Of what the two sides found, the k best rows, and those that are as good as the last of them."""
    if question.is_merged:
        return best_with_ties(reciprocal_rank_fusion([by_vector, by_words]), question.k)
    return best_with_ties(by_vector or by_words, question.k)


def documents_of(best: Iterable[Candidate]) -> list[str]:
    """The ids of the documents whose layouts the hits need."""
    return sorted({candidate.document for candidate in best})


def hits_of(best: Sequence[Candidate], documents: Mapping[str, DocumentPlaces]) -> list[Hit]:
    """The hits with their places; `documents` by their ids, of the same version."""
    # A row that no layout claims is damage, of which `verify` tells: it answers nothing, and stops nothing.
    known = [c for c in best if c.document in documents and c.chunk_id in documents[c.document].of_chunk]
    return [
        _hit(rank, candidate, documents[candidate.document]) for rank, candidate in enumerate(known, start=1)
    ]


def _answer(snapshot: Snapshot, question: Question, vector: Vector | None) -> list[Hit]:
    depth, limits = question.depth, question.limits
    by_vector: Scores = {}
    if vector is not None:
        by_vector = snapshot.score_by_vector(vector, depth, limits, is_merged=question.is_merged)
    by_words = snapshot.score_by_words(question.text, depth, limits) if question.is_by_text else {}
    best = snapshot.candidates(best_of(question, by_vector, by_words))[: question.k]
    return hits_of(best, snapshot.places(documents_of(best))) if best else []


def _hit(rank: int, candidate: Candidate, document: DocumentPlaces) -> Hit:
    name, place = document.name, document.of_chunk[candidate.chunk_id]
    return Hit(
        rank=rank,
        score=candidate.score,
        source=name.source,
        path=name.path,
        heading=" > ".join(place.headings),
        line_start=place.line_start,
        line_end=place.line_end,
        text=candidate.text,
        chunk_id=candidate.chunk_id,
    )
