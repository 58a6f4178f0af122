"""Two rankings into one."""

from hypothesis import given
from hypothesis import strategies as st

from reindex.core.ranking import RRF_K, reciprocal_rank_fusion

rankings = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=3)


@given(rankings)
def test_everything_once_best_first(given_rankings):
    fused = reciprocal_rank_fusion(given_rankings)
    assert {identity for identity, _ in fused} == {i for ranking in given_rankings for i in ranking}
    assert len({identity for identity, _ in fused}) == len(fused)
    scores = [score for _, score in fused]
    assert scores == sorted(scores, reverse=True)


@given(st.lists(st.sampled_from("abcdefgh"), unique=True))
def test_one_ranking_keeps_its_order(ranking):
    assert [identity for identity, _ in reciprocal_rank_fusion([ranking, []])] == ranking


def test_the_score_is_the_sum_of_the_reciprocal_ranks():
    fused = dict(reciprocal_rank_fusion([["a", "b"], ["b"]]))
    assert fused == {"a": 1 / (RRF_K + 1), "b": 1 / (RRF_K + 2) + 1 / (RRF_K + 1)}


def test_equal_scores_are_told_apart_by_name():
    assert [i for i, _ in reciprocal_rank_fusion([["b"], ["a"]])] == ["a", "b"]
