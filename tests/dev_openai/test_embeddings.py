"""Embeddings as the SDK sees them: shapes, limits, and the words of the refusals."""

import openai
import pytest

from openai_calls import ADA, LARGE, SMALL, decoded
from openai_standin import StandIn


def norm(vector):
    return float(decoded(vector) @ decoded(vector)) ** 0.5


def test_one_text_and_many_have_the_documented_shape(client):
    answer = client.embeddings.create(model=SMALL, input="eight by")
    assert (answer.object, answer.model, len(answer.data)) == ("list", SMALL, 1)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (2, 2)
    many = client.embeddings.create(model=SMALL, input=["one", "two", "eight by"], encoding_format="float")
    assert [item.index for item in many.data] == [0, 1, 2]
    assert {item.object for item in many.data} == {"embedding"}
    assert many.data[2].embedding == pytest.approx(answer.data[0].embedding, abs=1e-9)


@pytest.mark.parametrize(("model", "dimensions"), [(SMALL, 1536), (LARGE, 3072), (ADA, 1536)])
def test_each_model_has_its_dimensions_and_unit_length(client, model, dimensions):
    vector = client.embeddings.create(model=model, input="a text").data[0].embedding
    assert len(vector) == dimensions
    assert norm(vector) == pytest.approx(1, abs=1e-5)


def test_base64_and_floats_are_the_same_float32s(client):
    texts = ["alpha beta", "gamma"]
    as_text = client.embeddings.create(model=SMALL, input=texts, encoding_format="base64").data
    as_floats = client.embeddings.create(model=SMALL, input=texts, encoding_format="float").data
    assert isinstance(as_text[0].embedding, str)
    for text, floats in zip(as_text, as_floats, strict=True):
        assert decoded(text.embedding).tolist() == pytest.approx(decoded(floats.embedding).tolist(), abs=1e-8)


def test_fewer_dimensions_are_a_prefix_of_unit_length(client):
    whole = decoded(client.embeddings.create(model=LARGE, input="some words here").data[0].embedding)
    short = decoded(
        client.embeddings.create(model=LARGE, input="some words here", dimensions=256).data[0].embedding
    )
    assert short.shape == (256,)
    assert short.tolist() == pytest.approx((whole[:256] / norm(whole[:256])).tolist(), abs=1e-6)


def test_texts_with_the_same_words_are_near_and_other_models_are_another_space(client):
    texts = [
        "the cat sat on the mat",
        "a cat sat on a mat",
        "share prices fell in tokyo",
        "the cat sat on the mat",
    ]
    cat, near, far, same = (
        decoded(item.embedding) for item in client.embeddings.create(model=SMALL, input=texts).data
    )
    assert same.tolist() == cat.tolist()
    assert cat @ near > 0.5 > 0.2 > abs(cat @ far)
    other = decoded(client.embeddings.create(model=ADA, input=texts[0]).data[0].embedding)
    assert abs(cat @ other) < 0.2


def test_texts_without_words_in_any_script_have_vectors_of_their_own(client):
    texts = ["!!!", "???", "猫が好き", "犬が好き", "x" * 4000]
    vectors = [decoded(item.embedding) for item in client.embeddings.create(model=SMALL, input=texts).data]
    assert [norm(vector) for vector in vectors] == pytest.approx([1] * 5, abs=1e-5)
    assert abs(vectors[0] @ vectors[1]) < 0.2
    assert 0.4 < vectors[2] @ vectors[3] < 0.99


def test_token_arrays_count_by_their_length(client):
    assert client.embeddings.create(model=SMALL, input=[5, 6, 7]).usage.total_tokens == 3
    answer = client.embeddings.create(model=SMALL, input=[[5, 6, 7], [8]])
    assert (len(answer.data), answer.usage.total_tokens) == (2, 4)


INVALID_INPUT = (
    "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
)


@pytest.mark.parametrize("value", ["", [], ["good", ""], [["a"]], {"a": 1}, ["a"] * 2049, [[]], 7, [1, "a"]])
def test_misshapen_input_is_a_400(client, value):
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=SMALL, input=value)
    assert refused.value.body == {
        "message": INVALID_INPUT,
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


def test_2048_items_are_taken(client):
    assert len(client.embeddings.create(model=SMALL, input=["a"] * 2048, dimensions=8).data) == 2048


def test_a_text_over_8192_tokens_is_refused_and_never_cut(standin, client):
    client.embeddings.create(model=SMALL, input="abcd" * 8192)
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=SMALL, input=["short", "abcd" * 8192 + "e"])
    assert refused.value.body["message"].startswith(
        "This model's maximum context length is 8192 tokens, however you requested 8193 tokens ("
    )
    assert refused.value.code is None
    assert standin.billed("short") == 0


def test_300000_tokens_a_request_are_the_limit(client):
    half = "abcd" * 7500
    client.embeddings.create(model=SMALL, input=[half] * 40, dimensions=8)
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model=SMALL, input=[half] * 40 + ["e"])
    assert refused.value.body["message"] == "Requested 300001 tokens, max 300000 tokens per request"
    assert (refused.value.type, refused.value.code) == ("max_tokens_per_request", "max_tokens_per_request")


def test_dimensions_are_for_the_third_generation_and_have_a_limit(client):
    for model, dimensions in ((ADA, 256), (SMALL, 1537), (SMALL, 0)):
        with pytest.raises(openai.BadRequestError, match="dimensions"):
            client.embeddings.create(model=model, input="a", dimensions=dimensions)


def test_unknown_models_and_addresses_are_404(client):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.embeddings.create(model="text-embedding-9", input="a")
    assert unknown.value.code == "model_not_found"
    assert unknown.value.body["message"] == (
        "The model `text-embedding-9` does not exist or you do not have access to it."
    )
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("text-embedding-9")
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        client.moderations.create(input="a")


def test_models_are_listed(client):
    assert {model.id for model in client.models.list()} == {SMALL, LARGE, ADA}
    assert client.models.retrieve(SMALL).object == "model"


def test_the_key_is_checked(standin):
    with pytest.raises(openai.AuthenticationError) as refused:
        standin.client(api_key="sk-another-0123456789").embeddings.create(model=SMALL, input="a")
    assert refused.value.code == "invalid_api_key"
    assert "sk-another-0123456789" not in str(refused.value)
    assert standin.bill() == {}


def test_headers_tell_of_the_limits(standin, client):
    standin.options.requests_per_minute = 10
    raw = client.embeddings.with_raw_response.create(model=SMALL, input="eight by")
    assert raw.headers["x-ratelimit-limit-requests"] == "10"
    assert raw.headers["x-ratelimit-remaining-requests"] == "9"
    assert raw.headers["x-ratelimit-reset-requests"] == "6s"
    assert raw.headers["x-request-id"] == raw.parse()._request_id


@pytest.mark.parametrize(
    ("limits", "kind"), [({"requests_per_minute": 2}, "requests"), ({"tokens_per_minute": 5}, "tokens")]
)
def test_who_asks_too_much_waits_and_is_told_how_long(standin, client, limits, kind):
    for name, value in limits.items():
        setattr(standin.options, name, value)
    for _ in range(2):
        client.embeddings.create(model=SMALL, input="eight by")
    with pytest.raises(openai.RateLimitError) as refused:
        client.embeddings.create(model=SMALL, input="eight by")
    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", kind)
    assert 50 < float(refused.value.response.headers["retry-after"]) <= 60
    standin.advance(61)
    client.embeddings.create(model=SMALL, input="eight by")


def test_servers_that_are_less_than_openai():
    with StandIn(items_max=16, has_dimensions=False, base64="ignored", has_batches=False) as small:
        small.options.models["other-model"] = 24
        client = small.client()
        assert len(client.embeddings.create(model="other-model", input="a").data[0].embedding) == 24
        asked = client.embeddings.create(model="other-model", input="a", encoding_format="base64")
        assert isinstance(asked.data[0].embedding, list)
        small.options.base64 = "refused"
        for options in ({"input": ["a"] * 17}, {"dimensions": 8}, {"encoding_format": "base64"}):
            with pytest.raises(openai.BadRequestError):
                client.embeddings.create(
                    **{"model": "other-model", "input": "a", "encoding_format": "float"} | options
                )
        with pytest.raises(openai.NotFoundError):
            client.batches.list()


def test_two_answers_for_one_text_may_differ_a_little(standin, client):
    standin.options.jitter = 1e-4
    one, two = (
        decoded(client.embeddings.create(model=SMALL, input="a b").data[0].embedding) for _ in range(2)
    )
    assert one.tolist() != two.tolist()
    assert one @ two > 0.999
