"""What a server is found to be able to do, and which setting the doctor would change."""

from pathlib import Path

import numpy as np
import pytest

from openai_double import KEY, MODEL, Reply, connection_to, error_body, openai_double, vectors_of
from reindex.app import App
from reindex.core.canary import CANARY_TEXT
from reindex.doctor.findings import State
from reindex.doctor.provider import check_provider
from reindex.embedders.openai_probe import describe
from reindex.errors import EmbeddingError
from reindex.settings import EmbeddingSettings, OpenAISettings, Settings

ENVIRONMENT = {"OPENAI_API_KEY": KEY}


@pytest.fixture
def double():
    with openai_double() as made:
        yield made
        assert set(double_texts(made)) <= {CANARY_TEXT}


def double_texts(double):
    return [text for body in double.seen for text in body["input"]]


def found(double, *, model=MODEL, dimensions=0, **settings):
    openai = OpenAISettings(base_url=double.url, **settings)
    embedding = EmbeddingSettings(provider="openai", model=model, dimensions=dimensions, openai=openai)
    app = App(Settings(embedding=embedding), Path("/nowhere"))
    findings = {each.check: each for each in check_provider(app, ENVIRONMENT)}
    for each in findings.values():
        assert KEY not in repr(each)
        assert bool(each.fix) == (each.state is not State.OK)
    return findings


def states(findings, *names):
    return [findings[name].state for name in names]


FEATURES = ("model", "base64", "dimensions", "texts in a request", "batches", "rate limits")


def test_a_server_that_can_do_all(double):
    double.headers = {
        "x-ratelimit-limit-tokens": "1000000",
        "x-ratelimit-remaining-tokens": "999996",
        "x-ratelimit-reset-tokens": "1ms",
    }
    findings = found(double)
    assert tuple(findings) == FEATURES
    assert states(findings, *FEATURES) == [State.OK] * 6
    assert findings["texts in a request"].found == "64 are taken; 2,048 are configured, and were not tried"
    said = findings["rate limits"].found
    assert said.startswith("999,996 of 1,000,000 tokens left; these checks took ")
    assert int(said.split()[-2].replace(",", "")) == 4 * len(double.texts)


@pytest.mark.parametrize("taken", [32, 10, 1])
def test_a_server_that_takes_few_texts(double, taken):
    double.inputs_max = taken
    each = found(double)["texts in a request"]
    assert each.fix == f"Set [embedding.openai] max_inputs_per_request = {taken}."
    assert found(double, max_inputs_per_request=taken)["texts in a request"].state is State.OK


def test_a_server_without_batches(double):
    double.has_batches = False
    assert found(double)["batches"].fix == "Set [embedding.openai] has_batch = false."
    assert found(double, has_batch=False)["batches"].state is State.OK
    assert found(double, lane="realtime")["batches"].state is State.OK
    double.has_batches = True
    assert "has_batch = false leaves them out" in found(double, has_batch=False)["batches"].found


def test_a_server_without_dimensions(double):
    double.knows_dimensions = False
    assert found(double, dimensions=256)["dimensions"].fix.startswith(
        "Set [embedding.openai] send_dimensions = false"
    )
    assert found(double, dimensions=256, send_dimensions=False)["dimensions"].state is State.OK
    assert found(double)["dimensions"].state is State.OK, "they are not asked for"


def test_dimensions_that_the_server_cuts(double):
    assert found(double, dimensions=256)["dimensions"].found == "the server cuts vectors to 256"
    assert "at most 1536" in found(double, dimensions=4096)["model"].fix


def test_a_server_that_ignores_base64(double):
    double.knows_base64 = False
    assert "numbers all the same" in found(double)["base64"].found
    assert "not asked for" in found(double, has_base64=False)["base64"].found


def test_a_server_that_refuses_base64(double):
    double.replies = [Reply(400, error_body("unknown value base64"))]
    findings = found(double)
    assert findings["base64"].fix == "Set [embedding.openai] has_base64 = false."
    assert states(findings, "model", "batches") == [State.OK] * 2


ENDS = {
    "a wrong key": Reply(401, error_body("Incorrect API key", "invalid_api_key")),
    "no money": Reply(429, error_body("no", "insufficient_quota")),
    "no model": Reply(404, error_body("no such model", "model_not_found")),
    "down": Reply(503, error_body("overloaded")),
    "refused": Reply(400, error_body("no")),
    "wrong": Reply(body={"data": []}),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_is_out_of_reach_ends_it(double, end):
    double.always = ENDS[end]
    findings = found(double)
    assert list(findings) == ["model"]
    assert findings["model"].state is State.FAILED
    assert len(double.seen) <= 2


def test_without_a_key():
    app = App(Settings(embedding=EmbeddingSettings(provider="openai")), Path("/nowhere"))
    (each,) = check_provider(app, {})
    assert (each.check, each.state) == ("provider", State.FAILED)
    assert "export OPENAI_API_KEY" in each.fix


def test_a_key_over_an_open_network(double):
    openai = OpenAISettings(base_url="http://user@192.0.2.7:1/v1", timeout_s=0.1)
    app = App(Settings(embedding=EmbeddingSettings(provider="openai", openai=openai)), Path("/nowhere"))
    first = next(iter(check_provider(app, ENVIRONMENT)))
    assert (first.check, first.state) == ("key", State.WARNING)
    assert "https://" in first.fix


def test_a_model_that_nobody_here_knows():
    with openai_double(native=24) as double:
        double.always = Reply(change=lambda answer: {**answer, "model": "/models/minilm.gguf"})
        described = describe(connection_to(double), "house")
        assert (described.dimensions, described.answered_model) == (24, "/models/minilm.gguf")
        assert np.allclose(described.vector, vectors_of([CANARY_TEXT], 24, 24)[0], atol=1e-6)
        assert described.is_base64
        assert described.tokens == 4


def test_a_model_that_is_known_is_held_to_it():
    with openai_double(native=24) as double, pytest.raises(EmbeddingError, match="24 dimensions, not 1536"):
        describe(connection_to(double), MODEL)


def test_a_failure_that_passes_is_no_lack_of_a_feature(double):
    double.replies = [Reply(), *[Reply(503, error_body("overloaded"))] * 2]
    each = found(double, dimensions=256)["dimensions"]
    assert each.state is State.FAILED
    assert "send_dimensions" not in each.fix


def test_base64_may_be_left_out_of_one_question(double):
    connection = connection_to(double)
    assert describe(connection, MODEL).is_base64
    assert not describe(connection, MODEL, wants_base64=False).is_base64
