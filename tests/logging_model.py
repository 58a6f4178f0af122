"""A model that is none: vectors made of hashes, and a log of what it was sent.

$SENT_LOG: every batch is on disk there before its vectors are given back; texts of another space than the
model's own begin with its dimensions. $BATCH_DELAY_S slows each batch. $MODEL_FAULT names a file: while it
says `down` every text fails, while it says `hang` nothing is answered, while it says `hurry` no batch is
slowed.
"""

import hashlib
import json
import os
import time
from pathlib import Path

from reindex.core.canary import CANARY_TEXT
from reindex.errors import EmbeddingError

HANG_STEP_S = 0.01


def hash_vectors(texts, dimensions):
    """A unit vector for each text, decided by its sha alone."""
    import numpy as np  # most commands embed nothing, and it is half of what a short one costs

    vectors = np.empty((len(texts), dimensions), dtype=np.float32)
    for row, text in enumerate(texts):
        raw = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(4 * dimensions)
        vector = np.frombuffer(raw, dtype="<u4").astype(np.float64) / 2**31 - 1.0
        vectors[row] = vector / np.linalg.norm(vector)
    return vectors


class LoggingModel:
    def __init__(self, dimensions):
        self._dimensions = dimensions

    def embed(self, texts):
        if _fault() != "hurry":
            time.sleep(float(os.environ.get("BATCH_DELAY_S", "0")))
        while _fault() == "hang":
            time.sleep(HANG_STEP_S)
        if _fault() == "down":
            raise EmbeddingError("the provider is down", "Wait for it.")
        log = os.environ.get("SENT_LOG")
        if log and list(texts) != [CANARY_TEXT]:
            space = "" if self._dimensions == 384 else f"{self._dimensions}: "
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(descriptor, json.dumps([space + text for text in texts]).encode() + b"\n")
            os.fsync(descriptor)
            os.close(descriptor)
        return hash_vectors(texts, self._dimensions)


def _fault():
    try:
        return Path(os.environ["MODEL_FAULT"]).read_text(encoding="utf-8").strip()
    except (KeyError, FileNotFoundError):
        return ""
