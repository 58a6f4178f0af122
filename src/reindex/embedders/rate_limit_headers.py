"""What a provider's headers say about its limits: what is left, when it is whole again, how long to wait."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

Headers = Mapping[str, str]
"""Of an answer; names are looked up in lower case."""

KINDS = ("requests", "tokens")
WAIT_MAX_S = 30 * 86_400.0  # what is said to take longer is no duration (a point in time, an overflow)

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|us|µs|ns|[dhms]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])")
_UNITS_S = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True)
class Allowance:
    """Of one kind (requests or tokens): `remaining` of `limit` were left at `at`, and all of them are there
    again at `whole_at`. Times by the reader's own clock, in seconds.
    """

    limit: float
    remaining: float
    at: float
    whole_at: float

    def available(self, now: float) -> float:
        """It comes back steadily, as in the buckets that OpenAI keeps."""
        if now >= self.whole_at:
            return self.limit
        share = max(0.0, now - self.at) / (self.whole_at - self.at)
        return self.remaining + (self.limit - self.remaining) * share

    def wait_s(self, needed: float, now: float) -> float:
        """Until so much is there; for more than the limit, until the limit is."""
        missing = min(needed, self.limit) - self.available(now)
        if missing <= 0:
            return 0.0
        return missing * (self.whole_at - self.at) / (self.limit - self.remaining)


def allowances(headers: Headers, now: float) -> dict[str, Allowance]:
    """By kind, as far as the headers tell. What is incomplete or makes no sense is left out."""
    found = {}
    for kind in KINDS:
        limit = _number(headers.get(f"x-ratelimit-limit-{kind}"))
        remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
        reset_s = duration_s(headers.get(f"x-ratelimit-reset-{kind}"))
        if limit is None or remaining is None or reset_s is None or limit < 1:
            continue
        found[kind] = Allowance(limit, min(remaining, limit), now, now + reset_s)
    return found


def asked_wait_s(headers: Headers, now_unix: float) -> float | None:
    """What retry-after-ms or retry-after ask for, be it hours; None if they are not there.

    A point in time is compared with the answer's own Date, so that clocks may differ.
    """
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return min(max(0.0, seconds / divisor), WAIT_MAX_S)
    then = _unix(headers.get("retry-after"))
    if then is None:
        return None
    said_at = _unix(headers.get("date"))
    return min(max(0.0, then - (now_unix if said_at is None else said_at)), WAIT_MAX_S)


def exhausted_wait_s(headers: Headers) -> float:
    """After a refusal without retry-after: until one request, and any number of tokens, may pass again."""
    known = allowances(headers, 0.0)
    needed = {kind: 1.0 if kind == "requests" else each.limit for kind, each in known.items()}
    return max((each.wait_s(needed[kind], 0.0) for kind, each in known.items()), default=0.0)


def duration_s(text: str | None) -> float | None:
    """Seconds by what OpenAI writes ("6m0s", "20ms"), or by a bare number; None if it is neither."""
    if text is None:
        return None
    seconds = _number(text)
    if seconds is None:
        compact = text.strip().lower()
        if not _DURATION.fullmatch(compact):
            return None
        seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(compact))
    return seconds if 0 <= seconds <= WAIT_MAX_S else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _unix(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
