"""The real-time lane against a server that is slow, gone or lacks something: right vectors, or an error."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from openai_double import (
    KEY,
    MODEL,
    TEXTS,
    Books,
    Clock,
    Double,
    Reply,
    connection_to,
    embedder_of,
    error_body,
    is_right,
    openai_double,
    scaled,
)
from reindex.core.batching import request_batches
from reindex.core.canary import CANARY_TEXT
from reindex.embedders import openai_client, openai_request
from reindex.embedders.openai_realtime import OpenAIEmbedder, Patience, estimated_tokens
from reindex.errors import OutageError, RefusedError
from reindex.settings import OpenAISettings


@pytest.fixture
def double():
    with openai_double() as made:
        yield made


@pytest.mark.parametrize("has_base64", [True, False])
@pytest.mark.parametrize("knows_base64", [True, False])
def test_both_forms_are_read_whatever_was_asked(double, has_base64, knows_base64):
    double.knows_base64 = knows_base64
    books = Books()
    answer = embedder_of(double, has_base64=has_base64, how=books.how).embed_with_usage(TEXTS)
    assert is_right(answer.vectors)
    assert [body["encoding_format"] for body in double.seen] == ["base64" if has_base64 else "float"]
    assert "dimensions" not in double.seen[0]
    assert double.keys == [f"Bearer {KEY}"]
    assert answer.tokens == sum(-(-len(text) // 4) for text in TEXTS)
    assert books.used == [(7, answer.tokens)]


def test_no_text_is_no_request(double):
    answer = embedder_of(double).embed_with_usage([])
    assert answer.vectors.shape == (0, 1536)
    assert (answer.tokens, double.seen) == (0, [])


@pytest.mark.parametrize(
    ("texts_max", "tokens_max", "requests"), [(3, 10_000, 3), (7, 10_000, 1), (7, 20, 4), (1, 9, 7)]
)
def test_as_few_requests_as_the_limits_allow(double, texts_max, tokens_max, requests):
    embedder = embedder_of(double, max_inputs_per_request=texts_max, max_tokens_per_request=tokens_max)
    assert is_right(embedder.embed(TEXTS))
    assert len(double.seen) == requests
    assert double.texts == TEXTS
    counts = [estimated_tokens(text) for text in TEXTS]
    assert len(list(request_batches(counts, texts_max, tokens_max))) == requests


def test_the_caller_s_own_counts_decide_where_they_are_given(double):
    embedder = embedder_of(double, max_tokens_per_request=20)
    assert is_right(embedder.embed_with_usage(TEXTS, [1] * 7).vectors)
    assert len(double.seen) == 1


def test_dimensions_are_asked_for_where_the_server_knows_them(double):
    assert is_right(embedder_of(double, 256).embed(TEXTS), dimensions=256)
    assert double.seen[-1]["dimensions"] == 256


def test_dimensions_are_cut_here_where_it_does_not(double):
    assert is_right(embedder_of(double, 256, send_dimensions=False).embed(TEXTS), dimensions=256)
    assert "dimensions" not in double.seen[-1]
    ada = embedder_of(double, 256, model="text-embedding-ada-002")
    assert is_right(ada.embed(TEXTS), dimensions=256)
    assert "dimensions" not in double.seen[-1]


def test_a_server_that_ignores_dimensions_is_an_outage_that_names_the_setting(double):
    double.knows_dimensions = False
    double.always = Reply()
    with pytest.raises(OutageError, match="1536 dimensions, not 256") as caught:
        embedder_of(double, 256).embed(TEXTS)
    assert caught.value.is_lasting
    assert "send_dimensions = false" in caught.value.hint


@pytest.mark.parametrize("dimensions", [0, 24, 16])
def test_a_model_that_is_not_known_here(dimensions):
    with openai_double(native=24) as double:
        embedder = embedder_of(double, dimensions, model="house/minilm")
        assert is_right(embedder.embed(TEXTS), dimensions=dimensions or 24, native=24)
        assert "dimensions" not in double.seen[0]


def test_a_model_that_is_not_known_here_may_give_any_length_and_gets_unit_length():
    with openai_double(native=24) as double:
        double.always = Reply(change=scaled(7.5))
        assert is_right(embedder_of(double, 24, model="house/minilm").embed(TEXTS), dimensions=24, native=24)


def test_the_length_of_an_unknown_model_s_vectors_is_held_once_it_is_known():
    with openai_double(native=24) as double:
        how = {"native_dimensions": 16}
        with pytest.raises(OutageError, match="24 dimensions, not 16"):
            embedder_of(double, 16, model="house/minilm", how=how, attempts_max=1).embed(TEXTS)


def test_a_canary_is_booked_apart(double):
    books = Books()
    answer = embedder_of(double, 0, how=books.how).canary()
    assert is_right(answer.vectors, [CANARY_TEXT])
    assert answer.tokens == 4
    assert double.texts == [CANARY_TEXT]
    assert books.used == []


PASSING = {
    "500": Reply(500, error_body("The server had an error", kind="server_error")),
    "502 of a proxy": Reply(502, b"<html><body>Bad gateway</body></html>"),
    "503": Reply(503, error_body("overloaded")),
    "408": Reply(408, error_body("timeout")),
    "409": Reply(409, error_body("conflict")),
    "429": Reply(429, error_body("Rate limit reached", code="rate_limit_exceeded", kind="tokens")),
    "hung up before the answer": Reply(cut=-1),
    "hung up in the answer": Reply(cut=1000),
}


@pytest.mark.parametrize("fault", PASSING)
def test_passing_failures_are_waited_for_and_asked_again(double, fault):
    books, clock = Books(), Clock()
    double.replies = [PASSING[fault]] * 3
    assert is_right(embedder_of(double, clock=clock, how=books.how).embed(TEXTS))
    assert len(double.seen) == 4
    assert round(sum(clock.waits), 3) == 0.5 + 1.0 + 2.0
    assert books.used == [(7, sum(-(-len(text) // 4) for text in TEXTS))]
    assert len(books.lost) == (0 if fault == "429" else 3), "those may have been billed"


@pytest.mark.parametrize("fault", PASSING)
def test_failures_that_do_not_pass_end_it_after_so_many(double, fault):
    double.always = PASSING[fault]
    with pytest.raises(OutageError, match=r"127\.0\.0\.1:\d+ .*embedding 7 texts") as caught:
        embedder_of(double, retries_max=2).embed(TEXTS)
    assert len(double.seen) == 3
    assert caught.value.hint
    assert not caught.value.is_lasting


def test_a_server_that_is_silent_or_drips(double):
    double.always = Reply(drip_s=0.02)
    with pytest.raises(OutageError) as caught:
        embedder_of(double, timeout_s=0.3, retries_max=0).embed(TEXTS)
    assert (caught.value.code, caught.value.may_be_accepted) == ("timeout", True)
    double.always = Reply(drip_s=60.0)
    with pytest.raises(OutageError) as caught:
        embedder_of(double, timeout_s=0.2, retries_max=0).embed(TEXTS)
    assert (caught.value.code, caught.value.may_be_accepted) == ("timeout", True)


def test_what_it_takes_to_make_the_client_is_not_the_server_s_time(double, monkeypatch):
    """To import the SDK takes seconds on a busy machine: no answer is thrown away for that."""
    clock = Clock()
    monkeypatch.setattr(openai_request.time, "monotonic", clock.time)
    make = openai_client.make_client

    def make_slowly(*how):
        clock.now += 30
        return make(*how)

    monkeypatch.setattr(openai_client, "make_client", make_slowly)
    books = Books()
    assert is_right(embedder_of(double, timeout_s=10, retries_max=0, how=books.how).embed(TEXTS))
    assert (len(double.seen), books.lost) == (1, [])


def test_an_answer_without_end_is_not_read_to_the_end(double):
    double.always = Reply(body=b" " * 5_000_000)
    with pytest.raises(OutageError, match="over 409,600 bytes") as caught:
        embedder_of(double).embed(TEXTS)
    assert caught.value.is_lasting


@contextmanager
def closed_port():
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{trial.getsockname()[1]}/v1"


def test_nobody_listens():
    books, clock = Books(), Clock()
    with closed_port() as url, pytest.raises(OutageError, match="can't be reached") as caught:
        embedder_of(Double(url), clock=clock, how=books.how).embed(TEXTS)
    assert not caught.value.may_be_accepted
    assert books.lost == []
    assert round(sum(clock.waits), 3) == 0.5 + 1 + 2 + 4
    assert "base_url" in caught.value.hint


def test_hours_are_waited_for_if_that_is_allowed(double):
    clock = Clock()
    double.replies = [Reply(429, error_body("slow"), {"retry-after": "7200"})]
    assert is_right(embedder_of(double, clock=clock, retry_wait_max_s=10_000).embed(TEXTS))
    assert sum(clock.waits) == pytest.approx(7200)


def test_hours_end_the_run_and_nobody_asks_meanwhile(double):
    clock = Clock()
    double.replies = [Reply(429, error_body("slow"), {"retry-after": "7200"})]
    embedder = embedder_of(double, clock=clock)
    with pytest.raises(OutageError) as caught:
        embedder.embed(TEXTS)
    assert caught.value.wait_s == 7200
    assert not caught.value.is_lasting
    clock.now += 3600
    with pytest.raises(OutageError, match=r"next request pass in 3,600 s"):
        embedder.embed(TEXTS)
    assert len(double.seen) == 1
    clock.now += 3600
    assert is_right(embedder.embed(TEXTS))


def test_lanes_share_what_one_of_them_is_told(double):
    clock = Clock()
    connection = connection_to(double, clock)
    double.replies = [Reply(429, error_body("slow"), {"retry-after": "60"})]
    hasty = Patience(5.0, 0, 2.0)
    documents = OpenAIEmbedder(connection, MODEL, 1536)
    queries = OpenAIEmbedder(connection, MODEL, 256, patience=hasty)
    assert is_right(documents.embed(TEXTS))
    double.replies = [Reply(429, error_body("slow"), {"retry-after": "60"})]
    with pytest.raises(OutageError):
        queries.embed(TEXTS)
    waited = sum(clock.waits)
    with pytest.raises(OutageError):
        queries.embed(TEXTS)
    assert sum(clock.waits) == waited, "who is in a hurry hears at once"
    assert len(double.seen) == 3


def test_it_waits_before_what_is_known_not_to_pass(double):
    clock = Clock()
    double.headers = {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "59.4s",
    }
    embedder = embedder_of(double, clock=clock)
    embedder.embed(TEXTS)
    assert clock.waits == []
    tokens = sum(map(estimated_tokens, TEXTS))
    embedder.embed(TEXTS)
    assert sum(clock.waits) == pytest.approx((tokens - 10) * 59.4 / 990, rel=0.01)


def test_a_wait_can_be_ended(double):
    clock = Clock()
    double.always = PASSING["503"]
    embedder = embedder_of(double, clock=clock, how={"stop": lambda: len(clock.waits) >= 3})
    with pytest.raises(OutageError, match="was ended"):
        embedder.embed(TEXTS)
    assert len(clock.waits) == 3
    assert len(double.seen) == 1


def test_a_query_is_not_waited_for_long():
    patience = Patience.for_queries(OpenAISettings())
    assert (patience.timeout_s, patience.retries_max, patience.wait_max_s) == (10.0, 1, 2.0)
    assert Patience.for_queries(OpenAISettings(timeout_s=1, retries_max=0)).timeout_s == 1


# Row 10: what is refused


def test_a_refusal_is_not_asked_again(double):
    double.replies = [Reply(400, error_body("'$.input' is invalid."))]
    with pytest.raises(RefusedError, match="embedding 7 texts"):
        embedder_of(double).embed(TEXTS)
    assert len(double.seen) == 1


def test_a_text_that_is_no_unicode_is_refused_without_asking(double):
    with pytest.raises(RefusedError) as caught:
        embedder_of(double).embed(["fine", "\udcff"])
    assert caught.value.code == "not_unicode"
    assert double.seen == []


def test_what_was_paid_before_a_refusal_is_booked(double):
    books = Books()
    double.replies = [Reply(), Reply(400, error_body("no"))]
    with pytest.raises(RefusedError):
        embedder_of(double, how=books.how, max_inputs_per_request=4).embed(TEXTS)
    assert [texts for texts, _ in books.used] == [4]


def test_threads_may_share_an_embedder(double):
    embedder = embedder_of(double, 64, how=(books := Books()).how)
    lots = [[f"thread {thread} text {number}" for number in range(20)] for thread in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(embedder.embed, lots))
    assert all(is_right(vectors, texts, 64) for vectors, texts in zip(found, lots, strict=True))
    assert sum(texts for texts, _ in books.used) == 120
