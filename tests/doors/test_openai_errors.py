"""Every failure of a provider as one of ours: what it is, how long it lasts, and what to do about it."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from openai_double import KEY, Reply, connection_to, embedder_of, error_body, openai_double
from reindex.embedders.openai_errors import ask
from reindex.errors import EmbeddingError, OutageError, RefusedError


@pytest.fixture
def double():
    with openai_double() as made:
        yield made


def failure(double, status=200, body=None, headers=None, *, texts=("a",), **reply):
    double.always = Reply(status, body, headers or {}, **reply)
    double.seen.clear()
    with pytest.raises(EmbeddingError) as caught:
        embedder_of(double, retries_max=0).embed(list(texts))
    assert len(double.seen) == 1, "not again"
    error = caught.value
    assert error.message
    assert KEY not in error.message + error.hint
    return error


MONEY = "You exceeded your current quota, please check your plan and billing details."
LASTING = {
    "a wrong key": (
        401,
        error_body(f"Incorrect API key provided: {KEY}.", "invalid_api_key"),
        "$OPENAI_API_KEY",
    ),
    "no right": (403, error_body("Project has no access to model"), "May this key"),
    "no money": (429, error_body(MONEY, "insufficient_quota", "insufficient_quota"), "Add credit"),
    "no money by its type": (429, error_body(MONEY, None, "insufficient_quota"), "Add credit"),
    "a limit of spending": (
        400,
        error_body("Billing hard limit", "billing_hard_limit_reached"),
        "Add credit",
    ),
    "no subscription": (429, error_body("inactive", "billing_not_active"), "Add credit"),
    "payment required": (402, {"error": {"message": "Insufficient credits", "code": 402}}, "Add credit"),
    "no such model": (
        404,
        error_body("The model `x` does not exist", "model_not_found"),
        "[embedding] model",
    ),
    "no such model, as a 400": (400, error_body("unknown", "model_not_found"), "[embedding] model"),
    "no such route": (404, b"<html>not here</html>", "base_url"),
    "no such method": (405, {"detail": "Method Not Allowed"}, "base_url"),
    "not built": (501, error_body("not supported"), "base_url"),
    "a wrong model field": (400, error_body("invalid model ID", param="model"), "[embedding] model"),
    "no dimensions": (
        400,
        error_body("This model does not support specifying dimensions."),
        "send_dimensions = false",
    ),
    "no dimensions by vLLM": (
        400,
        {"object": "error", "message": 'Model "m" does not support matryoshka representation', "code": 400},
        "send_dimensions = false",
    ),
    "no base64": (
        422,
        {"detail": [{"type": "literal_error", "loc": ["body", "encoding_format"], "input": "base64"}]},
        "has_base64 = false",
    ),
    "a proxy's password": (407, b"", "$HTTPS_PROXY"),
}


@pytest.mark.parametrize("name", LASTING)
def test_what_a_person_has_to_mend(double, name):
    status, body, hint = LASTING[name]
    error = failure(double, status, body)
    assert isinstance(error, OutageError)
    assert (error.is_lasting, error.may_be_accepted, error.status) == (True, False, status)
    assert hint in error.hint
    assert "127.0.0.1" in error.message


def test_a_server_that_sends_us_elsewhere(double):
    double.always = Reply(307, b"", {"location": "ftp://elsewhere/"})
    with pytest.raises(EmbeddingError):
        embedder_of(double, retries_max=0).embed(["a"])
    error = failure(double, 304, b"")
    assert error.is_lasting
    assert "base_url" in error.hint


LONG = "This model's maximum context length is 8192 tokens, however you requested 9000 tokens"
REFUSED = {
    "too many tokens": (
        400,
        error_body(
            "Requested 416735 tokens, max 300000 tokens per request",
            "max_tokens_per_request",
            "max_tokens_per_request",
        ),
        "max_tokens_per_request",
    ),
    "a long text": (400, error_body(LONG), "context_length_exceeded"),
    "a long text by TEI": (
        413,
        {"error": "Input validation error: `inputs` must have less than 512 tokens. Given: 600"},
        "context_length_exceeded",
    ),
    "many texts by TEI": (
        422,
        {"error": "batch size 64 > maximum allowed batch size 32", "error_type": "Validation"},
        "request_too_large",
    ),
    "a large body": (413, b"<html>too large</html>", "request_too_large"),
    "more than a minute's tokens": (
        429,
        error_body(
            "Request too large for m on tokens per min (TPM): Limit 1, Requested 2", "rate_limit_exceeded"
        ),
        "request_too_large",
    ),
    "an empty text": (400, error_body("'$.input' is invalid."), "invalid_request_error"),
    "something": (400, b"no", ""),
    "nothing said": (400, b"", ""),
    "a list": (400, [{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], ""),
    "validation": (422, {"detail": "Unprocessable"}, ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_in_the_texts(double, name):
    status, body, code = REFUSED[name]
    error = failure(double, status, body)
    assert isinstance(error, RefusedError)
    assert (error.code, error.status) == (code, status)
    assert "embedding 1 text; " in error.message


@pytest.mark.parametrize("words", ["encoding_format", "matryoshka", "base64", "specifying dimensions"])
def test_a_long_message_may_have_the_text_in_it_and_says_nothing_of_settings(double, words):
    echo = {"detail": [{"loc": ["body", "input", 0], "msg": "bad", "input": f"{words} " * 100}]}
    assert isinstance(failure(double, 422, echo), RefusedError)


def test_the_message_says_all_that_is_needed(double):
    error = failure(double, 503, error_body("The engine is\n overloaded\t now"), texts=["a", "b"])
    assert error.message.endswith(
        "has a failure of its own: The engine is overloaded now (embedding 2 texts; HTTP 503; request req_7)"
    )
    assert "base_url" in error.hint
    assert len(failure(double, 500, error_body("x" * 9999)).message) < 500


RATE = error_body("Rate limit reached", "rate_limit_exceeded", "requests")
IN_HOURS = "in three hours, as a date"
WAITS = [
    ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
    ({"retry-after": "20"}, 20),
    ({"retry-after": "86400"}, 86_400),
    ({"retry-after": IN_HOURS}, 3 * 3600),
    ({}, 0),
    (
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "1m0s",
        },
        1,
    ),
    (
        {
            "x-ratelimit-limit-tokens": "1000",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "6m0s",
        },
        360,
    ),
]


@pytest.mark.parametrize(("headers", "wait_s"), WAITS)
def test_slow_down_is_no_lack_of_money(double, headers, wait_s):
    is_date = headers.get("retry-after") == IN_HOURS
    if is_date:
        headers = {"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=3), usegmt=True)}
    error = failure(double, 429, RATE, headers)
    assert isinstance(error, OutageError)
    assert error.wait_s == pytest.approx(wait_s, abs=30 if is_date else 1e-6)
    assert (error.is_lasting, error.may_be_accepted) == (False, False)
    assert error.code == "rate_limit_exceeded"


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 520, 529])
def test_failures_that_pass_may_have_been_carried_out(double, status):
    error = failure(double, status, error_body("oh"), {"retry-after": "7"})
    assert isinstance(error, OutageError)
    assert (error.is_lasting, error.may_be_accepted, error.wait_s) == (False, True, 7)


def test_bugs_are_no_outages(double):
    connection = connection_to(double)
    with pytest.raises(ZeroDivisionError):
        ask(connection, "dividing", lambda _: 1 / 0)
    assert ask(connection, "asking", lambda client: client.max_retries) == 0


def test_a_web_page_is_no_answer(double):
    double.always = Reply(
        200, b"<html><body>Log in</body></html>", {"content-type": "text/html; charset=utf-8"}
    )
    with pytest.raises(OutageError, match="web page") as caught:
        embedder_of(double).embed(["a"])
    assert (caught.value.is_lasting, caught.value.may_be_accepted) == (True, True)
    assert "base_url" in caught.value.hint
    assert len(double.seen) == 1
    with pytest.raises(OutageError, match="web page"):
        ask(connection_to(double), "listing batches", lambda client: client.batches.list(limit=1))


def test_an_answer_that_is_no_json_may_be_that_of_a_request_that_was_carried_out(double):
    double.always = Reply(200, b'{"id": "batch_1", "status"')
    with pytest.raises(OutageError) as caught:
        ask(connection_to(double), "listing batches", lambda client: client.batches.list(limit=1))
    assert (caught.value.is_lasting, caught.value.may_be_accepted) == (False, True)


def test_other_routes_fail_alike(double):
    connection = connection_to(double)
    double.has_batches = False
    with pytest.raises(OutageError) as caught:
        ask(connection, "listing batches", lambda client: client.batches.list(limit=1))
    assert (caught.value.status, caught.value.is_lasting) == (404, True)
    assert "listing batches; HTTP 404" in caught.value.message
