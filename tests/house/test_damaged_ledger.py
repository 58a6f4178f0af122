"""Bits of the ledger are flipped that SQLite's own check takes for sound."""

import sqlite3

import pytest

from doubles import House, contents, paragraphs
from reindex.errors import ReindexError

LEDGER = "ledger.sqlite"


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    for number in range(4):
        house.write(f"d{number}.md", paragraphs(*range(3 * number, 3 * number + 4)))
    house.sync()
    return house


def flip(house, found, at=0):
    """The first bit of the byte `at` in each place where the file has these bytes."""
    path = house.data_dir / LEDGER
    content = bytearray(path.read_bytes())
    start = content.find(found)
    assert start >= 0
    while start >= 0:
        content[start + at] ^= 1
        start = content.find(found, start + len(found))
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("found", "at"),
    [
        (b"CREATE TABLE publishes", 14),
        (b"published_at REAL", 3),
        (b"CREATE TABLE generations", 0),
        (b"localdone", 4),
        (b"localdone", 8),
        (b'"document_prompt"', 15),
        (b'"dimensions": 384', 13),
        (b"live", 0),
    ],
)
def test_a_value_that_can_not_be(house, found, at):
    """The ledger is set aside and made again from the table: no run ends in a traceback, nothing is paid."""
    flip(house, found, at)
    (house.docs / "d1.md").unlink()
    house.write("d0.md", paragraphs(0, 1, 50, 3))
    house.sync()
    house.check()
    assert not house.embedder.paid_twice
    assert house.sync().commits == 0


def test_a_text_that_is_none(house):
    flip(house, b"lance/g1.lance/_versions", 4)
    with sqlite3.connect(house.data_dir / LEDGER) as database:
        database.execute("UPDATE jobs SET reason = CAST(x'ff80' AS TEXT)")
    database.close()
    house.sync()
    house.check()


def test_a_flipped_key_is_told_and_mended(house):
    """The next edit of that document leaves a row behind: verify tells, and the next run makes it right."""
    key = next(iter(house.snapshot().layouts())).keys[0]
    flip(house, key)
    for number in range(4):
        house.write(f"d{number}.md", paragraphs(*range(50 + 3 * number, 54 + 3 * number)))
    house.sync()
    found = house.verify()
    assert found.duplicates >= 1
    assert house.reader().search("Paragraph", k=50).hits, "a row of no document stops no answer"
    house.write("d0.md", paragraphs(90))
    house.sync()
    house.check()
    assert house.published().generation == 2


def test_a_flipped_revision_costs_a_look(house):
    layout = next(iter(house.snapshot().layouts()))
    before = contents(house.snapshot())[1]
    flip(house, layout.revision)
    house.sync()
    house.check()
    assert contents(house.snapshot())[1] == before
    assert not house.embedder.paid_twice


def test_no_flip_ends_in_anything_but_an_error_of_ours(house):
    """Every 97th byte that is not empty, one at a time, on the same files."""
    safe = {path: path.read_bytes() for path in house.data_dir.glob("*.sqlite")}
    pointer = (house.data_dir / "published.json").read_bytes()
    content = safe[house.data_dir / LEDGER]
    for at in [at for at, byte in enumerate(content) if byte][:: len(content) // 20]:
        (house.data_dir / LEDGER).write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            house.sync()
        except ReindexError as error:
            assert error.message
        else:
            assert house.verify().ok
    for path, content in safe.items():
        path.write_bytes(content)
    (house.data_dir / "published.json").write_bytes(pointer)
    house.sync()
    house.check()


def test_a_lost_ledger_and_a_flipped_bit_in_the_table(house):
    """With the ledger goes what the table's files looked like: then nothing in them is taken on trust."""
    before = contents(house.snapshot())[1]
    vector = before[0][4]
    (house.data_dir / LEDGER).unlink()
    [path] = [path for path in (house.data_dir / "lance").rglob("data/*") if vector in path.read_bytes()]
    content = path.read_bytes()
    at = content.index(vector)
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    house.sync()
    house.check()
    assert contents(house.snapshot())[1] == before
    assert not house.embedder.paid_twice
