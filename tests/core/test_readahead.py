"""Working ahead in a thread: in order, within a limit, and gone when nobody takes more."""

import threading

import pytest

from reindex.readahead import ahead

WAIT_S = 20


def test_results_come_in_order_with_their_items():
    assert list(ahead(range(100), lambda n: n * n, lambda _: 1, 7)) == [(n, n * n) for n in range(100)]


def test_nothing_is_nothing():
    assert list(ahead([], abs, lambda _: 1, 7)) == []


def test_what_waits_weighs_no_more_than_the_limit_and_one():
    begun = []
    taken = 0
    for _ in ahead(range(50), begun.append, lambda _: 3, 5):
        taken += 1
        # two wait (3 + 3 is over 5), one is done and has no place yet, one was handed over just now
        assert len(begun) <= taken + 3
    assert taken == 50


def test_work_goes_on_while_a_result_is_used():
    second_began = threading.Event()

    def work(number):
        if number == 1:
            second_began.set()
        return number

    for item, _ in ahead([0, 1], work, lambda _: 1, 5):
        if item == 0:
            assert second_began.wait(WAIT_S)


def test_an_error_comes_at_its_place():
    results = ahead([3, 2, 0, 1], lambda n: 6 // n, lambda _: 1, 5)
    assert [next(results), next(results)] == [(3, 2), (2, 3)]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_closing_ends_the_thread():
    before = threading.active_count()
    done = []
    results = ahead(range(1_000_000), done.append, lambda _: 1, 5)
    next(results)
    results.close()
    assert threading.active_count() == before
    assert len(done) < 20


def test_closing_cancels_the_item_in_hand():
    begun, cancelled = threading.Event(), threading.Event()

    def work(number):
        if number == 1:
            begun.set()
            assert cancelled.wait(WAIT_S)
        return number

    results = ahead(range(10), work, lambda _: 1, 5, cancel=cancelled.set)
    next(results)
    assert begun.wait(WAIT_S)
    results.close()
    assert cancelled.is_set()


def test_nothing_is_cancelled_at_the_end():
    cancelled = []
    results = ahead(range(3), abs, lambda _: 1, 5, cancel=lambda: cancelled.append(1))
    assert len(list(results)) == 3
    assert not cancelled


def test_closing_before_the_first_ends_it_too():
    before = threading.active_count()
    ahead(range(10), abs, lambda _: 1, 5).close()
    assert threading.active_count() == before


def test_something_else_is_done_while_nothing_is_there():
    idle = threading.Event()

    def work(item):
        assert idle.wait(WAIT_S)
        return item

    assert [done for _, done in ahead(range(3), work, lambda _: 1, 5, idle=idle.set)] == [0, 1, 2]
