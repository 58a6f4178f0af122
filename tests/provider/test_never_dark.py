"""Whatever becomes of the provider, a search answers: by words alone, and it says why."""

from dataclasses import replace

import pytest

from provider_house import prose
from reindex.app import App
from reindex.dev_openai.faults import Cut, Reset, WrongVector, WrongVectors
from reindex.dev_openai.refusals import forbidden, no_money, rate_limited, server_error, wrong_key
from reindex.errors import EmbeddingError, ExitCode, ModelError
from reindex.search import SearchMode

FAULTS = {
    "no money": (no_money(), "no money left"),
    "a wrong key": (wrong_key(), "does not take the key"),
    "no right": (forbidden(), "forbids this"),
    "hours of waiting": (rate_limited(7200.0), "slow down, and to wait 7,200"),
    "a failure": (server_error(), "a failure of its own"),
    "a reset": (Reset(), "was cut off"),
    "half an answer": (Cut(), "was cut off"),
    "wrong vectors": (WrongVectors(WrongVector.NAN), "answered wrongly"),
}


@pytest.fixture
def indexed(house):
    house.with_openai(lane="realtime")
    house.write("a.md", prose(1))
    house.write("b.md", prose(2))
    house.sync()
    return house


def ask(app, mode=SearchMode.HYBRID, text="word1x1 and others"):
    return app.reader().search(text, 5, mode)


@pytest.mark.parametrize("fault", FAULTS)
def test_while_the_provider_fails(indexed, openai, fault):
    what, words = FAULTS[fault]
    openai.fault("embeddings", what, times=None)
    found = ask(indexed.app)
    assert found.hits[0].path == "a.md"
    assert words in found.degraded
    with pytest.raises(EmbeddingError, match=words):
        ask(indexed.app, SearchMode.VECTOR)
    openai.clear_faults()
    well = ask(indexed.app)
    assert (well.degraded, well.hits[0].path) == ("", "a.md")


@pytest.mark.parametrize("key", ["", "no key at all: it has spaces"])
def test_without_a_key(indexed, monkeypatch, key):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    embedding = indexed.settings.embedding
    settings = replace(
        indexed.settings, embedding=replace(embedding, openai=replace(embedding.openai, base_url=""))
    )
    app = App(settings, indexed.docs.parent, indexed.clock, environment={"OPENAI_API_KEY": key})
    found = ask(app)
    assert found.hits[0].path == "a.md"
    assert "$OPENAI_API_KEY" in found.degraded
    with pytest.raises(ModelError) as caught:
        ask(app, SearchMode.VECTOR)
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_question_that_was_asked_before_needs_no_provider(indexed, openai):
    assert ask(indexed.app).degraded == ""
    openai.fault("embeddings", no_money(), times=None)
    before = openai.requests()["embeddings"]
    assert ask(indexed.app, SearchMode.VECTOR).hits
    assert openai.requests()["embeddings"] == before
