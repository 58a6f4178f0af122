"""Which documents are held while it is not known which lane their texts take, and how many."""

import pytest

from provider_house import prose
from reindex.routing import Router

SAME = "# The same\n\n" + "a text of many documents " * 9 + "\n"
TEXTS_MIN = 8


@pytest.fixture
def held(house, monkeypatch):
    """How many documents the router kept to itself, each time when it asked for another."""
    house.with_openai(lane="auto", batch_min_chunks=TEXTS_MIN)
    counts = []
    plain = Router.route

    def route(self, documents):
        under_way = 0

        def taken():
            nonlocal under_way
            for document in documents:
                counts.append(under_way)
                under_way += 1
                yield document

        for document in plain(self, taken()):
            under_way -= 1
            yield document

    monkeypatch.setattr(Router, "route", route)
    return counts


def write_same(house, documents):
    for number in range(documents):
        house.write(f"same{number:03}.md", SAME)


def test_many_documents_with_few_texts_are_not_held_for_long(house, openai, held):
    write_same(house, 80)
    report = house.sync()
    assert report.documents.added == 80
    assert 0 < max(held) <= 4 * TEXTS_MIN
    assert openai.requests()["batches.create"] == 0
    house.check_converged(80)


def test_a_backlog_behind_them_goes_by_batch_without_their_texts(house, openai, held):
    write_same(house, 80)
    for number in range(6):
        house.write(f"{number}.md", SAME + prose(number))  # larger: they come last
    report = house.sync()
    assert (report.documents.added, report.documents.pending) == (80, 6)
    assert max(held) <= 4 * TEXTS_MIN
    assert openai.requests()["batches.create"] == 1
    house.settle()
    texts = [chunk.text for chunk in house.snapshot().chunks()]
    assert max(texts.count(text) for text in texts) >= 86, "they have the text of the others too"
    house.check_converged(86)
