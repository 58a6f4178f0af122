"""Faults by their names in JSON, as {"fault": "reset", "after": true}."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from reindex.dev_openai import batch_faults, faults, refusals
from reindex.dev_openai.faults import Lines, Refuse, WrongVector

_OBJECTS: tuple[type[Any], ...] = (
    faults.Reset,
    faults.Hang,
    faults.Cut,
    faults.Slow,
    faults.WrongVectors,
    faults.Reordered,
    faults.NoIndex,
    faults.SameIndex,
    faults.FewerItems,
    faults.FloatsOnly,
    batch_faults.Stuck,
    batch_faults.Fails,
    batch_faults.Halfway,
    batch_faults.Dropped,
    batch_faults.Duplicated,
    batch_faults.Unknown,
    batch_faults.LineFails,
    batch_faults.Garbled,
    batch_faults.TruncatedOutput,
    batch_faults.NoOutput,
    batch_faults.GoneOutput,
)
_REFUSALS: Mapping[str, Callable[..., refusals.Refusal]] = {
    "server_error": refusals.server_error,
    "rate_limited": refusals.rate_limited,
    "no_money": refusals.no_money,
    "hard_limit": refusals.hard_limit,
    "wrong_key": refusals.wrong_key,
    "forbidden": refusals.forbidden,
    "refusal": refusals.Refusal,
}
_BY_NAME = {re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower(): kind for kind in _OBJECTS}

NAMES = (*_BY_NAME, *_REFUSALS)


def fault_of(name: str, parameters: Mapping[str, Any]) -> Any:
    """The fault's object. Raises KeyError, TypeError or ValueError."""
    given = dict(parameters)
    if name in _REFUSALS:
        after = bool(given.pop("after", False))
        return Refuse(_REFUSALS[name](**given), after)
    if "lines" in given:
        given["lines"] = Lines(**given["lines"])
    if name == "wrong_vectors":
        given["kind"] = WrongVector(given["kind"])
    return _BY_NAME[name](**given)
