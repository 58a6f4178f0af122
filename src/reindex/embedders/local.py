"""The local lane: a sentence-transformers model in this process, fed with batches that waste no padding."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reindex.core.identity import EmbeddingSpace
from reindex.errors import EmbeddingError, ModelError
from reindex.vectors import Vectors


class LocalEmbedder:
    """Loads the model on first use; after that every call is one forward pass over the texts it gets."""

    def __init__(self, directory: Path, space: EmbeddingSpace, threads: int) -> None:
        """`threads` 0 leaves the choice to torch."""
        self._directory = directory
        self._space = space
        self._threads = threads
        self._model: Any = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), dimensions). Sort texts by length before: they are padded to the
        longest. Raises ModelError when the model can't be loaded, EmbeddingError when it fails.
        """
        if not texts:
            return np.zeros((0, self._space.dimensions), dtype=np.float32)
        model = self._loaded()
        try:
            vectors = model.encode(
                list(texts),
                batch_size=len(texts),
                prompt="",  # prompts are part of the texts: the embedding key is over what is really sent
                show_progress_bar=False,
                convert_to_numpy=True,
                normalize_embeddings=False,
            )
        except (RuntimeError, MemoryError, ValueError, TypeError) as error:
            raise EmbeddingError(f"the model failed on {len(texts)} texts: {error}") from error
        return _normalised(np.asarray(vectors, dtype=np.float32)[:, : self._space.dimensions])

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = _load(self._directory, self._threads)
        return self._model


def _load(directory: Path, threads: int) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        # 8 to 10 CPU s of imports: only when something is really to be embedded.
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        if threads:
            torch.set_num_threads(threads)
        return SentenceTransformer(str(directory), device="cpu", local_files_only=True)
    except Exception as error:  # damaged files raise whatever the library below meets
        raise ModelError(
            f"the model in {directory} can't be loaded: {type(error).__name__}: {error}",
            "Install it again, or name another in [embedding] model.",
        ) from error


def _normalised(vectors: Vectors) -> Vectors:
    """Each row divided by its length in float64. A zero row stays zero, and the cache refuses it."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    normalised: Vectors = (vectors / lengths).astype(np.float32)
    return normalised
