"""What is believed of the lines of a batch's results."""

import base64
import hashlib
import json

import numpy as np
import pytest

from reindex.core.canary import CANARY_ID
from reindex.embedders.batch_lines import Expected, line_keys, read_groups
from reindex.model import EmbeddingKey

MODEL = "text-embedding-3-small"
EXPECTED = Expected(MODEL, 8, cuts=False)
KEY = EmbeddingKey(hashlib.sha256(b"a text").digest())
VECTOR = np.full(8, 8**-0.5, "<f4")


def line(embedding=None, *, key=None, status=200, error=None, **body):
    if embedding is None:
        embedding = base64.b64encode(VECTOR).decode()
    given = {
        "data": [{"index": 0, "embedding": embedding}],
        "model": MODEL,
        "usage": {"total_tokens": 5},
        **body,
    }
    response = {"status_code": status, "body": given}
    whole = {"id": "x", "custom_id": key or KEY.hex(), "response": response, "error": error}
    return json.dumps(whole).encode() + b"\n"


def read(*lines, expected=EXPECTED):
    (group,) = read_groups(lines, expected)
    return group


@pytest.mark.parametrize(
    ("good", "tokens"),
    [
        (line(), 5),
        (line().replace(b": ", b":"), 5),
        (line(VECTOR.tolist()), 5),
        (line(model=f"openai/{MODEL}"), 5),
        (line(model=None), 5),
        (line(usage=None), 0),
        (line(usage={"prompt_tokens": 5}), 5),
        (line(usage={"prompt_tokens": 5, "total_tokens": None}), 5),
        (line(base64.b64encode(1.005 * VECTOR).decode()), 5),
    ],
)
def test_a_vector_in_any_form_is_taken_and_made_of_unit_length(good, tokens):
    group = read(good)
    assert (group.keys, group.tokens, group.wrong) == ([KEY], [tokens], {})
    assert np.allclose(group.vectors, VECTOR, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        line(base64.b64encode(VECTOR[:7]).decode()),
        line(base64.b64encode(np.append(VECTOR, 0)).decode()),
        line(base64.b64encode(2 * VECTOR).decode()),
        line(base64.b64encode(np.full(8, np.nan, "<f4")).decode()),
        line(base64.b64encode(np.zeros(8, "<f4")).decode()),
        line("no base64!"),
        line([None] * 8),
        line(0.5),
        line(model="text-embedding-3-large"),
        line(data=[]),
        line(data=[{"embedding": VECTOR.tolist()}] * 2),
    ],
)
def test_what_is_no_vector_of_the_text_is_wrong(wrong):
    group = read(wrong)
    assert not group.keys
    assert list(group.wrong) == [KEY]


def test_a_good_vector_beside_an_error_or_another_status_is_not_taken():
    group = read(line(status=500), line(key="0" * 64, error={"code": "batch_expired"}))
    assert not group.keys
    assert (list(group.failed), list(group.skipped)) == ([KEY], [EmbeddingKey(bytes(32))])


def test_canary_unknown_and_torn_lines_are_told_apart():
    group = read(line(key=CANARY_ID), line(key="nobody's"), line()[:90], b"\n", line())
    assert group.keys == [KEY]
    assert (group.unknown, group.torn, group.canary_tokens) == (1, 1, 5)
    assert np.allclose(group.canary, VECTOR, atol=1e-6)


def test_a_longer_vector_is_cut_where_the_server_was_not_asked_for_fewer_dimensions():
    group = read(line(), expected=Expected(MODEL, 4, cuts=True))
    assert np.allclose(group.vectors, np.full((1, 4), 0.5), atol=1e-6)


def test_groups_are_bounded_by_the_bytes_of_their_vectors():
    wide = Expected(MODEL, 2_000_000, cuts=False)
    assert [group.torn for group in read_groups([b"{"] * 5, wide)] == [2, 2, 1]


def test_keys_are_those_of_the_lines_that_can_be_read():
    assert list(line_keys([line(), line(key=CANARY_ID), b"{", b"[]", line(key="0" * 64)])) == [
        KEY,
        EmbeddingKey(bytes(32)),
    ]
