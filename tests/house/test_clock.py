"""A clock that is wrong, or set between runs: nothing is missed, and nothing is paid again."""

import os
from datetime import timedelta

import pytest
from lancedb.table import LanceTable

from doubles import House, contents, paragraphs
from reindex.maintenance import collect_garbage

HOUR = 3600.0


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path, reader_grace_s=60)
    for number in range(3):
        house.write(f"d{number}.md", paragraphs(number, number + 1))
    house.sync()
    return house


@pytest.mark.parametrize("jumps", [(HOUR, -HOUR), (-HOUR, HOUR), (HOUR, HOUR), (-HOUR, -HOUR), (-9e8, 9e8)])
def test_a_clock_that_jumps_between_runs(house, jumps):
    for number, jump in enumerate(jumps):
        house.clock.ahead_s += jump
        assert house.sync().documents.unchanged == 3
        house.write("d0.md", paragraphs(10 + number, 20))
        (house.docs / f"d{number + 1}.md").touch()
        assert house.sync().documents.changed == 1
        house.check()
        with house.app.writer("gc", print) as writer:
            collect_garbage(writer, house.settings)
        house.check()
    assert not house.embedder.paid_twice


@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_an_edit_right_after_a_look_by_a_wrong_clock(house, jump):
    """The same size within milliseconds: the clock of the look must not make a stat trusted that is not."""
    house.clock.ahead_s = jump
    path = house.write("d0.md", "The lantern hangs low.\n")
    house.sync()
    os.utime(path, ns=(0, path.stat().st_mtime_ns))
    stat = path.stat()
    path.write_bytes(b"The lantern hangs far.\n")
    os.utime(path, ns=(0, stat.st_mtime_ns))
    assert house.sync().documents.changed == 1
    house.check()


def test_documents_from_the_future_and_from_long_ago(house):
    for number, seconds in enumerate((0, 1, 2**31 + 10, 4_102_444_800)):
        path = house.write(f"t{number}.md", paragraphs(30 + number))
        os.utime(path, (seconds, seconds))
    assert house.sync().documents.added == 4
    house.clock.ahead_s = 10.0
    house.sync()
    assert house.sync().commits == 0
    house.check()


def test_pruning_after_the_clock_was_set_back(house, monkeypatch):
    """The version that readers need is younger, by its own time, than those after it."""
    for number in range(4):
        house.write("d0.md", paragraphs(40 + number))
        house.sync()
    published = house.published().version
    plain, optimize, ages = LanceTable.list_versions, LanceTable.optimize, []

    def list_versions(table):
        versions = plain(table)
        for version in versions:
            if version["version"] > published:
                version["timestamp"] -= timedelta(hours=2)
        return versions

    def note(table, *, cleanup_older_than, **options):
        ages.append(cleanup_older_than)
        return optimize(table, cleanup_older_than=cleanup_older_than, **options)

    monkeypatch.setattr(LanceTable, "list_versions", list_versions)
    monkeypatch.setattr(LanceTable, "optimize", note)
    house.write("d0.md", paragraphs(50))
    with house.app.writer("gc", print) as writer:
        writer.table()._table.delete("false")  # a version after the published one, by a clock two hours back
        writer.table().prune(published, orphans=False)
        writer.adopt_version()
    assert ages[-1] > timedelta(hours=2)
    before = contents(house.snapshot())
    house.sync()
    house.check()
    assert contents(house.snapshot()) != before
