"""Work in a thread beside other work: what it writes is over before anybody else may write."""

import threading

import pytest

from processes import LIMIT_S
from reindex.meanwhile import UnhurriedEmbedder, run_beside


class Interrupted(BaseException):
    """Ctrl-C."""


def interrupt():
    raise Interrupted


def test_what_it_returns_and_what_it_raises():
    steps = []
    seen = threading.Event()
    assert run_beside(lambda: seen.wait(LIMIT_S) and 7, lambda: (steps.append(1), seen.set())) == 7
    assert steps
    with pytest.raises(ZeroDivisionError):
        run_beside(lambda: 1 // 0, lambda: None)


def test_an_interruption_waits_for_what_writes():
    """The lock is released where it is raised."""
    begun, written = threading.Event(), []

    def write():
        assert begun.wait(LIMIT_S)
        written.append("whole")

    def interrupted():
        threading.Timer(0.2, begun.set).start()  # after the interruption
        interrupt()

    with pytest.raises(Interrupted):
        run_beside(write, interrupted)
    assert written == ["whole"]


def test_an_interruption_waits_for_no_server():
    answer = threading.Event()
    with pytest.raises(Interrupted):
        run_beside(lambda: answer.wait(LIMIT_S), interrupt, abandons=True)
    assert not answer.is_set()
    answer.set()


class Failing:
    """A provider whose answer is lost once, and wrong once."""

    def embed_partly(self, texts, token_counts, on_lost, on_wrong):
        on_lost(len(texts), sum(token_counts))
        on_wrong(1, 2)
        raise ConnectionError


def test_what_was_lost_is_told_in_the_thread_that_asked():
    told = []

    def tell(what):
        return lambda texts, tokens: told.append((what, texts, tokens, threading.current_thread()))

    embedder = UnhurriedEmbedder(Failing(), lambda: None)
    with pytest.raises(ConnectionError):
        embedder.embed_partly(["a", "b"], [3, 4], tell("lost"), tell("wrong"))
    here = threading.current_thread()
    assert told == [("lost", 2, 7, here), ("wrong", 1, 2, here)]
