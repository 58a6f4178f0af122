"""The data directory goes away, or is replaced, while a run is at work in it."""

import shutil

import pytest

from doubles import POINTS, House, contents, paragraphs, watched
from reindex.errors import StoreError


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    for number in range(4):
        house.write(f"d{number}.md", paragraphs(*range(number, number + 4)))
    house.sync()
    house.write("d0.md", paragraphs(0, 50, 2, 3))
    house.write("new.md", paragraphs(*range(60, 69)))
    (house.docs / "d2.md").unlink()
    return house


def at(point, act):
    """`act` once, when that point is reached."""
    seen = []

    def reached(where):
        if where == point and not seen:
            seen.append(where)
            act()

    return watched(reached)


def run(house):
    """A run may end with an error of ours, or well; nothing else."""
    try:
        house.sync()
    except StoreError as error:
        assert error.hint or error.message
        return False
    return True


@pytest.mark.parametrize("point", POINTS)
def test_the_data_directory_is_deleted_in_the_middle(house, point):
    with at(point, lambda: shutil.rmtree(house.data_dir)):
        assert not run(house) or point == "after 5 pointer"
    house.sync()
    house.check()
    assert house.sync().commits == 0


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("before")])
def test_another_run_starts_anew_in_its_place(house, point):
    """Its index is whole and stays so: the first run writes nothing into it.

    (But for the one moment between the last look and the pointer's rename. The next run mends that.)
    """
    other = House(house.docs.parent)

    def take_over():
        house.data_dir.rename(house.data_dir.with_name("away"))
        other.sync()
        other.whole = contents(other.snapshot())
        other.pointer = (other.data_dir / "published.json").read_bytes()

    with at(point, take_over):
        run(house)
    if point != "before 5 pointer":
        assert (other.data_dir / "published.json").read_bytes() == other.pointer
        assert contents(other.snapshot()) == other.whole
    other.sync()
    other.check()


def test_the_lock_file_is_deleted(house):
    """Whoever comes next can't know of the first: so the first stops."""
    with at("before 3 table", (house.data_dir / "lock").unlink), pytest.raises(StoreError, match="removed"):
        house.sync()
    house.sync()
    house.check()


@pytest.mark.parametrize("name", ["ledger.sqlite", "cache.sqlite", "published.json", "lance", "lock"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_something_else_stands_where_a_store_should(tmp_path, name, kind):
    house = House(tmp_path)
    house.write("a.md", paragraphs(1))
    house.data_dir.mkdir()
    target = house.data_dir / name
    if kind == "folder":
        (target / "inner").mkdir(parents=True)
    elif name == "lance":
        target.write_text("not a folder")
    else:
        target.write_text("not what it should be " * 500)
    if run(house):
        house.check()
    shutil.rmtree(house.data_dir)
    house.sync()
    house.check()
