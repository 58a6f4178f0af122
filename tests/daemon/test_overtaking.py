"""A saved file is found while a backlog is worked off, which loses nothing by it."""

import time

from daemon.conftest import Kept
from doubles import paragraphs
from reindex.model import DocumentName


def test_a_saved_file_overtakes_a_backlog(house):
    for number in range(120):
        house.write(f"backlog/{number:03}.md", paragraphs(*range(4 * number, 4 * number + 4)))
    house.embedder.before_batch = lambda: time.sleep(0.02)  # a model that takes its time
    with Kept(house, awaits_ready=False) as kept:
        kept.until(lambda: house.published() is not None)
        assert kept.condition.pending > 60
        house.write("urgent.md", "This can't wait for the backlog.")
        kept.until(lambda: DocumentName("docs", "urgent.md") in documents(house))
        assert len(documents(house)) < 120
        assert not kept.condition.is_ready
        kept.until(lambda: kept.condition.pending > 1)
        assert kept.condition.lag_s
        house.write("urgent.md", "And this can't either.")
        kept.until_equal()
    assert not house.embedder.paid_twice
    house.check()


def documents(house):
    with house.ledger() as ledger:
        found = ledger.documents.revisions(ledger.generations.live().number)
        return {DocumentName(source, path) for source, path, _, _ in found}
