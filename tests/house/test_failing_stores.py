"""A store fails at a write, half-way through one, or after it without telling: the run says so, readers stay
whole, and the next run goes on. (The laws' machine has the same faults in any order.)
"""

import shutil
from contextlib import suppress

import pytest

from doubles import House, check_whole, paragraphs
from house.laws_faults import FAULTS, failing
from reindex.errors import StoreError

OF_ONE_CAUSE = [fault for fault in FAULTS if fault[2] in {"full", "lost"}]


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path, optimize_small_fragments=2)
    for number in range(3):
        house.write(f"d{number}.md", paragraphs(*range(3 * number, 3 * number + 4)))
    house.sync()
    return house


def change_everything(house, number):
    house.write("d0.md", paragraphs(0, number, 2, 3))
    house.write(f"new{number}.md", paragraphs(number + 1, number + 2))
    (house.docs / "d1.md").rename(house.docs / "moved.md")
    (house.docs / "d2.md").unlink()


@pytest.mark.parametrize("fault", OF_ONE_CAUSE, ids=" ".join)
def test_a_store_fails(house, fault):
    change_everything(house, 50)
    if fault[0] == "restore":  # only a table that is ahead is taken back
        house.crash("after 3 table")
    if fault[0] == "create_index":  # only a new table gets indices
        shutil.rmtree(house.data_dir / "lance")
    sent = len(house.embedder.batches)
    with failing(fault) as hits:
        with suppress(StoreError):
            house.sync()
        assert hits, "a fault that no run meets proves nothing"
    if fault[0] != "create_index":
        check_whole(house.snapshot())
    last = set(house.embedder.batches[-1]) if len(house.embedder.batches) > sent else set()
    assert house.sync().documents.failed == 0
    house.check()
    is_given_up = fault[0] == "create_index" or (fault[0], fault[2]) == ("restore", "lost")
    assert (house.published().generation > 1) == is_given_up  # why a version can't be restored is not known
    assert set(house.embedder.paid_twice) <= (last if fault[0] == "cache.sqlite" else set())
