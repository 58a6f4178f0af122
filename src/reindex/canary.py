"""Does a provider's model still say of the canary what it said first?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reindex.core.canary import COSINE_MIN, canary_key
from reindex.opening import Stores

if TYPE_CHECKING:
    from reindex.vectors import Vector


def canary_fault(stores: Stores, model: str, vector: Vector) -> str:
    """Empty if so, else what is wrong. What it says first is remembered, in the cache."""
    dimensions = len(vector)
    key = canary_key(model, dimensions)
    known = stores.cache.get([key], dimensions, used_on=stores.today).get(key)
    if known is None:
        stores.cache.put([key], vector.reshape(1, -1), stores.today)
        return ""
    cosine = float(known @ vector)
    if cosine >= COSINE_MIN:
        return ""
    return (
        f"the canary of {model} is not what it was (cosine {cosine:.3f}): another model answers by this name,"
        " or its answers are mixed up"
    )
