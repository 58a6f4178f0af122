"""A crash before and after everything that a rebuild, a promotion, a rollback and a gc write: the live
generation answers, the next run completes, and nothing is embedded twice.
"""

import pytest

from doubles import COMMITS, UPKEEP, Crash, House, check_whole, contents, crash_at, paragraphs
from reindex.stores.manifests import tables_on_disk

OF_THE_COMMITS = [f"{side} {name}" for name in COMMITS for side in ("before", "after")]
POINTS = [f"{side} {name}" for name in COMMITS | UPKEEP for side in ("before", "after")]


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path, vector_index_min_rows=10)
    for number in range(5):
        house.write(f"d{number}.md", paragraphs(*range(number, number + 4)))
    house.sync()
    return house.with_dimensions(16)


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
    ("point", "nth"), [*((point, 1) for point in POINTS), *((point, 2) for point in OF_THE_COMMITS)]
)
def test_a_crash_in_a_rebuild(house, tmp_path, point, nth):
    before = contents(house.snapshot())
    was_reached = crash(house.rebuild, point, nth)
    check_whole(house.snapshot())
    if house.published().generation == 1:
        assert contents(house.snapshot()) == before
    house.write("d9.md", paragraphs(40, 41))
    if was_reached and house.published().generation == 1:
        house.sync()
        check_whole(house.snapshot())
    report = house.rebuild()
    assert report.promoted
    assert house.published().recipe.space.dimensions == 16
    house.check()
    check_paid_once(house, point)
    check_no_orphans(house)
    house.check()


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_in_a_rollback(house, point):
    house.rebuild()
    house.write("d0.md", paragraphs(50, 51))
    (house.docs / "d4.md").unlink()
    house.sync()
    crash(house.rollback, point, 1)
    check_whole(house.snapshot())
    house.sync()
    if house.published().generation == 2:  # it had not got to the ledger
        house.rollback()
    assert house.published().generation == 1
    assert house.published().behind is None
    house.check()
    check_paid_once(house, point)
    check_no_orphans(house)


@pytest.mark.parametrize("point", [f"{side} {name}" for name in UPKEEP for side in ("before", "after")])
def test_a_crash_in_garbage_collection(house, point):
    house.rebuild()
    house.with_dimensions(8).rebuild()
    house.clock.ahead_s += 3600
    crash(house.collect_garbage, point, 1)
    check_whole(house.snapshot())
    house.sync()
    house.check()
    check_no_orphans(house)
    house.rollback()
    house.check()
