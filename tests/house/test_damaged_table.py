"""Files of the table are changed or lost, or the machine lacks something: rows and indices are right again
after one run, or nothing is given up for what is not their fault.
"""

import os
import shutil
import sqlite3

import pytest

from doubles import House, contents, paragraphs
from house.laws_faults import failing
from reindex.errors import DiskError, EmbeddingError
from reindex.maintenance import collect_garbage
from reindex.search import SearchMode
from reindex.status import store_status
from reindex.stores.manifests import tables_on_disk


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    for number in range(4):
        house.write(f"d{number}.md", paragraphs(*range(4 * number, 4 * number + 5)))
    house.sync()
    house.whole = contents(house.snapshot())[1]
    return house


def files(house, part):
    folder = house.data_dir / "lance" / f"{house.published().table}.lance" / part
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(path, at):
    """One byte at this share of the file, and the size stays."""
    content = bytearray(path.read_bytes())
    content[min(len(content) - 1, int(len(content) * at))] ^= 0x55
    path.write_bytes(content)


WAYS = {
    "deleted": lambda path: path.unlink(),
    "empty": lambda path: os.truncate(path, 0),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "without its end": lambda path: os.truncate(path, path.stat().st_size - 1),
    "doubled": lambda path: path.write_bytes(2 * path.read_bytes()),
    "first byte": lambda path: flip(path, 0),
    "middle": lambda path: flip(path, 0.5),
    "last byte": lambda path: flip(path, 1),
}


def check_answers(house):
    for mode in SearchMode:
        hits = house.reader().search(paragraphs(6).strip(), k=1, mode=mode).hits
        assert hits[0].text == paragraphs(6).strip()


@pytest.mark.parametrize(
    ("part", "way"),
    [
        *((part, way) for part in ("_indices", "data") for way in WAYS),
        *((part, way) for part in ("_versions", "_transactions") for way in ("deleted", "half", "middle")),
    ],
)
def test_all_files_of_a_kind_are_damaged(house, part, way):
    for path in files(house, part):
        WAYS[way](path)
    house.sync()
    house.check()
    check_answers(house)
    assert contents(house.snapshot())[1] == house.whole
    assert not house.embedder.paid_twice
    assert house.sync().commits == 0


def test_one_bit_of_a_stored_vector(house):
    """The file can be read, all counts agree: only the cache knows better."""
    vector = house.whole[0][4]
    [path] = [path for path in files(house, "data") if vector in path.read_bytes()]
    content = path.read_bytes()
    at = content.index(vector)
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert contents(house.snapshot())[1] != house.whole
    house.sync()
    house.check()
    assert contents(house.snapshot())[1] == house.whole


def keeping_the_times(damage, path):
    stat = path.stat()
    damage(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("way", ["flipped", "half"])
def test_verify_sees_damaged_indices_whose_files_look_the_same(house, way):
    """A sync, which reads no content where nothing changed, does not; the way out is told and works."""
    for path in files(house, "_indices"):
        keeping_the_times(lambda path: [flip(path, at / 50) for at in range(50)], path)
        if way == "half":
            os.truncate(path, path.stat().st_size // 2)
    found = house.verify(deep=True)
    assert not found.ok
    assert any("delete the folder `lance`" in detail for detail in found.details)
    shutil.rmtree(house.data_dir / "lance")
    house.sync()
    house.check()
    check_answers(house)
    assert not house.embedder.paid_twice


def test_rows_that_no_index_finds(house):
    """Deep verify asks the indices for what the rows hold."""
    from lancedb.index import FTS

    with house.app.writer("test", print) as writer:
        table = writer.table()
        table._table.create_index("text", config=FTS(max_token_length=2))  # takes in no word of three letters
        writer.adopt_version()
    assert house.verify().ok
    found = house.verify(deep=True)
    assert found.stale >= 1
    assert "own words" in found.details[0]


def test_a_name_that_others_begin_with_and_the_same_text(house):
    """Deep verify looks for a chunk among those of its own document."""
    for name in ("LICENSE.md", "LICENSE.txt", "LICENSE.rst", "LICENSE-2.md"):
        house.write(name, "Permission is granted to everybody who keeps an orchard.\n")
    house.sync()
    house.write("LICENSE", "Permission is granted to everybody who keeps an orchard.\n")
    house.sync()
    house.check()


def test_a_vector_is_damaged_and_the_cache_is_lost(house):
    """What can't be a vector is not taken into the new cache; all others are, and cost nothing."""
    vector = house.whole[0][4]
    [path] = [path for path in files(house, "data") if vector in path.read_bytes()]
    at = path.read_bytes().index(vector) + 3  # the exponent of its first number
    content = path.read_bytes()
    keeping_the_times(
        lambda path: path.write_bytes(content[:at] + bytes([content[at] ^ 0x7F]) + content[at + 1 :]), path
    )
    (house.data_dir / "cache.sqlite").unlink()
    house.sync()
    house.check()
    assert list(house.embedder.paid_twice) == [house.whole[0][3]]


def test_a_copy_that_has_lost_its_times(house, tmp_path):
    """Nothing is on trust, everything is right: the table stays, its indices are made again."""
    shutil.copytree(house.data_dir, tmp_path / "copy", copy_function=shutil.copyfile)
    copy = House(tmp_path, data_dir=tmp_path / "copy", embedder=house.embedder)
    report = copy.sync()
    assert report.generation == 1
    assert not copy.told.warnings
    copy.check()
    check_answers(copy)
    assert copy.sync().version == report.version


@pytest.mark.parametrize("cause", ["full", "files", "i/o"])
def test_what_the_machine_lacks_is_no_fault_of_the_table(house, cause):
    """A table that is ahead can't be taken back for now: nothing is given up, and the next run goes on."""
    house.write("d0.md", paragraphs(50))
    assert house.crash("after 3 table")
    with failing(("restore", "before", cause)), pytest.raises(DiskError):
        house.sync()
    report = house.sync()
    assert report.generation == 1
    house.check()
    assert not house.embedder.paid_twice
    assert store_status(house.app).live.number == 1


def test_garbage_collection_while_a_given_up_table_is_still_served(house):
    """The run that was to replace it failed: until another is published, it is all that readers have."""
    with sqlite3.connect(house.data_dir / "ledger.sqlite") as database:
        database.execute("DELETE FROM documents WHERE path = CAST('d1.md' AS BLOB)")
    database.close()
    house.write("d0.md", paragraphs(70))
    house.embedder.is_down = True
    with pytest.raises(EmbeddingError):
        house.sync()
    assert house.told.warnings
    with house.app.writer("gc", print) as writer:
        collect_garbage(writer, house.settings)
    check_answers(house)
    house.embedder.is_down = False
    house.sync()
    house.check()
    house.clock.ahead_s += 3600  # until then a reader may still be on it
    with house.app.writer("gc", print) as writer:
        collect_garbage(writer, house.settings)
    assert tables_on_disk(house.data_dir) == [house.published().table]
    house.check()


@pytest.mark.parametrize("way", ["half", "first byte", "middle", "last byte", "empty"])
def test_the_manifest_of_an_older_version(house, way):
    """Nobody reads that version any more, but upkeep reads them all: it must not fail from now on."""
    for number in range(3):
        house.write("d0.md", paragraphs(80 + number))
        house.sync()
    newest = house.published().manifest
    for path in files(house, "_versions"):
        if not newest.endswith(path.name):
            WAYS[way](path)
    for number in range(3):
        house.write("d0.md", paragraphs(90 + number))
        house.sync()
        with house.app.writer("gc", print) as writer:
            collect_garbage(writer, house.settings)
        house.check()
    assert not house.embedder.paid_twice
