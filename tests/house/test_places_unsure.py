"""A pass over some places, in sources of which more has to be seen than was heard of."""

import os
from dataclasses import replace

import pytest

from doubles import House, Told
from reindex.core import guard
from reindex.settings import SourceSettings
from reindex.syncing import Look, sync_with

DOCUMENTS, GONE, LEFT = 40, 30, 9


@pytest.fixture
def two(tmp_path, monkeypatch):
    """A house of two sources, most of whose documents were deleted: that is held."""
    monkeypatch.setattr(guard, "HOLD_DOCUMENTS", 5)
    house = House(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    house.settings = replace(
        house.settings, sources=(*house.settings.sources, SourceSettings(name="other", path=other))
    )
    for number in range(DOCUMENTS):
        (house.docs / f"a{number}.md").write_text(f"alpha {number}\n")
        (other / f"b{number}.md").write_text(f"beta {number}\n")
    (house.docs / "linked.md").write_text("the linked text\n")
    os.link(house.docs / "linked.md", other / "linked.md")
    house.sync()
    for number in range(GONE):
        (house.docs / f"a{number}.md").unlink()
        (other / f"b{number}.md").unlink()
    assert house.sync().documents.held == 2 * GONE
    return house


def look(house, source, path):
    with house.app.writer("sync", lambda _: None) as writer:
        return sync_with(house.app, writer, Told(), look=Look({source: frozenset({path})}))


def test_a_link_into_another_source_whose_deletions_are_held(two):
    """The first source is looked at whole, which finds that the other one has to be, too."""
    with (two.docs / "linked.md").open("a") as file:
        file.write("and more\n")
    (two.docs / f"a{DOCUMENTS - 1}.md").write_text("alpha, changed\n")
    report = look(two, "docs", f"a{DOCUMENTS - 1}.md")
    assert (report.documents.changed, report.documents.held) == (3, 2 * GONE)
    assert two.verify().ok


def test_what_is_held_elsewhere_is_still_held(two):
    """Also where the look was at a file of which nothing is in doubt."""
    two.sync(accept_deletes=True)
    for number in range(GONE, GONE + LEFT):
        (two.docs / f"a{number}.md").unlink()
    assert two.sync().documents.held == LEFT
    (two.docs.parent / "other" / f"b{DOCUMENTS - 1}.md").write_text("beta, changed\n")
    report = look(two, "other", f"b{DOCUMENTS - 1}.md")
    assert (report.documents.changed, report.documents.held) == (1, LEFT)
