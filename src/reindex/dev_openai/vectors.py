"""Vectors of texts without a model: hashed words, so that texts with the same words are near each other."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_PLACES = 8  # of each word in the sparse sum
_WORDS_MAX = 400_000  # 32 bytes and a dictionary entry each


class WordHasher:
    """One model: identical texts get identical vectors of unit length, float32[dimensions].

    Each word of a text has a few places and signs by its hash; their sum, weighted by 1 + ln(count), is
    spread over all dimensions by an orthogonal transform, so that a prefix is about as good as the whole.
    """

    def __init__(self, model: str, dimensions: int) -> None:
        self.dimensions = dimensions
        self._lock = threading.Lock()
        self._words = _Words(model.encode())
        seed = int.from_bytes(hashlib.blake2b(model.encode(), digest_size=8).digest(), "big")
        self._signs: Any = np.random.default_rng(seed).choice([-1.0, 1.0], dimensions)

    def embed(self, texts: Sequence[str], dimensions: int = 0) -> Vector:
        """float32[texts, dimensions], in order; `dimensions`: a prefix, made unit length again."""
        with self._lock:
            if len(self._words) > _WORDS_MAX:
                self._words.clear()
            sums = np.stack([self._sum(text) for text in texts])
        spread = _hartley(sums * self._signs)
        vectors = spread[:, : dimensions or self.dimensions]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / lengths, dtype=np.float32)

    def _sum(self, text: str) -> Any:
        words = Counter(_WORD.findall(text.lower())) or {text: 1}
        numbers = list(map(self._words.__getitem__, words))
        hashes = self._words.hashes[numbers]
        weights = 1.0 + np.log(np.fromiter(words.values(), dtype=np.float64, count=len(words)))
        signed = np.where(hashes & 1, weights[:, None], -weights[:, None])
        total = np.bincount(
            ((hashes >> 1) % self.dimensions).ravel(), weights=signed.ravel(), minlength=self.dimensions
        )
        if not total.any():  # places that cancel each other out
            total[0] = 1.0
        return total


class _Words(dict[str, int]):
    """Word -> the row of `hashes` with its places and signs, made when it is first met."""

    def __init__(self, model: bytes) -> None:
        super().__init__()
        self._model = model[:64]
        self.hashes: Any = np.empty((1024, _PLACES), dtype=np.uint32)

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        if number >= len(self.hashes):
            self.hashes = np.concatenate([self.hashes, np.empty_like(self.hashes)])
        content = word.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(content, digest_size=4 * _PLACES, key=self._model).digest()
        self.hashes[number] = np.frombuffer(digest, dtype=np.uint32)
        return number


def _hartley(rows: Any) -> Any:
    """The discrete Hartley transform of each row: real, and orthogonal up to a factor."""
    length = rows.shape[1]
    half = np.fft.rfft(rows, axis=1)
    spread = np.empty_like(rows)
    spread[:, : half.shape[1]] = half.real - half.imag
    mirrored = np.arange(1, length - half.shape[1] + 1)
    spread[:, length - mirrored] = half.real[:, mirrored] + half.imag[:, mirrored]
    return spread
