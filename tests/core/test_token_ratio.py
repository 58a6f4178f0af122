import pytest

from reindex.core.token_ratio import after_answer, after_refusal, estimated_max

MAX = 300_000


def test_unknown_the_estimate_is_taken_for_right():
    assert estimated_max(None, MAX) == MAX


def test_what_was_billed_makes_the_next_request_fuller_by_less_than_it_was_wrong():
    ratio = after_answer(None, 300_000, 240_000)
    assert ratio == 0.8
    assert MAX < estimated_max(ratio, MAX) < MAX / 0.8


def test_it_rises_at_once_and_falls_by_half_of_the_way():
    assert after_answer(0.8, 300_000, 270_000) == 0.9
    assert after_answer(0.9, 300_000, 240_000) == pytest.approx(0.85)


@pytest.mark.parametrize(("estimated", "billed"), [(100, 40), (300_000, 0)])
def test_a_small_request_and_an_answer_without_a_count_say_nothing(estimated, billed):
    assert after_answer(None, estimated, billed) is None
    assert after_answer(0.9, estimated, billed) == 0.9


@pytest.mark.parametrize("billed", [1, 10**15])
def test_a_count_that_makes_no_sense_is_believed_within_bounds(billed):
    ratio = after_answer(None, 300_000, billed)
    assert 1_000 < estimated_max(ratio, MAX) < 2 * MAX


@pytest.mark.parametrize(
    ("message", "ratio"),
    [
        ("Requested 360000 tokens, max 300000 tokens per request", 1.2),
        ("Requested 120,000 tokens, max 100,000 tokens per request", 1.2),  # of a server that takes less
        ("too many tokens", 1.0),
        ("Requested 1 tokens, max 300000 tokens per request", 1.0),  # it was refused all the same
    ],
)
def test_after_a_refusal_the_same_request_is_known_to_be_too_full(message, ratio):
    found = after_refusal(300_000, MAX, message)
    assert found == pytest.approx(ratio)
    assert estimated_max(found, MAX) < 300_000


def test_without_a_number_more_than_the_limit_is_believed_of_a_small_estimate():
    assert after_refusal(200_000, MAX, "") == 1.5
