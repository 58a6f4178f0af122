"""Waits in the ledger: who looks at some documents reads of no others, and nobody reads all to count them."""

import pytest

from ledgers import fill, make_older, steps_of
from reindex.model import WHOLE, DocumentName, Revision, lies_in
from reindex.stores.ledger import FILE, Ledger
from reindex.stores.wait_rows import Wait, WaitSummary

REVISION = Revision(b"r" * 32)


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger.open(tmp_path)
    yield ledger
    ledger.close()


def add(ledger, path, *jobs, since=1.0, generation=1, source="docs"):
    """One document that waits for these jobs, and its wait as it is told."""
    wait = Wait(DocumentName(source, path), REVISION, "p/1", max(jobs), since)
    ledger.waits.record(generation, [(wait, jobs)])
    return wait


def add_many(ledger, folder, count):
    fill(
        ledger,
        "INSERT INTO waits (generation, source, path, job, revision, parser, since)"
        " VALUES (1, 'docs', ?, 7, ?, 'p/1', 1.0)",
        [(f"{folder}/{n}.md".encode(), REVISION) for n in range(count)],
    )


PLACES = [
    None,
    {},
    {"docs": WHOLE},
    {"docs": frozenset({"a"})},
    {"docs": frozenset({"a/b.md", "due.md", "z"})},
    {"docs": frozenset({"a.md"}), "more": frozenset({"a"})},
    {"former": WHOLE},
]


@pytest.mark.parametrize("places", PLACES)
def test_those_in_flight_at_some_places(ledger, places):
    paths = ["a/b.md", "a/b/c.md", "a.md", "a0.md", "b.md"]
    waits = [add(ledger, path, 0, 3, 2) for path in paths]
    waits.append(add(ledger, "a/b.md", 4, source="more"))
    add(ledger, "due.md", 0)
    add(ledger, "a/held.md", -1)
    add(ledger, "a/b.md", 9, generation=2)
    expected = {wait.name: wait for wait in waits if places is None or lies_in(wait.name, places)}
    assert ledger.waits.of(1, places) == expected


def test_one_is_as_it_is_among_all(ledger):
    add(ledger, "a.md", 3, 5, since=2.0)
    add(ledger, "due.md", 0)
    add(ledger, "held.md", -1)
    names = [DocumentName("docs", path) for path in ("a.md", "due.md", "held.md", "other.md")]
    found = ledger.waits.all(1)
    assert [ledger.waits.one(1, name) for name in names] == [found.get(name) for name in names]
    assert len(found) == 3


def test_the_summary_counts_documents_and_not_their_jobs(ledger):
    assert ledger.waits.summary(1) == WaitSummary(0, 0, 0, None)
    assert not ledger.waits.are_in_flight(1)
    add(ledger, "held.md", -1, since=5.0)
    add(ledger, "due.md", 0, since=4.0)
    assert not ledger.waits.are_in_flight(1)
    add(ledger, "a.md", 0, 3, 5, since=6.0)
    add(ledger, "b.md", 3, since=7.0)
    add(ledger, "other.md", 3, since=1.0, generation=2)
    assert ledger.waits.are_in_flight(1)
    assert ledger.waits.summary(1) == WaitSummary(documents=4, in_flight=2, held_back=1, since=4.0)


def test_who_is_held_back_again_is_so_since_the_first_time(ledger):
    add(ledger, "in flight.md", 3, since=2.0)
    names = [DocumentName("docs", path) for path in ("in flight.md", "new.md")]
    ledger.waits.hold_back(1, [(name, REVISION, "p/1") for name in names], 5.0)
    ledger.waits.hold_back(1, [(name, REVISION, "p/2") for name in names], 6.0)
    found = {name.path: (wait.parser, wait.since) for name, wait in ledger.waits.all(1).items()}
    assert found == {"in flight.md": ("p/2", 2.0), "new.md": ("p/2", 5.0)}


NAME = DocumentName("docs", "a/1.md")
LOOKS = {
    "a file": lambda waits: waits.of(1, {"docs": frozenset({"a/1.md"})}),
    "a folder": lambda waits: waits.of(1, {"docs": frozenset({"a"})}),
    "one": lambda waits: waits.one(1, NAME),
    "any in flight": lambda waits: waits.are_in_flight(1),
    "hold back": lambda waits: waits.hold_back(1, [(NAME, REVISION, "p/1")], 1.0),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_at_some_reads_of_no_others(ledger, look):
    add_many(ledger, "a", 10)
    costs = []
    for folder in "bc":
        add_many(ledger, folder, 2_000)
        costs.append(steps_of(ledger, lambda: LOOKS[look](ledger.waits)))
    assert max(costs) < 2_000


@pytest.mark.parametrize("version", [1, 3])
def test_a_ledger_from_before_there_were_waits(ledger, tmp_path, version):
    ledger.close()
    make_older(tmp_path / FILE, version)
    reading = Ledger.open_for_reading(tmp_path)
    assert reading.waits.all(1) == reading.waits.of(1, {"docs": WHOLE}) == {}
    assert reading.waits.one(1, NAME) is None
    assert reading.waits.summary(1) == WaitSummary()
    reading.close()
