"""The text by which a provider is judged: known, sent beside others, and no part of the bill."""

from reindex.model import EmbeddingKey, digest

CANARY_TEXT = "reindex canary 1"
CANARY_ID = "canary"  # of its line in a batch
COSINE_MIN = 0.99  # with the vector that it had before; the same text may differ by some 1e-3


def canary_key(model: str, dimensions: int) -> EmbeddingKey:
    """Under which the first vector of the canary is kept: no embedding space has this key."""
    return EmbeddingKey(digest(b"canary", model.encode(), str(dimensions).encode()))
