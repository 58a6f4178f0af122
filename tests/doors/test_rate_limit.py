"""The limiter, against clocks of its own and a provider that counts as OpenAI does."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_double import Clock, headers_of
from reindex.embedders.rate_limit import BACKOFF_MAX_S, RateLimiter
from reindex.embedders.rate_limit_headers import WAIT_MAX_S
from reindex.errors import OutageError


def limiter_of(clock):
    return RateLimiter(clock.time, clock.sleep, jitter=lambda: 0.0)


def pass_one(limiter, tokens, headers=None, wait_max_s=1e9):
    with limiter.turn(tokens, wait_max_s) as turn:
        if headers is not None:
            turn.learn(headers)


class Provider:
    """A bucket of each kind that fills steadily, as OpenAI keeps them, and says so in its headers."""

    def __init__(self, clock, requests_a_minute, tokens_a_minute):
        self._clock = clock
        self._limits = {"requests": requests_a_minute, "tokens": tokens_a_minute}
        self._left = dict(self._limits)
        self._at = clock.time()
        self.refused = 0
        self.tokens = 0
        self._lock = threading.Lock()

    def take(self, tokens):
        """(is it let pass, headers)"""
        with self._lock:
            now = self._clock.time()
            for kind, limit in self._limits.items():
                self._left[kind] = min(limit, self._left[kind] + (now - self._at) * limit / 60)
            self._at = now
            needed = {"requests": 1, "tokens": tokens}
            rounding_s = 0.01  # the headers are rounded, and so is what is reckoned by them
            passes = all(
                self._left[kind] >= needed[kind] - self._limits[kind] / 60 * rounding_s for kind in needed
            )
            if passes:
                self.tokens += tokens
                for kind, count in needed.items():
                    self._left[kind] -= count
            else:
                self.refused += 1
            headers = {}
            for kind, limit in self._limits.items():
                reset = (limit - self._left[kind]) / limit * 60
                headers |= headers_of(limit, int(self._left[kind]), f"{reset:.3f}s", kind)
            return passes, headers


@given(
    st.integers(1, 600),
    st.integers(200, 5000),
    st.lists(st.integers(1, 200), min_size=1, max_size=20),
    st.integers(0, 40),
)
def test_one_lane_is_never_refused_and_wastes_no_time(requests, tokens, asked, pause):
    clock = Clock()
    limiter, provider = limiter_of(clock), Provider(clock, requests, tokens)
    started = clock.time()
    for count in asked:
        clock.now += pause / 10
        with limiter.turn(count, 1e9) as turn:
            passes, headers = provider.take(count)
            turn.learn(headers)
        assert passes
    needed_s = 60 * max((len(asked) - 2) / requests - 1, (sum(asked) - 200) / tokens - 1, 0)
    idle_s = len(asked) * pause / 10
    took_s = clock.time() - started
    assert (
        took_s <= needed_s + idle_s + 60 * (len(asked) + 1) / tokens + 60 / requests * 3 + 60 * 400 / tokens
    )


@given(st.integers(1, 5), st.integers(100, 2000), st.lists(st.integers(1, 100), min_size=1, max_size=12))
def test_lanes_together_are_seldom_refused_and_all_come_through(lanes, tokens, asked):
    clock = Clock()
    limiter, provider = limiter_of(clock), Provider(clock, 10_000, tokens)
    pass_one(limiter, 1, provider.take(1)[1])
    refused = []

    def lane():
        for count in asked:
            passes = False
            while not passes:
                with limiter.turn(count, 1e9) as turn:
                    passes, headers = provider.take(count)
                    turn.learn(headers)
                if not passes:
                    refused.append(count)
                    limiter.hold(1.0)

    threads = [threading.Thread(target=lane) for _ in range(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert provider.tokens == lanes * sum(asked) + 1
    assert len(refused) <= lanes * len(asked) * 0.1


def test_nothing_waits_where_nothing_is_known():
    clock = Clock()
    limiter = limiter_of(clock)
    for _ in range(100):
        pass_one(limiter, 1_000_000, {})
    assert clock.waits == []


def test_it_waits_for_what_the_remainder_can_t_carry_and_no_longer():
    clock = Clock()
    limiter = limiter_of(clock)
    pass_one(limiter, 1, headers_of(1000, 100, "54s"))
    assert limiter.wait_s(100) == 0
    assert limiter.wait_s(400) == pytest.approx(300 * 54 / 900)
    pass_one(limiter, 400)
    assert sum(clock.waits) == pytest.approx(18)


def test_a_request_over_the_limit_waits_for_all_of_it_and_goes():
    clock = Clock()
    limiter = limiter_of(clock)
    pass_one(limiter, 1, headers_of(1000, 100, "54s"))
    pass_one(limiter, 5000)
    assert sum(clock.waits) == pytest.approx(54)


def test_requests_under_way_are_counted():
    clock = Clock()
    limiter = limiter_of(clock)
    pass_one(limiter, 1, headers_of(1000, 1000, "0s"))
    with limiter.turn(700, 1e9):
        assert limiter.wait_s(300) == 0
        assert limiter.wait_s(301) > 0
        with pytest.raises(OutageError):
            pass_one(limiter, 600, wait_max_s=0.01)
    assert limiter.wait_s(1000) == 0


def test_a_request_without_an_answer_is_likely_to_have_been_counted():
    clock = Clock()
    limiter = limiter_of(clock)
    pass_one(limiter, 1, headers_of(1000, 500, "30s"))
    with pytest.raises(ZeroDivisionError), limiter.turn(400, 1e9):
        raise ZeroDivisionError
    assert limiter.wait_s(100) == 0
    assert limiter.wait_s(200) == pytest.approx(6)


def test_a_pause_that_is_asked_for_holds_for_all():
    clock = Clock()
    limiter = limiter_of(clock)
    limiter.hold(30)
    limiter.hold(10)
    assert limiter.wait_s(1) == 30
    with pytest.raises(OutageError) as caught:
        pass_one(limiter, 1, wait_max_s=29)
    assert (caught.value.wait_s, caught.value.is_lasting, clock.waits) == (30, False, [])
    pass_one(limiter, 1, wait_max_s=30)
    assert sum(clock.waits) == pytest.approx(30)


def test_waits_end_at_once_when_it_is_to_stop():
    clock = Clock()
    limiter = limiter_of(clock)
    limiter.hold(1000)
    with pytest.raises(OutageError, match="ended"), limiter.turn(1, 1e9, lambda: len(clock.waits) == 5):
        pass
    with pytest.raises(OutageError, match="ended"):
        limiter.pause(1000, lambda: len(clock.waits) == 7)
    assert len(clock.waits) == 7
    assert max(clock.waits) <= 0.1


def test_an_interrupt_gives_back_what_was_taken():
    clock = Clock()
    limiter = limiter_of(clock)
    pass_one(limiter, 1, headers_of(1000, 1000, "0s"))
    with pytest.raises(KeyboardInterrupt), limiter.turn(900, 1e9):
        raise KeyboardInterrupt
    assert limiter.wait_s(1000) == 0


def test_who_is_always_overtaken_gives_up_in_the_end():
    clock = Clock()
    limiter = limiter_of(clock)

    def overtaken(seconds):
        clock.now += seconds
        clock.waits.append(seconds)
        limiter.hold(1.0)

    limiter._sleep = overtaken
    limiter.hold(1.0)
    with pytest.raises(OutageError):
        pass_one(limiter, 1, wait_max_s=2)
    assert 20 <= sum(clock.waits) < 21


@given(st.integers(0, 5000), st.floats(0, 1, exclude_max=True))
def test_the_backoff_doubles_within_its_limits(attempt, jitter):
    wait_s = RateLimiter(jitter=lambda: jitter).backoff_s(attempt)
    whole = min(BACKOFF_MAX_S, 0.5 * 2.0 ** min(attempt, 40))
    assert 0.75 * whole <= wait_s <= whole


words = st.one_of(
    st.none(), st.sampled_from(["0", "-5", "1e9", "7", "1s", "6m0s", "inf", "nan", "x", "1e-9"])
)


@given(words, words, words, st.integers(0, 10**6))
def test_no_headers_make_it_wait_for_ever_or_fail(limit, remaining, reset, tokens):
    found = headers_of(limit, remaining, reset)
    clock = Clock()
    limiter = limiter_of(clock)
    pass_one(limiter, 1, {name: value for name, value in found.items() if value != "None"})
    assert 0 <= limiter.wait_s(tokens) <= WAIT_MAX_S
