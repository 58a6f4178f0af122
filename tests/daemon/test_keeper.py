"""The loop: saved files are found, at no look at everything."""

from daemon.conftest import Kept
from doubles import paragraphs
from reindex.daemon.commands import Commands
from reindex.daemon.condition import Condition


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
