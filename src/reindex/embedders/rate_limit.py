"""One limiter for all that a process asks of a provider: it learns from the answers, and waits before what
they can't carry.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from reindex.embedders.rate_limit_headers import Allowance, Headers, allowances
from reindex.errors import OutageError

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 30.0
_JITTER_SHARE = 0.25
_STEP_S = 0.1  # between two looks at `stop`, and at what others have learnt
_INSTANT_S = 1e-4  # what the clock's own coarseness may leave of a wait
_CROWDED_TIMES_MAX = 10  # how many of its longest waits a request may spend while others go before it

Stop = Callable[[], bool]
"""Whether what waits is to give up: a daemon that ends, an interrupt."""


def never() -> bool:
    """A `Stop` that never comes."""
    return False


class Turn:
    """A request that may be sent now, until its answer is there."""

    def __init__(self, tokens: int, answers_before: int) -> None:
        self.tokens = tokens
        self.answers_before = answers_before
        self.headers: Headers | None = None

    def learn(self, headers: Headers) -> None:
        """What the answer's headers say, be it a refusal's."""
        self.headers = headers


class RateLimiter:
    """Safe from any thread, and shared by all lanes. Where nothing is known, nothing waits.

    Requests that are under way are counted as spent beside what the last answer says: it may know of them
    already, and then the count is too high until they are answered.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`clock` in seconds, never going back; `jitter` gives 0 up to 1."""
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._lock = threading.Lock()
        self._allowances: dict[str, Allowance] = {}
        self._held_until = clock()
        self._flying = {"requests": 0, "tokens": 0}
        self._answers = 0  # that told of limits

    @contextmanager
    def turn(self, tokens: int, wait_max_s: float, stop: Stop = never) -> Iterator[Turn]:
        """Wait until a request of so many tokens may be sent; send it inside.

        Raises OutageError when that is longer than `wait_max_s` ahead, or when it is to stop.
        """
        turn = self._take(tokens, wait_max_s, stop)
        try:
            yield turn
        finally:
            self._give_back(turn)

    def hold(self, seconds: float) -> None:
        """The provider asked for a pause: nobody sends before."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)

    def wait_s(self, tokens: int) -> float:
        """How long a request of so many tokens would have to wait, if nothing else were sent."""
        with self._lock:
            return self._wait_s(tokens)

    def backoff_s(self, attempt: int) -> float:
        """How long to wait after attempt number `attempt` (from 0) has failed: doubling, with jitter."""
        longest = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(attempt, 30))
        return longest * (1.0 - _JITTER_SHARE * self._jitter())

    def pause(self, seconds: float, stop: Stop = never) -> None:
        """Wait so long. Raises OutageError when it is to stop."""
        until = self._clock() + seconds
        while (left := until - self._clock()) > 0:
            self._step(left, stop)

    def _take(self, tokens: int, wait_max_s: float, stop: Stop) -> Turn:
        give_up_at = self._clock() + _CROWDED_TIMES_MAX * wait_max_s
        while True:
            with self._lock:
                wait_s = self._wait_s(tokens)
                if wait_s < _INSTANT_S:
                    self._flying["requests"] += 1
                    self._flying["tokens"] += tokens
                    return Turn(tokens, self._answers)
            if wait_s > wait_max_s or self._clock() > give_up_at:
                raise OutageError(
                    f"the provider's rate limit lets the next request pass in {wait_s:,.0f} s",
                    "The next run goes on; [embedding.openai] retry_wait_max_s lets a run wait longer.",
                    wait_s=wait_s,
                    code="rate_limit_exceeded",
                )
            self._step(wait_s, stop)

    def _wait_s(self, tokens: int) -> float:
        now = self._clock()
        longest = self._held_until - now
        needed = {"requests": 1, "tokens": tokens}
        for kind, allowance in self._allowances.items():
            flying = self._flying[kind]
            wait_s = allowance.wait_s(needed[kind] + flying, now)
            if flying and wait_s <= 0 and needed[kind] + flying > allowance.limit:
                wait_s = _STEP_S  # all of it is there, and others have it
            longest = max(longest, wait_s)
        return max(0.0, longest)

    def _give_back(self, turn: Turn) -> None:
        with self._lock:
            now = self._clock()
            self._flying["requests"] -= 1
            self._flying["tokens"] -= turn.tokens
            told = allowances(turn.headers, now) if turn.headers is not None else {}
            spent = {"requests": 1, "tokens": turn.tokens}
            for kind, known in self._allowances.items():
                if kind not in told:  # no answer told, but it is likely to have been counted
                    told[kind] = _spent(known, known.available(now) - spent[kind], now)
                elif turn.answers_before < self._answers and known.available(now) < told[kind].available(now):
                    told[kind] = known  # this answer may be older than one that overtook it
            self._allowances = told
            self._answers += turn.headers is not None

    def _step(self, seconds: float, stop: Stop) -> None:
        if stop():
            raise OutageError("the wait for the provider was ended", "The next run goes on.")
        self._sleep(min(seconds, _STEP_S))


def _spent(allowance: Allowance, left: float, now: float) -> Allowance:
    """With so much left, and filled at the same pace as before."""
    if allowance.limit <= allowance.remaining:  # its pace is not known: what is spent is whole at once
        return replace(allowance, at=now, whole_at=now)
    pace = (allowance.limit - allowance.remaining) / max(1e-9, allowance.whole_at - allowance.at)
    left = max(0.0, left)
    return Allowance(allowance.limit, left, now, now + (allowance.limit - left) / pace)
