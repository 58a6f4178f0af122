"""A rebuild in real time that the budget of the day ends before it is whole."""

from dataclasses import replace

import pytest

from daemon.conftest import Kept
from provider_house import ProviderHouse, prose
from reindex.daemon import batch_rounds
from reindex.daemon.commands import Commands
from reindex.settings import DaemonSettings

DOCUMENTS = 8


@pytest.fixture
def begun(tmp_path, openai):
    """The rebuild has embedded some of the documents, and has no money for the others."""
    house = ProviderHouse(tmp_path, openai, lane="realtime", price_usd=0.02, max_inputs_per_request=4)
    house.settings = replace(house.settings, daemon=DaemonSettings(http="", reconcile_s=1e9, poll_s=0.3))
    for number in range(DOCUMENTS):
        house.write(f"{number}.md", prose(number))
    house.sync()
    house.with_dimensions(128)
    with house.ledger() as ledger:
        spent = ledger.bookings.spend().usd
    house.with_openai(budget_usd_per_day=1.5 * spent)
    report = house.rebuild()
    assert (report.promoted, report.gate) == (False, None), "what is not whole is not shown to the gate"
    assert 0 < report.work.documents.pending < DOCUMENTS
    assert sum("budget" in notice for notice in report.work.notices) == 1
    assert house.states() == {1: "live", 2: "building"}
    return house


def is_whole(house):
    assert house.states() == {1: "retired", 2: "live"}
    assert house.published().recipe.space.dimensions == 128
    assert house.verify().ok
    house.check_paid_once()


def test_the_next_rebuild_goes_on(begun):
    assert not begun.rebuild().promoted, "there is still no money"
    begun.with_openai(budget_usd_per_day=0)
    assert begun.rebuild().promoted
    is_whole(begun)


def test_a_daemon_goes_on_by_itself(begun, monkeypatch):
    monkeypatch.setattr(batch_rounds, "GO_ON_S", (0.05, 0.2))
    begun.with_openai(budget_usd_per_day=0)
    kept = Kept(begun)
    kept.keeper._perform = Commands(kept.condition).perform
    with kept:
        kept.until(lambda: begun.published().generation == 2)
    is_whole(begun)
