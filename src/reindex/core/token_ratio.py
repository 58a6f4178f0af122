"""How many tokens a provider counts where we could only estimate: learned from its answers and refusals.

An estimate that leans high leaves requests unfilled: by a fifth for English. It is wrong by nearly the same
share for one request of many texts as for the next, so that what was billed for the last ones tells how full
the next may be. A request that is too full all the same is refused, costs nothing, and is sent by halves.
"""

import re

TOO_MANY_TOKENS = "max_tokens_per_request"  # the code of such a refusal
EVIDENCE_TOKENS_MIN = 10_000  # estimated, of a request that says something about others
LEAST, MOST = 0.5, 64.0  # no estimate is wronger than that: the server counts something else
MARGIN = 1.02

_FALL = 0.5
_REQUESTED = re.compile(r"[Rr]equested:?\s+([\d,]*\d)")
_ALLOWED = re.compile(r"(?:\bmax|[Ll]imit):?\s+([\d,]*\d)")


def estimated_max(ratio: float | None, tokens_max: int) -> int:
    """Estimated tokens of a request that has no more than `tokens_max`. `ratio` is what an estimated one came
    to; None: nothing is known, and the estimate is taken for right.
    """
    return max(1, tokens_max if ratio is None else int(tokens_max / (ratio * MARGIN)))


def after_answer(ratio: float | None, estimated: int, billed: int) -> float | None:
    """The ratio once a request was answered: it rises at once, and falls by half of the way, because texts
    that are near each other are alike, and the next may be like those before.
    """
    if estimated < EVIDENCE_TOKENS_MIN or billed <= 0:
        return ratio
    found = billed / estimated
    return _bounded(found if ratio is None else max(found, ratio + (found - ratio) * _FALL))


def after_refusal(estimated: int, tokens_max: int, message: str) -> float:
    """The ratio once a request was refused for its tokens. The message mostly says how many they are and how
    many may be, which need not be `tokens_max`: a server that takes less is believed. Else they were more.
    """
    requested, allowed = _number(_REQUESTED, message), _number(_ALLOWED, message)
    tokens = requested / (allowed or tokens_max) * tokens_max if requested else tokens_max
    return _bounded(max(tokens, tokens_max) / max(1, estimated))


def _bounded(ratio: float) -> float:
    return min(MOST, max(LEAST, ratio))


def _number(pattern: re.Pattern[str], message: str) -> int:
    found = pattern.search(message)
    return int(found.group(1).replace(",", "")) if found else 0
