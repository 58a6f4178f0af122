"""Requests are filled by what the provider bills, not by what is estimated."""

import pytest

from provider_house import MODEL

MAX = 11_000  # tokens of a request, as the provider counts


@pytest.fixture(autouse=True)
def in_real_time(house, openai):
    house.with_openai(lane="realtime", max_tokens_per_request=MAX, timeout_s=60)
    openai.options.tokens_request_max = MAX


def write(house, first, documents):
    """Texts of their own, estimated at some 300 tokens each."""
    for number in range(first, first + documents):
        house.write(f"{number}.md", " ".join(f"word{number:03}x{i:02}" for i in range(60)))


def load(house, openai, first, documents):
    """(requests, tokens billed, tokens estimated)"""
    before = openai.requests().get("embeddings", 0), openai.tokens().get(("realtime", MODEL), 0)
    jobs = len(house.jobs())
    write(house, first, documents)
    assert house.sync().documents.added == documents
    estimated = sum(job.tokens for job in house.jobs()[jobs:])
    return (
        openai.requests()["embeddings"] - before[0],
        openai.tokens()["realtime", MODEL] - before[1],
        estimated,
    )


def test_once_the_provider_counted_less_than_was_estimated_requests_are_fuller(house, openai):
    openai.options.bytes_per_token = 6
    load(house, openai, 0, 50)
    requests, billed, estimated = load(house, openai, 50, 150)
    assert requests <= -(-1.05 * billed // MAX)
    assert requests < estimated / MAX
    house.check_converged(200)


def test_once_the_provider_refused_a_request_for_its_tokens_they_are_smaller(house, openai):
    openai.options.bytes_per_token = 2
    requests, billed, _ = load(house, openai, 0, 50)
    assert requests > -(-billed // MAX), "some were refused"
    requests, billed, _ = load(house, openai, 50, 60)
    assert requests <= -(-1.1 * billed // MAX), "none is any more"
    house.check_converged(110)
