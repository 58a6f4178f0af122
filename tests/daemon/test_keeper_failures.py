"""What fails is said, with what to do about it, and goes on by itself when it can."""

import threading
import time

import pytest

from daemon.conftest import Kept
from doubles import POINTS, Crash, crash_at, paragraphs
from house.laws_faults import FAULTS, failing
from reindex.syncing import sync_with

OF_A_PASS = [
    fault
    for fault in FAULTS
    if fault[2] in {"full", "lost"} and fault[0] not in {"restore", "create_index", "optimize"}
]


def names(kept):
    return {layout.name.path for layout in kept.house.snapshot().layouts()}


def test_a_model_that_is_down_is_tried_again_until_it_is_back(kept, quickly):
    kept.house.embedder.is_down = True
    kept.house.write("a.md", paragraphs(1))
    kept.until(lambda: kept.condition.errors["EmbeddingError"] >= 3)
    assert kept.condition.state == "degraded"
    assert "provider is down" in kept.condition.reasons()[0]
    assert names(kept) == {"first.md"}
    kept.house.write("b.md", paragraphs(2))
    kept.house.embedder.is_down = False
    kept.until_equal()
    assert kept.condition.state == "ready"
    assert names(kept) == {"first.md", "a.md", "b.md"}
    assert not kept.house.embedder.paid_twice


def test_the_pauses_after_a_failure_double_and_no_event_cuts_them_short(kept, monkeypatch):
    monkeypatch.setattr("reindex.daemon.schedule.BACKOFF_S", (0.3, 60.0))
    kept.keeper._schedule._backoff_s = 0.3
    events = []
    plain = kept.keeper._failed

    def sync_later(*arguments, **options):
        events.append(("started", time.monotonic()))
        return sync_with(*arguments, **options)

    monkeypatch.setattr("reindex.daemon.keeper.sync_with", sync_later)
    kept.keeper._failed = lambda *failure: (events.append(("failed", time.monotonic())), plain(*failure))
    kept.house.embedder.is_down = True
    kept.house.write("a.md", paragraphs(1))
    kept.until(lambda: "failed" in dict(events))

    def are_enough():
        kept.house.write("b.md", paragraphs(time.monotonic_ns()))
        return [name for name, _ in events].count("failed") >= 4

    kept.until(are_enough)
    while events[0][0] != "failed" or events[1][0] != "started":
        events.pop(0)  # a pass that began before the model went down
    for number in range(3):
        (failed, end), (started, start) = events[2 * number : 2 * number + 2]
        assert (failed, started) == ("failed", "started")
        assert start - end >= 0.3 * 2**number - 0.01


@pytest.mark.parametrize("why", ["paused", "backing off"])
def test_who_may_not_work_sleeps_though_something_is_due(kept, why):
    turns = []
    plain = kept.keeper._turn
    kept.keeper._turn = lambda *arguments: (turns.append(1), plain(*arguments))
    if why == "paused":
        kept.condition.is_paused = True
    else:
        kept.keeper._schedule.not_before = time.monotonic() + 30
    kept.keeper._wake()
    kept.until(lambda: turns)
    for number in range(3):
        kept.house.write(f"{number}.md", paragraphs(number))
    kept.until(lambda: kept.condition.waiting == 3 and kept.condition.waiting_s > 0)
    end = time.monotonic() + 0.5  # well over the quiet time
    before = len(turns)
    while time.monotonic() < end:
        assert len(turns) - before < 10
    assert names(kept) == {"first.md"}
    kept.condition.is_paused, kept.keeper._schedule.not_before = False, 0.0
    kept.keeper._wake()
    kept.until_equal()


@pytest.mark.parametrize("fault", OF_A_PASS, ids=" ".join)
def test_a_store_that_fails_is_said_and_gone_on_with(house, quickly, fault):
    house.write("first.md", paragraphs(1))
    house.write("second.md", paragraphs(2))
    house.sync()
    sent = len(house.embedder.batches)
    house.write("first.md", paragraphs(1, 3))
    (house.docs / "second.md").unlink()
    with failing(fault) as hits, Kept(house) as kept:
        kept.until_equal()
        assert hits, "a fault that no pass meets proves nothing"
        assert kept.condition.errors or fault[1] == "lost rename", "it was said"
        assert kept.condition.state == "ready"
        assert not kept.condition.failure
    again = set(house.embedder.paid_twice)
    assert any(again <= set(batch) for batch in house.embedder.batches[sent:]), "more than a batch"


def test_a_bug_in_a_pass_does_not_end_the_loop(kept, quickly, monkeypatch):
    calls = []

    def fail_twice(*arguments, **options):
        calls.append(1)
        if len(calls) <= 2:
            raise ZeroDivisionError("a bug of ours")
        return sync_with(*arguments, **options)

    monkeypatch.setattr("reindex.daemon.keeper.sync_with", fail_twice)
    kept.house.write("a.md", paragraphs(1))
    kept.until(lambda: kept.condition.failure)
    assert "a bug: ZeroDivisionError: a bug of ours" in kept.condition.failure
    kept.until_equal()
    assert kept.condition.state == "ready"
    assert kept.condition.errors


def test_a_bug_while_listening_does_not_end_the_loop(kept, quickly, monkeypatch):
    watcher = kept.keeper._watcher
    failed = threading.Event()

    def fail(*_):
        failed.set()
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(watcher, "_hear", fail)
    kept.house.write("a.md", paragraphs(1))
    kept.until(failed.is_set)
    kept.until_equal()


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_of_a_pass_is_made_up_for_by_the_next_keeper(house, quickly, point):
    house.write("first.md", "The first.")
    died = threading.Event()
    with Kept(house) as kept:

        def die(error):
            assert issubclass(error.exc_type, Crash)
            died.set()

        before, threading.excepthook = threading.excepthook, die
        try:
            with crash_at(point) as seen:
                for number in range(4):
                    house.write(f"d{number}.md", paragraphs(*range(10 * number, 10 * number + 4)))
                kept.until(lambda: seen)
                kept.until(died.is_set)
        finally:
            threading.excepthook = before
    (house.docs / "d1.md").unlink()
    (house.docs / "d2.md").rename(house.docs / "moved.md")
    house.write("d3.md", paragraphs(99))
    with Kept(house) as kept:
        kept.until_equal()
        house.check()
        last = set(house.embedder.paid_twice)
        assert any(last <= set(batch) for batch in house.embedder.batches), "more than one batch"


def test_what_happens_while_nobody_runs_is_caught_up_with(house, quickly, tmp_path):
    for number in range(6):
        house.write(f"a/{number}.md", paragraphs(number))
    with Kept(house) as kept:
        kept.until_equal()
    sent = house.embedder.sent.total()
    (house.docs / "a").rename(house.docs / "b")
    (house.docs / "b" / "0.md").unlink()
    house.write("b/1.md", paragraphs(77))
    with Kept(house) as kept:
        kept.until_equal()
        assert names(kept) == {f"b/{number}.md" for number in range(1, 6)}
        assert house.embedder.sent.total() == sent + 1


def test_a_text_that_the_model_refuses_fails_alone(kept, quickly):
    text = paragraphs(5).strip()
    kept.house.embedder.refuses = frozenset({text})
    kept.house.write("bad.md", text)
    kept.house.write("good.md", paragraphs(6))
    kept.until(lambda: kept.house.verify().failed == 1)
    assert "good.md" in names(kept)
    assert kept.condition.state == "ready"
    kept.house.write("good.md", paragraphs(7))
    kept.until_equal()
