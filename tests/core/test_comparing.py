"""Recall and overlap of answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reindex.core.comparing import DEPTH, compare, mean, recall

ANSWERS = st.lists(st.sampled_from("abcdefghijklmnop"), max_size=15)


def test_what_is_moved_lost_and_gained():
    found = compare(["a", "b", "c", "d"], ["b", "a", "c", "e"])
    assert found.overlap == pytest.approx(0.75)
    assert (found.moved, found.lost, found.gained) == (("b", "a"), ("d",), ("e",))


def test_only_the_first_ten_count():
    before = [str(number) for number in range(20)]
    assert compare(before, before[:DEPTH]).overlap == 1.0
    assert compare(before, before[DEPTH:]).overlap == 0.0


def test_two_empty_answers_are_alike():
    assert compare([], []).overlap == 1.0
    assert compare([], ["a"]).overlap == 0.0


@given(ANSWERS, ANSWERS)
def test_compared_the_other_way_round(first, second):
    there, back = compare(first, second), compare(second, first)
    assert there.overlap == back.overlap
    assert 0 <= there.overlap <= 1
    assert set(there.lost) == set(back.gained)
    assert set(there.moved) == set(back.moved)
    assert (there.overlap == 1.0) == (not there.lost and not there.gained)


def test_recall():
    assert recall(["a", "b", "b", "c"], {"b", "x"}) == 0.5
    assert recall([str(number) for number in range(20)], {"10"}) == 0.0
    assert recall([str(number) for number in range(20)], {str(number) for number in range(20)}) == 1.0


def test_the_mean_of_nothing_is_unknown():
    assert mean([]) is None
    assert mean([1.0, 0.0]) == 0.5
