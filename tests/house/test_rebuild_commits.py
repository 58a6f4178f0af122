"""A crash before and after everything that a rebuild, a promotion, a rollback and a gc write: the live
generation answers, the next run completes, and nothing is embedded twice.

$EVERY_POINT: after all else that is written, too; what is on disk then is what is there before the next.
"""

import os

import pytest

from doubles import COMMITS, UPKEEP, Crash, House, check_whole, contents, crash_at, paragraphs, watched
from reindex.stores.manifests import tables_on_disk

IN_A_REBUILD = [
    *COMMITS,
    *("create", "add generation", "version", "publish log", "state", "vector index", "looks", "job state"),
    *("files", "promote", "behind", "indices"),
]
IN_A_ROLLBACK = [
    *COMMITS,
    *("version", "publish log", "state", "looks", "job state", "files", "promote", "behind"),
]
IN_GARBAGE_COLLECTION = [
    *("5 pointer", "optimise", "prune", "version", "publish log", "state", "record again", "files")
]


def around(names, *, all_sides="EVERY_POINT" in os.environ):
    """Before each of them; after each of the five commits."""
    after = [f"after {name}" for name in names if name in COMMITS or all_sides]
    return [f"before {name}" for name in names] + after


SECOND_TIME = around([name for name in COMMITS if name != "5 pointer"])


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path, vector_index_min_rows=10)
    for number in range(5):
        house.write(f"d{number}.md", paragraphs(*range(number, number + 4)))
    house.sync()
    return house.with_dimensions(16)


def reached_by(run):
    """The names of all that this run writes."""
    seen = set()
    with watched(seen.add, COMMITS | UPKEEP):
        run()
    return {point.split(" ", 1)[1] for point in seen}


def test_these_are_all_points_of_a_rebuild_and_a_rollback(house):
    assert reached_by(house.rebuild) == set(IN_A_REBUILD)
    house.write("d0.md", paragraphs(50, 51))
    (house.docs / "d4.md").unlink()
    house.sync()
    assert reached_by(house.rollback) == set(IN_A_ROLLBACK)


def test_these_are_all_points_of_garbage_collection(house):
    house.rebuild()
    house.with_dimensions(8).rebuild()
    house.clock.ahead_s += 3600
    assert reached_by(house.collect_garbage) == set(IN_GARBAGE_COLLECTION)


def crash(run, point, nth):
    """Whether the point was reached."""
    with crash_at(point, nth) as seen:
        try:
            run()
        except Crash:
            return True
    assert len(seen) < nth
    return False


def check_paid_once(house, point):
    """But for the batch that was paid right before a crash that came before [2]."""
    twice = house.embedder.paid_twice
    assert not twice or point == "before 2 cache"
    assert len(twice) <= 3
    assert all(count == 2 for count in twice.values())


def check_no_orphans(house):
    house.clock.ahead_s += 3600
    house.collect_garbage()
    kept = [f"g{number}" for number, state in house.states().items() if state in {"live", "retired"}]
    assert tables_on_disk(house.data_dir) == kept
    assert len(kept) <= 2
    assert not list(house.data_dir.glob("*.new"))


@pytest.mark.parametrize(
    ("point", "nth"),
    [*((point, 1) for point in around(IN_A_REBUILD)), *((point, 2) for point in SECOND_TIME)],
)
def test_a_crash_in_a_rebuild(house, tmp_path, point, nth):
    before = contents(house.snapshot())
    assert crash(house.rebuild, point, nth)
    check_whole(house.snapshot())
    if house.published().generation == 1:
        assert contents(house.snapshot()) == before
    house.write("d9.md", paragraphs(40, 41))
    if house.published().generation == 1:
        house.sync()
        check_whole(house.snapshot())
    report = house.rebuild()
    assert report.promoted
    assert house.published().recipe.space.dimensions == 16
    house.check()
    check_paid_once(house, point)
    check_no_orphans(house)
    house.check()


@pytest.mark.parametrize("point", around(IN_A_ROLLBACK))
def test_a_crash_in_a_rollback(house, point):
    house.rebuild()
    house.write("d0.md", paragraphs(50, 51))
    (house.docs / "d4.md").unlink()
    house.sync()
    assert crash(house.rollback, point, 1)
    check_whole(house.snapshot())
    house.sync()
    if house.published().generation == 2:  # it had not got to the ledger
        house.rollback()
    assert house.published().generation == 1
    assert house.published().behind is None
    house.check()
    check_paid_once(house, point)
    check_no_orphans(house)


@pytest.mark.parametrize("point", around(IN_GARBAGE_COLLECTION, all_sides=True))
def test_a_crash_in_garbage_collection(house, point):
    house.rebuild()
    house.with_dimensions(8).rebuild()
    house.clock.ahead_s += 3600
    assert crash(house.collect_garbage, point, 1)
    check_whole(house.snapshot())
    house.sync()
    house.check()
    check_no_orphans(house)
    house.rollback()
    house.check()
