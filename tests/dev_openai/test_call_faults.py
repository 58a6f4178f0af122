"""What goes wrong with a call, as the SDK without retries meets it: and what was done nevertheless."""

import threading
import time

import httpx2
import openai
import pytest

from openai_calls import SMALL, create_batch, request_lines, upload
from reindex.dev_openai.faults import Cut, Do, Hang, Refuse, Reset, Slow
from reindex.dev_openai.refusals import (
    forbidden,
    hard_limit,
    no_money,
    rate_limited,
    server_error,
    wrong_key,
)


def embed(client, text="a text", **options):
    return client.embeddings.create(model=SMALL, input=text, **options)


def test_a_reset_before_does_nothing_and_one_after_loses_the_answer(standin, client):
    standin.fault("embeddings", Reset())
    with pytest.raises(openai.APIConnectionError):
        embed(client)
    assert standin.billed("a text") == 0
    standin.fault("embeddings", Reset(after=True))
    with pytest.raises(openai.APIConnectionError):
        embed(client)
    assert standin.billed("a text") == 1
    embed(client)
    assert standin.billed_twice() == {"a text": 2}
    assert standin.requests()["embeddings"] == 3


@pytest.mark.parametrize(("after", "files"), [(False, 0), (True, 1)])
def test_an_upload_too(standin, client, after, files):
    standin.fault("files.create", Reset(after=after))
    with pytest.raises(openai.APIConnectionError):
        upload(client, b"x" * 3_000_000)
    assert len(standin.files()) == files


@pytest.mark.parametrize("fault", [Reset(after=True), Refuse(server_error(502), after=True)])
def test_a_lost_answer_to_creating_a_batch_and_the_retries_of_the_sdk_make_two(standin, fault):
    standin.fault("batches.create", fault)
    create_batch(standin.client(max_retries=2), request_lines(1))
    assert len(standin.batches()) == 2
    standin.finish_all()
    assert standin.billed_twice() == {"text number 0": 2}
    assert len(standin.orphans()) == 2


def test_a_fault_is_for_the_nth_call_and_as_often_as_is_said(standin, client):
    rule = standin.fault("embeddings", server_error(), n=2, times=2)
    outcomes = []
    for _ in range(5):
        try:
            embed(client)
            outcomes.append("ok")
        except openai.InternalServerError:
            outcomes.append("failed")
    assert outcomes == ["ok", "failed", "failed", "ok", "ok"]
    assert rule.met == 2


def test_a_fault_may_choose_by_what_is_asked(standin, client):
    standin.fault("embeddings", server_error(503), times=None, where=lambda call: b"needle" in call.body)
    embed(client, "hay")
    for _ in range(3):
        with pytest.raises(openai.InternalServerError):
            embed(client, "a needle in hay")
    standin.clear_faults()
    embed(client, "a needle in hay")


@pytest.mark.parametrize(
    ("refusal", "kind", "code"),
    [
        (server_error(500), openai.InternalServerError, None),
        (server_error(503), openai.InternalServerError, None),
        (rate_limited(7200), openai.RateLimitError, "rate_limit_exceeded"),
        (no_money(), openai.RateLimitError, "insufficient_quota"),
        (wrong_key(), openai.AuthenticationError, "invalid_api_key"),
        (forbidden(), openai.PermissionDeniedError, "forbidden"),
        (hard_limit(), openai.BadRequestError, "billing_hard_limit_reached"),
    ],
)
def test_refusals_have_the_documented_shapes(standin, client, refusal, kind, code):
    standin.fault("embeddings", refusal)
    with pytest.raises(kind) as refused:
        embed(client)
    assert refused.value.body.keys() == {"message", "type", "param", "code"}
    assert (type(refused.value), refused.value.code) == (kind, code)
    assert refused.value.response.headers.get("retry-after") == ("7200" if refusal.retry_after_s else None)
    assert standin.bill() == {}


def test_a_hang_outlasts_the_client_and_the_effect_comes_nevertheless(standin, client):
    done = threading.Event()
    standin.fault("embeddings", Hang(3600))
    with pytest.raises(openai.APITimeoutError):
        embed(client, timeout=0.2)
    assert standin.bill() == {}
    standin.fault("embeddings", Do(done.set, after=True))
    standin.fault("embeddings", Hang(3600, after=True))
    with pytest.raises(openai.APITimeoutError):
        embed(client, timeout=3.0)
    assert done.wait(30)
    assert standin.billed("a text") == 1


def test_a_short_hang_is_only_slow(standin, client):
    standin.fault("embeddings", Hang(0.3))
    begun = time.monotonic()
    embed(client)
    assert time.monotonic() - begun >= 0.3


def test_something_of_the_tests_own_happens_at_that_moment(standin, client):
    seen = []
    standin.fault("batches.create", Do(lambda: seen.append(len(standin.batches()))))
    standin.fault("batches.create", Do(lambda: seen.append(len(standin.batches())), after=True))
    create_batch(client, request_lines(1))
    assert seen == [0, 1]


@pytest.mark.parametrize("reset", [False, True])
def test_an_answer_is_cut(standin, client, reset):
    standin.fault("embeddings", Cut(0.5, reset=reset))
    with pytest.raises(openai.APIConnectionError):
        embed(client)
    assert standin.billed("a text") == 1
    embed(client)


@pytest.mark.parametrize("reset", [False, True])
def test_a_download_is_cut_in_the_middle(standin, client, reset):
    content = b"0123456789" * 200_000
    made = upload(client, content)
    standin.fault("files.content", Cut(0.4, reset=reset))
    got = bytearray()
    with (
        pytest.raises(httpx2.TransportError),
        client.files.with_streaming_response.content(made.id) as answer,
    ):
        for piece in answer.iter_bytes():
            got += piece
    assert len(got) <= 800_000
    if not reset:  # a reset may overtake what was sent
        assert len(got) > 500_000
    assert content.startswith(bytes(got))
    assert not standin.files()[0].is_fetched
    assert client.files.content(made.id).content == content
    assert standin.files()[0].is_fetched


def test_a_download_is_slow(standin, client):
    made = upload(client, b"x" * 50_000)
    standin.fault("files.content", Slow(100_000))
    begun = time.monotonic()
    assert len(client.files.content(made.id).content) == 50_000
    assert time.monotonic() - begun >= 0.4


def test_a_client_that_goes_away_has_not_fetched(standin, client):
    made = upload(client, b"x" * 20_000_000)
    standin.fault("files.content", Slow(1_000_000))
    with client.files.with_streaming_response.content(made.id) as answer:
        next(answer.iter_bytes(1000))
    assert not standin.files()[0].is_fetched


def test_the_server_ends_while_a_request_hangs(standin):
    asking = threading.Event()
    standin.fault("embeddings", Do(asking.set))
    standin.fault("embeddings", Hang(3600))
    outcome = []

    def ask():
        try:
            embed(standin.client(timeout=60))
        except openai.APIConnectionError as error:
            outcome.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert asking.wait(30)
    standin._server.stop()
    thread.join(30)
    assert len(outcome) == 1
