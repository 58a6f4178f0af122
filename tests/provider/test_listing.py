"""The provider's list of batches, page by page, and one that does not come to an end."""

import pytest

from provider_house import prose
from reindex.dev_openai import batches as of_the_stand_in
from reindex.dev_openai.files import cut_page
from reindex.embedders import openai_batch
from reindex.errors import OutageError


def send(house, openai):
    """Several batches."""
    openai.options.hold.add("in_progress")
    house.with_openai(batch_max_inputs=10)
    house.write("a.md", prose(0, paragraphs=24))
    house.sync()


def test_a_list_of_batches_is_read_page_by_page_to_its_end(house, openai, monkeypatch):
    monkeypatch.setattr(openai_batch, "PAGE", 1)
    send(house, openai)
    batches = len(openai.batches())
    assert batches > 2
    listed = openai.requests()["batches.list"]
    house.sync()
    assert openai.requests()["batches.list"] - listed == 2 * batches  # before the pass and after it
    monkeypatch.setattr(openai_batch, "BATCH_PAGES_MAX", 2)
    with pytest.raises(OutageError, match="longer than 2 pages") as caught:
        house.sync()
    assert caught.value.is_lasting


def test_a_list_of_batches_that_does_not_move_on_is_an_outage(house, openai, monkeypatch):
    send(house, openai)
    pages = 0

    def first(rows, after, limit):
        nonlocal pages
        pages += 1
        assert pages < 20, "it goes on for ever"
        return cut_page(rows, "", 1)

    monkeypatch.setattr(of_the_stand_in, "cut_page", first)
    with pytest.raises(OutageError, match="page after page"):
        house.sync()
    monkeypatch.undo()
    openai.release()
    house.settle()
    house.check_paid_once()
