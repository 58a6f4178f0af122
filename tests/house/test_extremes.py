"""Sizes and shapes at the limits. With $BIG set at full size, which takes minutes."""

import os
import sys

import pytest

from doubles import House, check_whole, contents, paragraphs
from reindex.errors import ReindexError
from reindex.search import SearchMode

BIG = "BIG" in os.environ
TREE_FILES = 100_000 if BIG else 600
DOCUMENT_BYTES = 19_900_000 if BIG else 400_000
LINE_BYTES = 5_000_000 if BIG else 120_000
COPIES = 10_000 if BIG else 500


@pytest.fixture
def house(tmp_path):
    """With windows as they are by default."""
    house = House(tmp_path)
    return house.with_default_windows()


def test_a_tree_of_many_files(house):
    for number in range(TREE_FILES):
        house.write(f"{number % 97}/{number % 13}/{number}.md", f"File {number} of the tree.\n")
    assert house.sync().documents.added == TREE_FILES
    house.clock.ahead_s += 3
    assert house.sync().documents.unchanged == TREE_FILES
    house.write("5/5/new.md", "One more.\n")
    (house.docs / "0/0/0.md").write_text("Another.\n")
    report = house.sync()
    assert (report.documents.added, report.documents.changed) == (1, 1)
    assert report.commits <= 2
    house.check()


def test_a_huge_document(house):
    count = DOCUMENT_BYTES // 110
    house.write("huge.txt", paragraphs(*range(count)))
    assert house.sync().documents.added == 1
    house.write("huge.txt", paragraphs(*range(count // 2), count + 1, *range(count // 2, count)))
    report = house.sync()
    assert report.chunks.embedded <= 3
    assert report.chunks.rows_written <= 5
    house.check()
    hits = house.reader().search(f"Paragraph {count + 1} speaks", k=3, mode=SearchMode.TEXT).hits
    assert any(f"Paragraph {count + 1} speaks" in hit.text for hit in hits)


@pytest.mark.parametrize("unit", ["word ", "x", "木", "é "])
def test_one_huge_line(house, unit):
    if unit != "word " and not BIG:
        line = unit * (LINE_BYTES // 10)
    else:
        line = unit * (LINE_BYTES // len(unit.encode()))
    house.write("line.txt", line)
    report = house.sync()
    assert report.documents.added == 1
    house.check()
    with house.ledger() as ledger:
        assert ledger.documents.totals(1)[1] >= len(line) // 4000


def test_identical_documents(house):
    for number in range(COPIES):
        house.write(f"{number % 10}/{number}.md", paragraphs(1, 2))
    report = house.sync()
    assert report.documents.added == COPIES
    assert report.chunks.embedded <= 2
    for number in range(0, COPIES, 2):
        os.rename(house.docs / f"{number % 10}/{number}.md", house.docs / f"{number % 10}/moved{number}.md")
    report = house.sync()
    assert (report.documents.moved, report.chunks.embedded) == (COPIES // 2, 0)
    house.check()
    assert not house.embedder.paid_twice


@pytest.mark.parametrize("content", [b"", b"\n", b" \t\n\n", b"\xef\xbb\xbf", "\u200b\n".encode()])
def test_a_document_that_empties(house, content):
    path = house.write("a.md", paragraphs(*range(9)))
    house.write("b.md", paragraphs(3))
    house.sync()
    path.write_bytes(content)
    report = house.sync()
    assert report.documents.failed == 0
    house.check()
    texts = check_whole(house.snapshot())
    assert all(
        "Paragraph" not in text for name, found in texts.items() if name.path == "a.md" for text in found
    )
    path.write_text(paragraphs(*range(9)))
    assert house.sync().chunks.embedded == 0
    house.check()


def test_deep_folders(house):
    """200 deep is indexed. Deeper than a path can be long: that folder is a failure, and the rest goes on."""
    house.write("/".join(["d"] * 200) + "/deep.md", paragraphs(1))
    house.write("flat.md", paragraphs(2))
    assert house.sync().documents.added == 2
    house.check()
    descriptor = os.open(house.docs, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("n" * 200, dir_fd=descriptor)
        inner = os.open("n" * 200, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    file = os.open("lost.md", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=descriptor)
    os.write(file, paragraphs(3).encode())
    os.close(file)
    os.close(descriptor)
    house.write("flat.md", paragraphs(4))
    report = house.sync()
    assert (report.documents.changed, report.documents.failed) == (1, 1)
    assert "too long" in next(iter(report.failures.values()))
    assert house.verify().ok


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")
def test_every_byte_in_a_name(house):
    names = [b"n%c.md" % byte for byte in range(1, 256) if byte != ord("/")]
    for name in names:
        house.write(name, paragraphs(1))
    report = house.sync()
    assert report.documents.added == len(names)
    house.check()
    found = {os.fsencode(name.path) for name in contents(house.snapshot())[0]}
    assert found == set(names)


def test_no_file_descriptors_left(house):
    """Whatever can't be opened: an error of ours or a failure that is told, and nothing is given up."""
    resource = pytest.importorskip("resource")
    for number in range(4):
        house.write(f"{number}/d.md", paragraphs(number))
    house.sync()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    told = 0
    for spare in range(0, 40, 3):
        house.write("0/d.md", paragraphs(100 + spare))
        fillers = fill_the_gaps()
        resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 1 + spare, limits[1]))
        try:
            report = house.sync()
        except ReindexError:
            told += 1
        else:
            told += bool(report.documents.failed)
            assert report.generation == 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for descriptor in fillers:
                os.close(descriptor)
    assert told
    report = house.sync()
    assert (report.generation, report.documents.failed) == (1, 0)
    house.check()


def fill_the_gaps():
    """Descriptors, so that the next one that is opened has the highest number of all."""
    highest = max(map(int, os.listdir("/proc/self/fd")))
    fillers = [os.open(os.devnull, os.O_RDONLY)]
    while fillers[-1] < highest:
        fillers.append(os.open(os.devnull, os.O_RDONLY))
    return fillers


def test_the_data_directory_inside_a_source(tmp_path):
    house = House(tmp_path, data_dir=tmp_path / "docs" / ".index")
    house.write("a.md", paragraphs(1))
    house.write(".index/notes.md", paragraphs(2))
    assert house.sync().documents.added == 1
    house.check()
    assert house.sync().commits == 0


def test_a_read_only_source(house):
    """Nothing is ever written beside the documents."""
    house.write("a/b.md", paragraphs(1))
    before = {path: times(path) for path in [house.docs, *house.docs.rglob("*")]}
    house.sync()
    house.check()
    assert before == {path: times(path) for path in [house.docs, *house.docs.rglob("*")]}


def times(path):
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size
