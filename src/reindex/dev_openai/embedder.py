"""Vectors for requests: of the model that was asked for, or wrong ones where that was asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from reindex.dev_openai.embedding_answer import Item, spoil, wrongs
from reindex.dev_openai.faults import WrongVector
from reindex.dev_openai.options import Options
from reindex.dev_openai.vectors import Vector, WordHasher


class Embedder:
    """All models of a server. Used by several threads."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._hashers: dict[tuple[str, int], WordHasher] = {}
        self._random = np.random.default_rng(0)

    def vectors(self, model: str, texts: Sequence[str], dimensions: int = 0) -> Vector:
        """float32[texts, dimensions], in order: what the model really says."""
        return self._hasher(model, self._options.models[model]).embed(texts, dimensions)

    def items(
        self,
        model: str,
        texts: Sequence[str],
        dimensions: int,
        faults: Sequence[Any] = (),
        indices: Sequence[int] = (),
    ) -> list[Item]:
        """What is sent for each text. `indices`: where they stand in their batch, if not at 0, 1, 2."""
        vectors = self._jittered(self.vectors(model, texts, dimensions))
        items = [Item(vector, model) for vector in vectors]
        for place, text in enumerate(texts):
            for kind in wrongs(faults, indices[place] if indices else place, text):
                other = self._other(kind, model, texts, place, dimensions)
                items[place] = spoil(items[place], kind, other)
        return items

    def _other(
        self, kind: WrongVector, model: str, texts: Sequence[str], place: int, dimensions: int
    ) -> Vector:
        if kind == WrongVector.SWAPPED:
            hasher = self._hasher(f"not-{model}", self._options.models[model])
            return np.asarray(hasher.embed([texts[place]], dimensions)[0])
        neighbour = texts[place - 1] if len(texts) > 1 else f"another {texts[0]} than this"
        return np.asarray(self.vectors(model, [neighbour], dimensions)[0])

    def _jittered(self, vectors: Vector) -> Vector:
        if not self._options.jitter:
            return vectors
        with self._lock:
            noise = self._random.normal(0, self._options.jitter, vectors.shape)
        moved = vectors + noise
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), dtype=np.float32)

    def _hasher(self, model: str, dimensions: int) -> WordHasher:
        with self._lock:
            key = (model, dimensions)
            if key not in self._hashers:
                self._hashers[key] = WordHasher(model, dimensions)
            return self._hashers[key]
