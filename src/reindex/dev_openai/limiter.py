"""Requests and tokens per minute, and the headers that tell of them."""

from __future__ import annotations

import threading
from collections import deque

from reindex.dev_openai.options import Clock, Options
from reindex.dev_openai.refusals import rate_limited

_MINUTE_S = 60.0
_SHOWN_REQUESTS, _SHOWN_TOKENS = 10_000, 10_000_000  # where there is no limit


class Limiter:
    """Counts what was asked in the last minute, for all models together."""

    def __init__(self, clock: Clock, options: Options) -> None:
        self._clock, self._options = clock, options
        self._lock = threading.Lock()
        self._asked: deque[tuple[float, int]] = deque()

    def admit(self, model: str, tokens: int) -> dict[str, str]:
        """The x-ratelimit headers. Raises Refusal, with the seconds until there is room again."""
        now = self._clock.now()
        with self._lock:
            while self._asked and self._asked[0][0] <= now - _MINUTE_S:
                self._asked.popleft()
            requests, used = len(self._asked), sum(count for _, count in self._asked)
            requests_max = self._options.requests_per_minute
            tokens_max = self._options.tokens_per_minute
            wait_s = _MINUTE_S - (now - self._asked[0][0]) if self._asked else 0.0
            if requests_max and requests >= requests_max:
                raise rate_limited(round(wait_s, 3), model, "requests", requests_max)
            if tokens_max and used + tokens > tokens_max:
                raise rate_limited(round(max(wait_s, 0.001), 3), model, "tokens", tokens_max)
            self._asked.append((now, tokens))
        return _headers(
            requests_max or _SHOWN_REQUESTS,
            requests + 1,
            tokens_max or _SHOWN_TOKENS,
            used + tokens,
        )


def _headers(requests_max: int, requests: int, tokens_max: int, tokens: int) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(requests_max),
        "x-ratelimit-remaining-requests": str(max(0, requests_max - requests)),
        "x-ratelimit-reset-requests": _duration(_MINUTE_S * requests / requests_max),
        "x-ratelimit-limit-tokens": str(tokens_max),
        "x-ratelimit-remaining-tokens": str(max(0, tokens_max - tokens)),
        "x-ratelimit-reset-tokens": _duration(_MINUTE_S * tokens / tokens_max),
    }


def _duration(seconds: float) -> str:
    """As the API writes it: 8ms, 1.5s, 1m0s."""
    if seconds < 1:
        return f"{int(seconds * 1000)}ms"
    if seconds < _MINUTE_S:
        return f"{seconds:g}s"
    return f"{int(seconds // 60)}m{int(seconds % 60)}s"
