"""Wrong answers that are well-formed: what a client has to find out by itself."""

import math

import numpy as np
import pytest

from openai_calls import SMALL, create_batch, decoded, read_lines, request_line, request_lines
from reindex.dev_openai.faults import (
    FewerItems,
    FloatsOnly,
    Lines,
    NoIndex,
    Reordered,
    SameIndex,
    WrongVector,
    WrongVectors,
)

TEXTS = ["one apple", "two pears", "three plums"]


def embed(client, encoding="base64"):
    return client.embeddings.create(model=SMALL, input=TEXTS, encoding_format=encoding)


def is_wrong(kind, data, right, other_of):
    """Whether this embedding is wrong in exactly that way."""
    if kind is WrongVector.NULL:
        return data is None
    if kind is WrongVector.BAD_BASE64:
        return isinstance(data, str) and "@" in data
    vector = decoded(data)
    return {
        WrongVector.SHORT: lambda: vector.tolist() == right[:-1].tolist(),
        WrongVector.LONG: lambda: len(vector) == 1537,
        WrongVector.NAN: lambda: math.isnan(vector[0]) and not np.isnan(vector[1:]).any(),
        WrongVector.INFINITE: lambda: math.isinf(vector[0]),
        WrongVector.ZERO: lambda: not vector.any(),
        WrongVector.NOT_UNIT: lambda: 8.9 < vector @ vector < 9.1,
        WrongVector.OTHER_MODEL: lambda: vector.tolist() == right.tolist(),
        WrongVector.SHIFTED: lambda: vector.tolist() == other_of.tolist(),
        WrongVector.SWAPPED: lambda: (
            len(vector) == 1536 and abs(vector @ vector - 1) < 1e-4 and abs(vector @ right) < 0.5
        ),
    }[kind]()


@pytest.mark.parametrize("encoding", ["base64", "float"])
@pytest.mark.parametrize("kind", list(WrongVector))
def test_a_vector_is_wrong_and_its_neighbours_are_right(standin, client, kind, encoding):
    right = [np.round(decoded(item.embedding).astype(float), 10) for item in embed(client, encoding).data]
    right = [vector.astype(np.float32) for vector in right]
    standin.fault("embeddings", WrongVectors(kind, Lines(containing="two")))
    answer = embed(client, encoding)
    assert (answer.model != SMALL) == (kind is WrongVector.OTHER_MODEL)
    data = [
        np.asarray(item.embedding, np.float32) if isinstance(item.embedding, list) else item.embedding
        for item in answer.data
    ]
    other = decoded(embed(client, encoding).data[0].embedding)
    assert is_wrong(kind, data[1], decoded(embed(client, encoding).data[1].embedding), other)
    for place in (0, 2):
        assert decoded(data[place]).tolist() == pytest.approx(right[place].tolist(), abs=1e-8)
    assert standin.billed("two pears") == 4


@pytest.mark.parametrize("kind", list(WrongVector))
def test_lines_of_a_batch_are_wrong(standin, client, kind):
    standin.fault("batch", WrongVectors(kind, Lines(containing="number 7")))
    batch = create_batch(client, request_lines(10))
    standin.finish(batch)
    again = create_batch(client, request_lines(10))
    standin.finish(again)
    bad, good = (
        {
            line["custom_id"]: line["response"]["body"]
            for line in read_lines(client, client.batches.retrieve(made.id).output_file_id)
        }
        for made in (batch, again)
    )
    assert bad.keys() == good.keys()
    assert {name for name in good if bad[name] != good[name]} == {"id-7"}
    assert (bad["id-7"]["model"] != SMALL) == (kind is WrongVector.OTHER_MODEL)
    assert standin.billed("text number 7") == 2


def test_a_model_may_be_swapped_for_all(standin, client):
    right = [decoded(item.embedding) for item in embed(client).data]
    standin.fault("embeddings", WrongVectors(WrongVector.SWAPPED), times=None)
    one, two = ([decoded(item.embedding) for item in embed(client).data] for _ in range(2))
    assert [vector.tolist() for vector in one] == [vector.tolist() for vector in two]
    assert all(abs(vector @ other) < 0.3 for vector, other in zip(one, right, strict=True))


def test_items_come_in_another_order_with_their_index(standin, client):
    right = embed(client).data
    standin.fault("embeddings", Reordered())
    turned = embed(client).data
    assert [item.index for item in turned] == [2, 1, 0]
    assert [item.embedding for item in turned] == [item.embedding for item in right[::-1]]


def test_indices_are_missing_or_there_twice(standin, client):
    standin.fault("embeddings", NoIndex())
    assert [getattr(item, "index", None) for item in embed(client).data] == [None] * 3
    standin.fault("embeddings", SameIndex())
    assert [item.index for item in embed(client).data] == [0, 1, 0]


def test_items_are_missing(standin, client):
    standin.fault("embeddings", FewerItems())
    assert [item.index for item in embed(client).data] == [0, 1]
    standin.fault("embeddings", FewerItems(3))
    with pytest.raises(ValueError, match="No embedding data"):
        client.embeddings.create(model=SMALL, input=TEXTS)


@pytest.mark.parametrize(
    ("fault", "indices", "kind"),
    [
        (None, [0, 1, 2], str),
        (Reordered(), [2, 1, 0], str),
        (NoIndex(), [None, None, None], str),
        (SameIndex(), [0, 1, 0], str),
        (FewerItems(2), [0], str),
        (FloatsOnly(), [0, 1, 2], list),
    ],
)
def test_lines_of_several_inputs_are_misplaced_too(standin, client, fault, indices, kind):
    standin.fault("batch", fault)
    batch = create_batch(client, [request_line("one", TEXTS)])
    standin.finish(batch)
    (line,) = read_lines(client, client.batches.retrieve(batch.id).output_file_id)
    data = line["response"]["body"]["data"]
    assert [item.get("index") for item in data] == indices
    assert {type(item["embedding"]) for item in data} == {kind}


def test_floats_come_where_base64_was_asked_for(standin, client):
    standin.fault("embeddings", FloatsOnly())
    assert isinstance(embed(client).data[0].embedding, list)
    assert isinstance(embed(client).data[0].embedding, str)
