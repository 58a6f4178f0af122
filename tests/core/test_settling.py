"""When a change is taken: not before it is quiet, never later than the limit, and none is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reindex.core import settling
from reindex.core.settling import FEW, OPEN_QUIET_S, WAIT_MAX_S, Settling

SETTLE_S = 0.05


@pytest.fixture
def paths():
    return Settling(SETTLE_S)


def test_a_saved_file_is_taken_after_its_quiet_time(paths):
    paths.hear("a", 0.0, is_complete=False)
    paths.hear("a", 0.01, is_complete=True)
    assert paths.due_at() == pytest.approx(0.06)
    assert paths.take(0.059) == []
    assert paths.take(0.061) == ["a"]
    assert not paths
    assert paths.due_at() is None
    assert paths.oldest() is None


def test_a_file_that_is_written_in_parts_waits_for_its_end(paths):
    for moment in (0.0, 0.1, 0.2):
        paths.hear("a", moment, is_complete=False)
        assert paths.take(moment + 0.09) == []
    assert paths.open_paths() == ["a"]
    paths.hear("a", 0.3, is_complete=True)
    assert paths.open_paths() == []
    assert paths.take(0.36) == ["a"]


def test_one_that_nobody_closes_is_taken_when_it_is_quiet(paths):
    paths.hear("a", 0.0, is_complete=False)
    assert paths.take(OPEN_QUIET_S - 0.01) == []
    assert paths.take(OPEN_QUIET_S) == ["a"]


def test_attributes_say_nothing_of_completeness(paths):
    paths.hear("a", 0.0, is_complete=False)
    paths.hear("a", 0.1, is_complete=None)
    assert paths.open_paths() == ["a"]
    paths.hear("b", 0.2, is_complete=None)
    assert paths.take(0.3) == ["b"]


def test_a_file_that_is_saved_without_a_pause_is_taken_all_the_same(paths):
    moment = 0.0
    while not paths.take(moment):
        paths.hear("a", moment, is_complete=True)
        moment += 0.01
        assert moment < WAIT_MAX_S + 0.1
    assert moment >= WAIT_MAX_S - 0.1


def test_saves_of_others_hold_a_file_up_for_a_moment_only(paths):
    paths.hear("a", 0.0, is_complete=True)
    for step in range(1, 100):
        moment = step * 0.04
        paths.hear("b", moment, is_complete=True)
        if "a" in paths.take(moment):
            break
    assert moment == pytest.approx(0.5, abs=0.05)


def test_a_burst_is_taken_whole_when_it_is_quiet(paths):
    names = [str(number) for number in range(FEW + 8)]
    for number, name in enumerate(names):
        paths.hear(name, number / 100, is_complete=True)
    end = (len(names) - 1) / 100
    assert paths.is_burst
    assert paths.take(end + 0.29) == []
    assert paths.take(paths.due_at()) == names


def test_a_large_burst_waits_longer(paths):
    for number in range(settling.BURST_LARGE):
        paths.hear(number, 0.0, is_complete=True)
    assert paths.due_at() == settling.BURST_QUIET_S[1]


def test_a_burst_goes_without_those_that_are_being_written(paths):
    for number in range(FEW + 8):
        paths.hear(number, 0.0, is_complete=True)
    paths.hear("long", 0.0, is_complete=False)
    for step in range(1, 40):  # and is not held up by them
        paths.hear("long", step / 100, is_complete=False)
    assert paths.due_at() < 0.5
    assert paths.take(0.5) == list(range(FEW + 8))
    assert list(paths) == ["long"]


def test_what_is_due_can_be_taken_when_all_of_a_burst_is_open(paths):
    """A waiter that is told too early a moment would turn without a rest."""
    for number in range(FEW + 8):
        paths.hear(number, number / 1000, is_complete=False)
    assert paths.due_at() == pytest.approx(OPEN_QUIET_S)
    assert paths.take(paths.due_at())


def test_a_burst_without_an_end_is_taken_at_the_limit(paths):
    taken, moment, number = [], 0.0, 0
    while not taken:
        paths.hear(number, moment, is_complete=True)
        number, moment = number + 1, moment + 0.01
        taken = paths.take(moment)
        assert moment < WAIT_MAX_S + 0.1
    assert moment >= WAIT_MAX_S - 0.1
    assert len(taken) >= number - 1


def test_forgotten_paths_leave_no_trace(paths):
    paths.hear("a", 0.0, is_complete=False)
    paths.hear("b", 0.0, is_complete=True)
    paths.forget(["a", "b", "c"])
    assert not paths
    assert paths.open_paths() == []
    assert "a" not in paths
    paths.hear("a", 1.0, is_complete=True)
    assert paths.due_at() == pytest.approx(1.05)


events = st.lists(
    st.tuples(
        st.integers(0, 60),  # which path
        st.sampled_from([True, False, None]),
        st.floats(0.0, 1.0) | st.floats(0.0, 0.01),  # after so long
        st.booleans(),  # whether something is taken then
    ),
    max_size=120,
)


@given(events, st.floats(0.0, 1.0))
def test_nothing_is_lost_or_taken_too_early_or_too_late(history, settle_s):
    paths = Settling(settle_s)
    heard = {}  # path -> first, last, whether it is complete
    moment = 0.0

    def take(now):
        oldest = min((first for first, _, _ in heard.values()), default=now)
        taken = paths.take(now)
        assert len(taken) == len(set(taken))
        for path in taken:
            _, last, is_complete = heard.pop(path)
            quiet_s = min(settle_s, settling.BURST_QUIET_S[0]) if is_complete else OPEN_QUIET_S
            assert now >= min(last + quiet_s, oldest + WAIT_MAX_S) - 1e-6
        return taken

    for path, is_complete, pause, is_taking in history:
        moment += pause
        first, _, was_complete = heard.get(path, (moment, moment, True))
        heard[path] = (first, moment, was_complete if is_complete is None else is_complete)
        paths.hear(path, moment, is_complete=is_complete)
        assert set(paths) == set(heard)
        assert set(paths.open_paths()) == {path for path, (_, _, done) in heard.items() if not done}
        if is_taking:
            take(moment)
    while heard:  # quiet from now on: each moment that is due gives something
        due = paths.due_at()
        assert due <= max(moment, min(first for first, _, _ in heard.values()) + WAIT_MAX_S) + 1e-6
        moment = max(moment, due)
        assert take(moment)
    assert paths.due_at() is None
