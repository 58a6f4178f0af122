"""A text encoder run by onnxruntime: no torch, half of its CPU, the same vectors."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from reindex.embedders.models import LocalModel, Pooling
from reindex.vectors import Vectors


class OnnxEncoder:
    """Encodes texts with the graph in a file. Texts of one call are shared out among threads.

    A thread for each share of the texts, with one core each, does the same work in half the CPU time that
    onnxruntime's own threads need: those divide every product and wait for each other after each.
    """

    def __init__(
        self, graph: Path, model: LocalModel, pooling: Pooling, threads: int, *, one_by_one: bool = False
    ) -> None:
        """`threads` 0: one for each core. `one_by_one`: no text shares a pass with another, for a graph whose
        vectors would depend on it. Raises whatever onnxruntime meets in a damaged file.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised; warnings are about graph optimisation
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(model.tokenizer_file))
        self._tokenizer.no_padding()  # the file may say otherwise about both
        self._tokenizer.enable_truncation(model.max_tokens)
        self._pooling = pooling
        self._one_by_one = one_by_one
        self._threads = threads or _cores()
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="encoder")

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Pooled vectors of shape (len(texts), hidden size), not normalised.

        Raises onnxruntime's and the tokenizer's own errors, which are plain Exceptions.
        """
        encodings = self._tokenizer.encode_batch_fast(list(texts))
        share = 1 if self._one_by_one else -(-len(encodings) // self._threads)
        shares = [encodings[first : first + share] for first in range(0, len(encodings), share)]
        if len(shares) == 1:
            return self._encode(shares[0])
        return np.concatenate(list(self._pool.map(self._encode, shares)))

    def _encode(self, encodings: Sequence[Encoding]) -> Vectors:
        """One forward pass, padded to the longest."""
        longest = max(map(len, encodings))
        ids = np.zeros((len(encodings), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding)] = encoding.ids
            mask[row, : len(encoding)] = 1
        (states,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        return _pooled(states, mask, self._pooling)


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _pooled(states: NDArray[np.float32], mask: NDArray[np.int64], pooling: Pooling) -> Vectors:
    if pooling is Pooling.FIRST:
        return states[:, 0]
    weights = mask[:, :, np.newaxis].astype(np.float32)
    mean: Vectors = (states * weights).sum(axis=1) / weights.sum(axis=1)
    return mean
