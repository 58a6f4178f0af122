"""A text encoder run by sentence-transformers: slower, and it knows every model."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reindex.errors import ModelError
from reindex.vectors import Vectors


class TorchEncoder:
    """Loads the model at once: 8 to 10 CPU s of imports, so it is made when something is to be embedded."""

    def __init__(self, directory: Path, threads: int) -> None:
        """`threads` 0 leaves the choice to torch. Raises ModelError when the model can't be loaded."""
        self._model = _load(directory, threads)

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Pooled vectors of shape (len(texts), hidden size) by one forward pass. Raises RuntimeError."""
        vectors = self._model.encode(
            list(texts),
            batch_size=len(texts),
            prompt="",  # prompts are part of the texts: the embedding key is over what is really sent
            show_progress_bar=False,
            convert_to_numpy=True,
            normalize_embeddings=False,
        )
        return np.asarray(vectors, dtype=np.float32)


def _load(directory: Path, threads: int) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
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
