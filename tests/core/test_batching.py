"""Texts into encoder batches, and into requests."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from reindex.core.batching import request_batches, token_batches

counts = st.lists(st.integers(1, 300), max_size=60)
budgets = st.integers(1, 1024)


@given(counts, budgets)
def test_every_text_is_in_one_batch(tokens, budget):
    batches = list(token_batches(tokens, budget))
    assert sorted(position for batch in batches for position in batch) == list(range(len(tokens)))
    assert all(batches)


@given(counts, budgets)
def test_a_batch_keeps_its_budget_with_its_padding(tokens, budget):
    for batch in token_batches(tokens, budget):
        assert len(batch) == 1 or max(tokens[i] for i in batch) * len(batch) <= budget


@given(counts, budgets)
def test_long_texts_come_first_and_no_batch_could_be_larger(tokens, budget):
    batches = list(token_batches(tokens, budget))
    assert [tokens[i] for batch in batches for i in batch] == sorted(tokens, reverse=True)
    for batch, following in pairwise(batches):
        assert tokens[batch[0]] * (len(batch) + 1) > budget
        assert tokens[following[0]] <= tokens[batch[-1]]


@given(counts, budgets)
def test_the_order_is_the_same_every_time(tokens, budget):
    assert list(token_batches(tokens, budget)) == list(token_batches(list(tokens), budget))


inputs = st.integers(1, 9)
limits = st.integers(1, 700)


@given(counts, inputs, limits)
def test_requests_take_all_texts_in_order_and_keep_both_limits(tokens, max_inputs, max_tokens):
    ranges = list(request_batches(tokens, max_inputs, max_tokens))
    assert [i for first, last in ranges for i in range(first, last)] == list(range(len(tokens)))
    for first, last in ranges:
        assert 0 < last - first <= max_inputs
        assert last - first == 1 or sum(tokens[first:last]) <= max_tokens


@given(st.lists(st.integers(1, 300), max_size=12), inputs, limits)
def test_there_are_no_more_requests_than_need_be(tokens, max_inputs, max_tokens):
    fewest = [0] + [len(tokens)] * len(tokens)  # of the first n texts, over all divisions that keep the order
    for last in range(1, len(tokens) + 1):
        for first in range(last):
            if last - first == 1 or (last - first <= max_inputs and sum(tokens[first:last]) <= max_tokens):
                fewest[last] = min(fewest[last], fewest[first] + 1)
    assert len(list(request_batches(tokens, max_inputs, max_tokens))) == fewest[-1]
