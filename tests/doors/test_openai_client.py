"""The account and its client: the key goes into requests, and nowhere else."""

import io
import logging
import os
import subprocess
import sys
import traceback

import pytest

from openai_double import KEY, MODEL, Clock, Reply, connection_to, embedder_of, error_body, openai_double
from reindex.embedders.openai_client import Account, OpenAIConnection, account_fingerprint
from reindex.errors import AccountError, EmbeddingError
from reindex.settings import OpenAISettings

OWN = OpenAISettings(base_url="http://127.0.0.1:8000/v1")


def test_a_key_is_needed_for_openai_alone():
    for settings in (OpenAISettings(), OpenAISettings(base_url="https://api.openai.com/v1/")):
        with pytest.raises(AccountError, match=r"\$OPENAI_API_KEY is not set") as caught:
            Account.of(settings, {"OPENAI_API_KEY": " "})
        assert "export OPENAI_API_KEY" in caught.value.hint
    assert Account.of(OWN, {}).key == ""
    with openai_double() as double:
        connection = connection_to(double, environment={})
        embedder_of(double)  # another, with a key
        assert connection.client.embeddings.create(input=["a"], model=MODEL).data
        assert double.keys == ["Bearer no-key"]


def test_an_address_from_the_environment_is_the_sdk_s_own():
    environment = {"OPENAI_BASE_URL": "http://10.0.0.9:8000/v1", "OPENAI_API_KEY": KEY}
    account = Account.of(OpenAISettings(), environment)
    assert (account.provider, account.is_exposed) == ("10.0.0.9:8000", True)
    assert Account.of(OWN, environment).provider == "127.0.0.1:8000"
    assert not Account.of(OWN, environment).is_exposed
    assert Account.of(OpenAISettings(), {"OPENAI_BASE_URL": "", "OPENAI_API_KEY": KEY}).provider == "OpenAI"


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"])
@pytest.mark.parametrize("value", ["“sk-quoted-by-an-editor”", "sk-two words", "sk-line\nend"])
def test_what_can_t_go_into_a_header_is_no_key(name, value):
    with pytest.raises(AccountError, match=name) as caught:
        Account.of(OpenAISettings(), {"OPENAI_API_KEY": KEY, name: value})
    assert value not in caught.value.message + caught.value.hint


def test_line_ends_around_a_key_are_none_of_it():
    assert Account.of(OWN, {"OPENAI_API_KEY": f" {KEY}\n"}).key == KEY


def test_the_fingerprint_tells_accounts_apart_and_says_nothing_else():
    environment = {"OPENAI_API_KEY": KEY}
    first = account_fingerprint(OWN, environment)
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert first == account_fingerprint(OpenAISettings(base_url=OWN.base_url + "/"), environment)
    others = [
        account_fingerprint(OpenAISettings(), environment),
        account_fingerprint(OWN, {"OPENAI_API_KEY": KEY + "x"}),
        account_fingerprint(OWN, {}),
        account_fingerprint(OWN, environment | {"OPENAI_ORG_ID": "org-1"}),
        account_fingerprint(OWN, environment | {"OPENAI_PROJECT_ID": "org-1"}),
    ]
    assert len({first, *others}) == 6


def test_the_client_never_repeats_by_itself_and_waits_as_it_is_set():
    with openai_double() as double:
        connection = connection_to(double, timeout_s=7)
        client = connection.client
        assert (client.max_retries, client.timeout.read, client.timeout.connect) == (0, 7, 5)
        assert connection_to(double, timeout_s=2).client.timeout.connect == 2
        double.replies = [Reply(500, error_body("oh"))]
        with pytest.raises(Exception, match="500"):
            client.batches.create(input_file_id="f", endpoint="/v1/embeddings", completion_window="24h")
        assert len(double.paths) == 1
        assert client is connection.client
        connection.close()
        assert connection.client is not client


def test_the_account_goes_along(monkeypatch):
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "admin-canary-secret")
    with openai_double() as double:
        environment = {"OPENAI_API_KEY": KEY, "OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj-1"}
        client = connection_to(double, environment=environment).client
        headers = client.default_headers
        assert (headers["OpenAI-Organization"], headers["OpenAI-Project"]) == ("org-1", "proj-1")
        assert headers["User-Agent"].startswith("reindex/0.")
        client.batches.list(limit=1)
        assert "admin-canary" not in str(headers) + str(double.keys)


ECHOES = {
    "whole": f"Incorrect API key provided: {KEY}. You can find your key at https://example.org",
    "in quotes": f'key "{KEY}" is wrong',
    "its beginning": f"Incorrect API key provided: {KEY[:14]}...",
    "with its head": f"Authorization: Bearer {KEY}",
}


@pytest.mark.parametrize("key", [KEY, "house-secret-0123456789"])
@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
def test_the_key_is_in_no_message_log_or_traceback(key, echo, status):
    words = ECHOES[echo].replace(KEY[:14], key[:14]).replace(KEY, key)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with openai_double() as double:
            double.always = Reply(status, error_body(words, "invalid_api_key"))
            environment = {"OPENAI_API_KEY": key}
            connection = connection_to(double, environment=environment, retries_max=0)
            with pytest.raises(EmbeddingError) as caught:
                from reindex.embedders.openai_realtime import OpenAIEmbedder

                OpenAIEmbedder(connection, MODEL, 1536).embed(["a"])
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    error = caught.value
    chain = "".join(traceback.format_exception(error))
    while error is not None:  # nor is it kept by what it came of
        chain += repr(vars(error)) + repr(error)
        assert not hasattr(error, "request")
        error = error.__cause__ or error.__context__
    shown = (
        chain + stream.getvalue() + repr(connection) + repr(connection.account) + repr(connection.settings)
    )
    assert key[:14] not in shown
    assert "***" in caught.value.message
    assert len(shown) > 500


def test_the_key_is_not_shown_where_a_header_echoes_it():
    with openai_double() as double:
        double.always = Reply(307, error_body("no"), {"x-request-id": KEY, "location": f"ftp://{KEY}/"})
        with pytest.raises(EmbeddingError) as caught:
            embedder_of(double).embed(["a"])
    assert KEY[:14] not in caught.value.message + "".join(traceback.format_exception(caught.value))


def test_a_password_in_the_address_is_not_shown():
    settings = OpenAISettings(base_url="http://me:pass-canary@127.0.0.1:1/v1")
    connection = OpenAIConnection(settings, {}, connection_to_nothing())
    account = connection.account
    assert account.provider == "127.0.0.1:1"
    assert "pass-canary" not in repr(account) + account.shown("at http://me:pass-canary@127.0.0.1:1/v1")


def connection_to_nothing():
    from reindex.embedders.rate_limit import RateLimiter

    clock = Clock()
    return RateLimiter(clock.time, clock.sleep)


def test_the_library_is_imported_with_the_first_request_only():
    code = (
        "import sys, reindex.embedders.openai_realtime as lane, reindex.embedders.openai_probe\n"
        "from reindex.embedders.openai_client import OpenAIConnection\n"
        "from reindex.settings import OpenAISettings\n"
        "connection = OpenAIConnection(OpenAISettings(base_url='http://127.0.0.1:1/v1'), {})\n"
        "lane.OpenAIEmbedder(connection, 'm', 8)\n"
        "print([name for name in ('openai', 'httpx2', 'pydantic') if name in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert found.stdout == "[]\n"
