"""The types of vectors, and the check that each of them passes on its way in.

numpy costs 0.2 CPU s to import. Commands that touch no vector must not pay for it, so that other modules name
these types for the type checker only and import this module where they compute.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reindex.errors import EmbeddingError

Vector = NDArray[np.float32]
"""Shape (dimensions,), of unit length."""

Vectors = NDArray[np.float32]
"""Shape (n, dimensions), each row of unit length."""

UNIT_NORM_TOLERANCE = 1e-3


def check_vectors(vectors: Vectors, count: int) -> None:
    """Raise EmbeddingError unless these are `count` finite vectors of unit length."""
    if vectors.ndim != 2 or vectors.shape[0] != count:
        raise EmbeddingError(f"the provider returned {vectors.shape} for {count} texts")
    if not np.isfinite(vectors).all():
        raise EmbeddingError("the provider returned a vector that is not finite")
    if not are_unit(vectors).all():
        raise EmbeddingError("the provider returned a vector that is not of unit length")


def are_unit(vectors: Vectors) -> NDArray[np.bool_]:
    """Which rows are of unit length; shape (n,). One with a number that is none is not."""
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    unit: NDArray[np.bool_] = np.abs(norms - 1.0) <= UNIT_NORM_TOLERANCE
    return unit


def from_bytes(blobs: Sequence[bytes], dimensions: int) -> Vectors:
    """Vectors from the float32, little-endian bytes of each."""
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(-1, dimensions)


def to_bytes(vector: Vector) -> bytes:
    """A vector as float32, little endian."""
    return vector.astype("<f4", copy=False).tobytes()


def stack(vectors: list[Vector]) -> Vectors:
    """Vectors on top of each other; shape (0, 0) for none. (np.stack makes an array of each first.)"""
    if not vectors:
        return np.empty((0, 0), np.float32)
    return np.concatenate(vectors).reshape(len(vectors), -1)


def normalised(vectors: Vectors) -> Vectors:
    """Each row divided by its length in float64. A zero row stays zero, and `check_vectors` refuses it."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    unit: Vectors = (vectors / lengths).astype(np.float32)
    return unit
