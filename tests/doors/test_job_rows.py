"""Jobs in the ledger: a pass looks at those that are open, however many have ended."""

import pytest

from ledgers import fill, make_older, steps_of
from reindex.core.batches import BatchRecord
from reindex.core.jobs import JobState, Lane
from reindex.model import EmbeddingKey
from reindex.stores.ledger import FILE, Ledger

DAY_S = 86_400.0
KEYS = [EmbeddingKey(bytes([n]) * 32) for n in range(3)]


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.open(tmp_path)
    yield ledger
    ledger.close()


def add(ledger, lane, state, now=0.0):
    """One job that came to that state, and its number."""
    number = ledger.jobs.enqueue(1, lane, KEYS, 30, now)
    way = {
        JobState.PLANNED: (),
        JobState.SUBMITTING: (JobState.SUBMITTING,),
        JobState.SUBMITTED: (JobState.SUBMITTING, JobState.SUBMITTED),
    }.get(state, (state,))
    for step in way:
        ledger.jobs.change_state(number, step, now)
    return number


def add_ended(ledger, count, now=0.0):
    fill(
        ledger,
        "INSERT INTO jobs (generation, lane, state, texts, tokens, created_at, updated_at, reason)"
        " VALUES (1, 'local', 'done', 1, 10, ?, ?, '')",
        [(now, now)] * count,
    )


def numbers(jobs):
    return [job.number for job in jobs]


def test_open_jobs_of_a_lane_newest_first(ledger):
    expected = {lane: [] for lane in Lane}
    for _ in range(2):
        for lane in Lane:
            for state in JobState:
                number = add(ledger, lane, state)
                if state in {JobState.PLANNED, JobState.SUBMITTING, JobState.SUBMITTED}:
                    expected[lane].insert(0, number)
    assert {lane: numbers(ledger.jobs.open(lane)) for lane in Lane} == expected


LOOKS = {
    "open": lambda jobs: jobs.open(Lane.REALTIME),
    "texts in flight": lambda jobs: jobs.texts_in_flight(),
    "forget": lambda jobs: jobs.forget_ended(-1.0, 1_000_000),
}


@pytest.mark.parametrize("look", LOOKS)
def test_what_a_pass_asks_costs_the_same_however_many_have_ended(ledger, look):
    add(ledger, Lane.REALTIME, JobState.PLANNED)
    add(ledger, Lane.BATCH, JobState.SUBMITTED)
    costs = []
    for _ in range(2):
        add_ended(ledger, 2_000)
        costs.append(steps_of(ledger, lambda: LOOKS[look](ledger.jobs)))
    assert costs[0] == costs[1] < 1_000


def test_keys_in_flight_are_not_read_to_forget_jobs(ledger):
    number = add(ledger, Lane.BATCH, JobState.SUBMITTED)
    costs = []
    for part in (1, 2):
        keys = [EmbeddingKey(part.to_bytes(2) + n.to_bytes(30)) for n in range(3_000)]
        ledger.jobs.grow(number, keys, 0, 0.0, 0.0)
        add(ledger, Lane.LOCAL, JobState.DONE, now=1.0)
        costs.append(steps_of(ledger, lambda: ledger.jobs.forget_ended(2.0, 100)))
    assert max(costs) < 1_000


def test_what_has_ended_is_kept_by_age_and_by_number(ledger):
    old_failed = add(ledger, Lane.LOCAL, JobState.FAILED)
    old_open = add(ledger, Lane.LOCAL, JobState.PLANNED)
    batch = add(ledger, Lane.BATCH, JobState.FAILED, now=DAY_S)
    ledger.batches.save(BatchRecord(job=batch, tag="1", account="a", dimensions=3))
    done = [add(ledger, Lane.LOCAL, JobState.DONE, now=DAY_S) for _ in range(9)]
    ledger.jobs.forget_ended(DAY_S - 1.0, 100)
    assert numbers(ledger.jobs.all()) == [*reversed(done), batch, old_open]
    assert not ledger.jobs.keys(old_failed)
    ledger.jobs.forget_ended(DAY_S - 1.0, 4)
    assert numbers(ledger.jobs.all()) == [*reversed(done[-4:]), batch, old_open]
    assert ledger.jobs.keys(batch) == ledger.jobs.keys(old_open) == KEYS
    assert ledger.batches.one(batch) is not None
    ledger.jobs.forget_ended(DAY_S + 1.0, 4)
    assert numbers(ledger.jobs.all()) == [old_open]
    assert ledger.batches.one(batch) is None
    assert not ledger.jobs.keys(batch)


@pytest.mark.parametrize("version", [1, 3, 5])
def test_jobs_of_an_older_ledger(ledger, tmp_path, version):
    """Read as they are, and brought up by the first writer."""
    expected = [add(ledger, Lane.REALTIME, state) for state in JobState]
    ledger.close()
    make_older(tmp_path / FILE, version)
    reading = Ledger.open_for_reading(tmp_path)
    before = (tmp_path / FILE).read_bytes()
    assert numbers(reading.jobs.open(Lane.REALTIME)) == expected[2::-1]
    assert numbers(reading.jobs.all()) == expected[::-1]
    reading.close()
    assert (tmp_path / FILE).read_bytes() == before
    writing = Ledger.open(tmp_path)
    assert numbers(writing.jobs.open(Lane.REALTIME)) == expected[2::-1]
    writing.jobs.forget_ended(1.0, 100)
    assert numbers(writing.jobs.all()) == expected[2::-1]
    writing.close()
