"""A generation that is dropped while its texts go by batch: nothing more is sent for it."""

from dataclasses import replace

import pytest

from doubles import Told
from provider_house import DIMENSIONS, prose
from reindex.dev_openai.faults import Reset
from reindex.rebuilding import RebuildOptions, abandon, rebuild
from reindex.switching import drop


def with_dimensions(house, dimensions):
    embedding = replace(house.settings.embedding, dimensions=dimensions)
    house.settings = replace(house.settings, embedding=embedding)


def begin(house):
    """A rebuild into another space, whose batches are more than the provider's queue takes; its report."""
    with_dimensions(house, DIMENSIONS // 2)
    house.with_openai(batch_queue_tokens=400)
    return rebuild(house.app, house.told, RebuildOptions())


@pytest.fixture
def begun(house, openai):
    """A live generation, and one beside it with batches that were sent and others that wait."""
    for number in range(8):
        house.write(f"{number}.md", prose(number))
    house.settle()
    openai.options.hold.add("in_progress")
    assert not begin(house).promoted
    states = [job.state for job in house.jobs() if job.generation == 2]
    assert sorted(set(states)) == ["planned", "submitted"]
    return house


def by_abandon(house, told):
    assert abandon(house.app, told) == 2


def by_drop(house, told):
    drop(house.app, told, 2)


def by_another_recipe(house, told):
    with_dimensions(house, DIMENSIONS)
    house.settings = replace(house.settings, chunking=replace(house.settings.chunking, max_tokens=100))
    rebuild(house.app, told, RebuildOptions())


@pytest.mark.parametrize("way", [by_abandon, by_drop, by_another_recipe])
def test_batches_of_a_dropped_generation_are_not_sent_any_more(begun, openai, way):
    before = len(openai.batches())
    told = Told()
    way(begun, told)
    of_it = [job for job in begun.jobs() if job.generation == 2]
    assert sorted({job.state for job in of_it}) == ["cancelled", "submitted"]
    assert any("goes on" in warning for warning in told.warnings)
    with begun.app.ledger() as ledger:
        assert not ledger.waits.all(2)
    with_dimensions(begun, DIMENSIONS)
    openai.release()
    begun.settle()
    of_it = [job for job in begun.jobs() if job.generation == 2]
    assert sorted({job.state for job in of_it}) == ["cancelled", "done"]
    sent = [batch for batch in openai.batches()[before:] if batch.metadata["dimensions"] != str(DIMENSIONS)]
    assert not sent
    begun.check_converged(8)


def test_what_another_generation_waits_for_is_due(begun):
    """Of one space, the live one may wait for a text that a batch of the other was to bring."""
    unsent = next(job.number for job in begun.jobs() if job.state == "planned")
    with begun.app.writer("test", lambda _: None) as writer:
        waits = writer.ledger.waits
        name, wait = next(iter(waits.all(2).items()))
        waits.record(1, [(replace(wait, job=unsent), [unsent])])
    by_abandon(begun, Told())
    with begun.app.ledger() as ledger:
        assert not ledger.waits.all(1)[name].is_in_flight


def test_a_batch_of_a_dropped_generation_that_may_exist_is_not_created_again(house, openai):
    house.write("0.md", prose(0))
    house.settle()
    before = len(openai.batches())
    openai.fault("batches.create", Reset(after=False))
    begin(house)
    assert house.jobs()[-1].state == "submitting"
    by_abandon(house, Told())
    with_dimensions(house, DIMENSIONS)
    for _ in range(3):
        house.sync()
    assert house.reasons()[-1] == "generation 2 was dropped"
    assert len(openai.batches()) == before
    house.check_converged(1)
