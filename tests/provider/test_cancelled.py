"""A batch that is cancelled while nobody knows whether it was created."""

from dataclasses import replace

import pytest

from provider_house import prose
from reindex.dev_openai.faults import Reset
from reindex.dev_openai.refusals import rate_limited
from reindex.errors import OutageError


def fill(house, documents=4):
    for number in range(documents):
        house.write(f"{number}.md", prose(number))


def test_a_batch_that_was_never_created_is_not_created_to_be_cancelled(house, openai):
    fill(house)
    openai.fault("batches.create", Reset(after=False))
    with pytest.raises(OutageError):
        house.sync()
    assert house.cancel(1).state == "submitting"  # it may exist
    house.settle()
    assert house.reasons()[0] == "cancelled by hand"
    assert len(openai.batches()) == 1, "that of its texts, planned anew"
    house.check_converged(4)


def test_a_batch_that_was_created_unseen_is_cancelled_when_it_is_found(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    openai.fault("batches.create", Reset(after=True))
    with pytest.raises(OutageError):
        house.sync()
    house.cancel(1)
    house.sync()
    house.sync()
    assert openai.requests()["batches.cancel"] == 1
    openai.release()
    house.settle()
    house.check_converged(4)


def test_a_batch_that_was_taken_back_is_not_sent_when_it_is_cancelled(house, openai):
    fill(house)
    openai.fault("batches.create", rate_limited(0))
    with pytest.raises(OutageError):
        house.sync()
    assert [job.state for job in house.jobs()] == ["planned"]
    with house.app.writer("test", lambda _: None) as writer:
        batches = writer.ledger.batches
        batches.save(replace(batches.one(1), is_cancelling=True))
    house.settle()
    assert house.reasons()[0] == "cancelled by hand"
    assert len(openai.batches()) == 1
    house.check_converged(4)
