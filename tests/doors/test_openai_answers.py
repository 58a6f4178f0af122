"""Answers that are wrong in every way: asked again, never used, and an error if they stay so."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_double import MODEL, TEXTS, Books, Clock, Reply, embedder_of, is_right, openai_double
from reindex.embedders.openai_answer import Expected, WrongAnswerError, read_answer
from reindex.embedders.openai_realtime import estimated_tokens
from reindex.errors import EmbeddingError, OutageError
from reindex.vectors import check_vectors


@pytest.fixture
def double():
    with openai_double() as made:
        yield made


# Rows 22 to 24 of the fault model: whatever is wrong with an answer


def on_item(change):
    def whole(answer):
        change(answer["data"][3])
        return answer

    return whole


def vector_with(value):
    def change(item):
        vector = np.frombuffer(base64.b64decode(item["embedding"]), "<f4").copy()
        vector[5] = value
        item["embedding"] = base64.b64encode(vector.tobytes()).decode()

    return change


def embedding(value):
    return on_item(lambda item: item.update(embedding=value))


WRONG = {
    "none": lambda answer: {**answer, "data": []},
    "one too few": lambda answer: {**answer, "data": answer["data"][:-1]},
    "one too many": lambda answer: {**answer, "data": [*answer["data"], answer["data"][0]]},
    "an index twice": on_item(lambda item: item.update(index=2)),
    "an index missing": on_item(lambda item: item.pop("index")),
    "an index of no text": on_item(lambda item: item.update(index=7)),
    "an index below zero": on_item(lambda item: item.update(index=-1)),
    "an index that is true": on_item(lambda item: item.update(index=True)),
    "an item that is none": lambda answer: {**answer, "data": [None] * 7},
    "a list that is none": lambda answer: {**answer, "data": {"0": answer["data"]}},
    "NaN": on_item(vector_with(np.nan)),
    "infinity": on_item(vector_with(np.inf)),
    "not of unit length": on_item(vector_with(3.0)),
    "zero": embedding(base64.b64encode(bytes(4 * 1536)).decode()),
    "zero in numbers": embedding([0.0] * 1536),
    "too short": embedding(base64.b64encode(struct.pack("<f", 1.0)).decode()),
    "too long": embedding([0.0] * 1536 + [1.0]),
    "empty": embedding(""),
    "not base64": embedding("!!!!"),
    "half a number": embedding(base64.b64encode(b"\0" * 6).decode()),
    "null": embedding(None),
    "words": embedding(["a"] * 1536),
    "nulls": embedding([None] * 1536),
    "a table": embedding([[1.0] * 1536]),
    "huge numbers": embedding([10**400] + [0] * 1535),
    "not the model": lambda answer: {**answer, "model": "text-embedding-3-large"},
    "an older model": lambda answer: {**answer, "model": "text-embedding-ada-002-v2"},
    "no object": lambda answer: answer["data"],
    "no JSON": lambda answer: json.dumps(answer).encode()[:-9],
    "nothing": lambda _: b"",
    "not UTF-8": lambda _: b"\xff\xfe\xfd",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_answer_is_asked_again_and_never_used(double, wrong):
    books, clock = Books(), Clock()
    double.replies = [Reply(change=WRONG[wrong])] * 2
    answer = embedder_of(double, clock=clock, how=books.how).embed_with_usage(TEXTS)
    assert is_right(answer.vectors)
    assert [body["input"] for body in double.seen] == [TEXTS] * 3
    assert len(books.used) == 3, "each was billed"
    assert sum(tokens for _, tokens in books.used) == answer.tokens
    assert round(sum(clock.waits), 3) == 0.5 + 1.0


@pytest.mark.parametrize("wrong", WRONG)
def test_answers_that_stay_wrong_are_an_error_after_so_many(double, wrong):
    double.always = Reply(change=WRONG[wrong])
    with pytest.raises(EmbeddingError, match="answered wrongly 3 times: "):
        embedder_of(double).embed(TEXTS)
    assert len(double.seen) == 3


@pytest.mark.parametrize("wrong", ["not the model", "too short"])
def test_a_wrong_model_or_length_is_the_server_s_fault_and_no_text_s(double, wrong):
    double.always = Reply(change=WRONG[wrong])
    with pytest.raises(OutageError) as caught:
        embedder_of(double, attempts_max=1).embed(TEXTS)
    assert caught.value.is_lasting
    assert caught.value.hint


def test_the_order_of_the_items_says_nothing(double):
    double.always = Reply(change=lambda answer: {**answer, "data": answer["data"][::-1]})
    assert is_right(embedder_of(double).embed(TEXTS))


@pytest.mark.parametrize(
    "answered", ["text-embedding-3-small-v1", "openai/text-embedding-3-small", "/models/e5.gguf", "", None, 7]
)
def test_servers_may_name_the_model_otherwise(double, answered):
    double.always = Reply(change=lambda answer: {**answer, "model": answered})
    assert is_right(embedder_of(double).embed(TEXTS))
    assert len(double.seen) == 1


@pytest.mark.parametrize(
    "usage", [None, {}, {"total_tokens": 0}, {"total_tokens": "9"}, [], {"total_tokens": -1}]
)
def test_a_server_that_does_not_count_is_booked_by_the_estimate(double, usage):
    double.always = Reply(change=lambda answer: {**answer, "usage": usage})
    assert embedder_of(double).embed_with_usage(TEXTS).tokens == sum(map(estimated_tokens, TEXTS))


# Whatever comes


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("AACAPw=="),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
items = st.fixed_dictionaries(
    {},
    optional={"index": st.integers(-1, 3) | values, "embedding": values | st.lists(st.floats(), max_size=3)},
)
answers = st.fixed_dictionaries(
    {},
    optional={
        "data": st.lists(items | values, max_size=4) | values,
        "model": st.sampled_from([MODEL, "house"]) | values,
        "usage": st.dictionaries(st.sampled_from(["total_tokens", "prompt_tokens"]), values) | values,
    },
)


@given(answers | values, st.integers(1, 3), st.sampled_from([0, 1, 2]), st.booleans())
def test_whatever_comes_is_a_wrong_answer_or_vectors_of_unit_length(answer, count, length, is_unit):
    expected = Expected("house", length, 0, is_unit)
    try:
        found = read_answer(json.dumps(answer).encode(), count, expected)
    except WrongAnswerError as error:
        assert error.message
        assert error.tokens is None or error.tokens > 0
    else:
        check_vectors(found.vectors, count)
        assert length in {0, found.vectors.shape[1]}


@given(st.binary(max_size=200))
def test_bytes_that_are_no_answer(body):
    with pytest.raises(WrongAnswerError):
        read_answer(body, 1, Expected("house", 0, 0, is_unit=False))
