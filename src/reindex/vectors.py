"""The types of vectors, and the check that each of them passes on its way in.

numpy costs 0.2 CPU s to import. Commands that touch no vector must not pay for it, so that other modules name
these types for the type checker only and import this module where they compute.
"""

from collections.abc import Iterator, Sequence

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
    if are_unit(vectors).all():
        return
    if not np.isfinite(vectors).all():
        raise EmbeddingError("the provider returned a vector that is not finite")
    raise EmbeddingError("the provider returned a vector that is not of unit length")


def are_unit(vectors: Vectors) -> NDArray[np.bool_]:
    """Which rows are of unit length; shape (n,). One with a number that is none is not."""
    unit: NDArray[np.bool_] = np.abs(lengths(vectors) - 1.0) <= UNIT_NORM_TOLERANCE
    return unit


def lengths(vectors: Vectors) -> NDArray[np.float64]:
    """Of each row, computed in float64 without a copy in it; shape (n,). Not finite where the row is not."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares: NDArray[np.float64] = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.sqrt(squares)


def from_bytes(blobs: Sequence[bytes], dimensions: int) -> Vectors:
    """Vectors from the float32, little-endian bytes of each."""
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(-1, dimensions)


def to_bytes(vector: Vector) -> bytes:
    """A vector as float32, little endian."""
    return vector.astype("<f4", copy=False).tobytes()


def views(vectors: Vectors) -> Iterator[memoryview]:
    """The bytes of each vector, float32 and little endian, where they are: nothing is copied."""
    if not vectors.size:
        return iter(())
    whole = np.ascontiguousarray(vectors, "<f4").data.cast("B")
    size = 4 * vectors.shape[1]
    return (whole[start : start + size] for start in range(0, len(whole), size))


def stack(vectors: list[Vector]) -> Vectors:
    """Vectors on top of each other; shape (0, 0) for none. (np.stack makes an array of each first.)"""
    if not vectors:
        return np.empty((0, 0), np.float32)
    return np.concatenate(vectors).reshape(len(vectors), -1)


def normalised(vectors: Vectors) -> Vectors:
    """Each row divided by its length in float64. A zero row stays zero, and `check_vectors` refuses it."""
    divisors = lengths(vectors)[:, None]
    divisors[divisors == 0] = 1
    unit: Vectors = (vectors / divisors).astype(np.float32)
    return unit
