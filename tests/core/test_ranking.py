"""Two rankings into one."""

from hypothesis import given
from hypothesis import strategies as st

from reindex.core.ranking import RRF_K, best_with_ties, ranks, reciprocal_rank_fusion

scores = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 4).map(float))


@given(scores)
def test_a_rank_is_how_many_are_better(given_scores):
    found = ranks(given_scores)
    assert found == {
        identity: 1 + sum(other > score for other in given_scores.values())
        for identity, score in given_scores.items()
    }


@given(st.lists(scores, max_size=3))
def test_fused_are_all_of_them_in_whatever_order(rankings):
    fused = reciprocal_rank_fusion(rankings)
    assert set(fused) == {identity for ranking in rankings for identity in ranking}
    backwards = [dict(reversed(ranking.items())) for ranking in rankings]
    assert reciprocal_rank_fusion(backwards) == fused


@given(scores)
def test_one_ranking_keeps_its_order(ranking):
    fused = reciprocal_rank_fusion([ranking, {}])
    assert ranks(fused) == ranks(ranking)


def test_the_score_is_the_sum_of_the_reciprocal_ranks():
    fused = reciprocal_rank_fusion([{"a": 9.0, "b": 5.0}, {"b": 0.1}])
    assert fused == {"a": 1 / (RRF_K + 1), "b": 1 / (RRF_K + 2) + 1 / (RRF_K + 1)}


@given(scores, st.integers(1, 9))
def test_the_best_and_what_is_equal_to_the_last_of_them(given_scores, k):
    best = best_with_ties(given_scores, k)
    assert best == {identity: score for identity, score in given_scores.items() if identity in best}
    others = [score for identity, score in given_scores.items() if identity not in best]
    assert len(best) >= min(k, len(given_scores))
    assert len({*best.values()} & {*others}) == 0
    assert sum(score > min(best.values()) for score in best.values()) < k if best else not given_scores
