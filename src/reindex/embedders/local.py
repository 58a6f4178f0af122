"""The local lane: a sentence-transformers model in this process, by the quicker of two ways to run it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from reindex.core.identity import EmbeddingSpace
from reindex.embedders.models import LocalModel, check_unchanged
from reindex.errors import EmbeddingError, ModelError
from reindex.vectors import Vectors, normalised


class _Encoder(Protocol):
    def encode(self, texts: Sequence[str]) -> Vectors: ...


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How a local model is run; none of it decides a vector.

    `data_dir` keeps encoders. `backend` is auto, torch or onnx; `threads` 0 is one for each core; `say` is
    told when "auto" falls back to torch.
    """

    data_dir: Path
    backend: str = "auto"
    threads: int = 0
    say: Callable[[str], None] = lambda _: None


class LocalEmbedder:
    """Loads the model with the first text, and keeps it."""

    def __init__(self, model: LocalModel, space: EmbeddingSpace, options: LocalOptions) -> None:
        self._model = model
        self._space = space
        self._options = options
        self._encoder: _Encoder | None = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (len(texts), dimensions). Sort texts by length before: they are padded to the
        longest. Raises ModelError when the model can't be loaded, EmbeddingError when it fails.
        """
        if not texts:
            return np.zeros((0, self._space.dimensions), dtype=np.float32)
        if self._encoder is None:
            self._encoder = self._load()
        try:
            vectors = self._encoder.encode(texts)
        except Exception as error:  # onnxruntime's and the tokenizer's own errors are plain Exceptions
            raise EmbeddingError(f"the model failed on {len(texts)} texts: {error}") from error
        return normalised(vectors[:, : self._space.dimensions])

    def _load(self) -> _Encoder:
        """The encoder by onnxruntime where there is one or one may be made; else sentence-transformers."""
        options, precision = self._options, self._space.precision
        if options.backend == "torch" and precision == "fp32":  # other spaces are onnxruntime's alone
            return self._torch()
        # 0.1 s of imports: not for a run whose vectors are all in the cache.
        from reindex.embedders.canaries import CANARIES
        from reindex.embedders.onnx_files import OnnxFiles

        files = OnnxFiles(options.data_dir)
        found = files.load(self._model, precision, options.threads)
        if found is not None:
            return found
        torch: list[_Encoder] = []

        def reference() -> Vectors:
            torch.append(self._torch())
            return normalised(torch[0].encode(CANARIES))

        try:
            return files.make(self._model, precision, options.threads, reference)
        except ModelError as error:
            if options.backend == "onnx" or precision != "fp32":
                raise ModelError(
                    f"{self._model.directory} can't be run by onnxruntime at {precision}: {error}",
                    'Use [embedding] backend = "auto" and precision = "fp32".',
                ) from error
            options.say(f"the model is run by torch, which takes longer: onnxruntime can't, because {error}")
        return torch[0] if torch else self._torch()

    def _torch(self) -> _Encoder:
        from reindex.embedders.torch_encoder import TorchEncoder

        encoder = TorchEncoder(self._model.directory, self._options.threads)
        check_unchanged(self._model)
        return encoder
