"""The loop: saved files are found, at no look at everything."""

import threading
import time
from dataclasses import replace

from daemon.conftest import LIMIT_S, Kept
from doubles import paragraphs
from reindex import syncing
from reindex.daemon.commands import Commands
from reindex.daemon.condition import Condition
from reindex.settings import SourceSettings
from reindex.stores.index import GenerationTable


def test_a_save_an_edit_and_a_deletion_are_found(kept):
    house = kept.house
    house.write("a/b.md", paragraphs(1, 2))
    kept.until_equal()
    house.write("a/b.md", paragraphs(1, 3))
    kept.until_equal()
    (house.docs / "a/b.md").unlink()
    kept.until_equal()
    assert kept.condition.reconciles == 1
    assert not house.embedder.paid_twice


def test_what_a_pass_has_taken_is_pending_before_it_has_a_plan(kept, monkeypatch):
    """The look itself takes a while, when it is at a folder of thousands."""
    observe, pending = syncing.observe, []

    def seen(*arguments, **options):
        found = observe(*arguments, **options)
        pending.append(kept.condition.pending)
        return found

    monkeypatch.setattr(syncing, "observe", seen)
    kept.house.write("a.md", paragraphs(1))
    kept.until_equal()
    assert pending
    assert min(pending) == 1
    kept.until(lambda: kept.condition.pending == 0)


def test_what_is_to_be_tried_again_is_tried_at_once(house):
    house.write("broken.md", b"a NUL \0 in it")
    commands = Commands(Condition())
    with Kept(house, commands.perform) as kept:
        passes = kept.condition.passes
        task = kept.tasks.submit("retry", {"job": None})
        kept.until(lambda: task.is_over and kept.condition.passes > passes)
        assert task.result == {"documents": 1, "jobs": 0}
        with house.ledger() as ledger:
            assert len(ledger.failures.all()) == 1


def test_a_source_that_can_not_be_scanned_is_told_until_it_can(house):
    elsewhere = house.docs.parent / "elsewhere"
    other = SourceSettings(name="other", path=elsewhere)
    house.settings = replace(house.settings, sources=(*house.settings.sources, other))
    house.write("a.md", paragraphs(1))
    with Kept(house) as kept:
        kept.until(lambda: kept.condition.state == "degraded")
        assert list(kept.condition.unscanned) == ["other"]
        elsewhere.mkdir()
        kept.until(lambda: kept.condition.state == "ready")


def test_a_pause_ends_the_pass_so_that_what_is_asked_for_waits_for_none(house):
    house.embedder.before_batch = lambda: time.sleep(0.02)  # a model that takes its time
    for number in range(60):
        house.write(f"{number:02}.md", paragraphs(*range(4 * number, 4 * number + 4)))
    commands = Commands(Condition())
    with Kept(house, commands.perform, awaits_ready=False) as kept:
        commands._condition = kept.condition
        kept.until(lambda: kept.condition.planned > 10)
        kept.tasks.submit("pause", {})
        asked = kept.tasks.submit("gc", {})
        kept.until(lambda: asked.is_over)
        assert asked.error is None
        assert kept.condition.pending > 10
        kept.tasks.submit("resume", {})
        kept.until(lambda: kept.condition.pending == 0)
        kept.until_equal()
    assert not house.embedder.paid_twice


def test_what_is_saved_during_upkeep_is_heard_of(house, monkeypatch):
    index = replace(house.settings.index, optimize_small_fragments=2)
    house.settings = replace(house.settings, index=index)
    is_heard = threading.Event()
    plain = GenerationTable.optimise

    def slowly(table):
        house.write("meanwhile.md", paragraphs(99))
        assert is_heard.wait(LIMIT_S)
        return plain(table)

    with Kept(house) as kept:
        kept.until_equal()
        monkeypatch.setattr(GenerationTable, "optimise", slowly)
        house.write("a.md", paragraphs(1))
        house.write("b.md", paragraphs(2))
        kept.until(lambda: kept.condition.waiting and kept.condition.pending)
        monkeypatch.setattr(GenerationTable, "optimise", plain)
        is_heard.set()
        kept.until_equal()
