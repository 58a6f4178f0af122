"""The texts by which an encoder is judged: what any of them gets wrong, it gets wrong for documents."""

from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np

from reindex.vectors import Vectors

AT_EVERY_LOAD = 3
"""How many of the canaries, from the first, are compared whenever an encoder is loaded: 30 ms."""

CANARIES = (
    "reindex canary 1",
    "The conveyor belts stop at 3 o'clock; nobody knows why.",
    "Ångström, naïve café, СОЛНЦЕ, 日本語の文, 🚚 and ﬁne ligatures",
    "a",
    "",
    "# UPPER and lower\n\n```python\ndef f(x: int) -> str:\n    return f'{x:>08_b}'\n```\n",
    "| table | of | numbers |\n|---|---|---|\n| 3.14159 | -2.71828e10 | 0x7fffffff |",
    "http://example.org/a/very/long/path?with=query&and=%20#fragment " * 4,
    "One paragraph of some length, so that attention has something to attend to. " * 9,
    "word " * 1200,  # longer than any model of this family reads: what is cut off must be the same
)
"""Short and long, many scripts, nothing at all, and one over every limit: together they are padded."""


def shipped_reference(model_digest: str) -> Vectors | None:
    """The canaries' unit vectors by sentence-transformers for a model that was measured beforehand: shape
    (len(CANARIES), its dimensions); None for any other model.
    """
    path = references() / f"{model_digest[:16]}.npy"
    if not path.is_file():
        return None
    with path.open("rb") as file:
        reference: Vectors = np.load(file)
    return reference


def references() -> Traversable:
    """Where shipped references are; `scripts/make_reference.py` writes them."""
    return files("reindex.embedders") / "references"
