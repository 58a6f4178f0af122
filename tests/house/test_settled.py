"""A source that is as it was when all of it was recorded is not compared file by file; any other is."""

import os
import shutil
from dataclasses import replace
from unittest import mock

import pytest

import reindex.changes
from doubles import COMMITS, Crash, House, contents, paragraphs
from ledgers import make_older
from reindex.changes import code_digest
from reindex.model import DocumentName, FileStat
from reindex.settings import SourceSettings
from reindex.stores.file_rows import FileRows, SeenFile
from reindex.stores.ledger import FILE as LEDGER_FILE
from reindex.stores.settled_rows import SettledRows
from reindex.syncing import Look, sync_with

QUIET_S = 10.0  # by then a stat proves something


@pytest.fixture
def house(tmp_path):
    """Settled: three documents in two folders, and nobody has touched them for a while."""
    house = House(tmp_path, reader_grace_s=0)
    for number, path in enumerate(("a.md", "x/b.md", "x/y/c.md")):
        house.write(path, paragraphs(number, number + 1))
    house.sync()
    house.clock.ahead_s += QUIET_S
    house.sync()
    assert digests(house).keys() == {"docs"}
    return house


def digests(house):
    with house.app.writer("test", print) as writer:
        return writer.ledger.settled.of(writer.generation.number, code_digest())


def sync_by_digest(house):
    """A sync that looks up no file: it would fail if it did."""
    with mock.patch.object(FileRows, "of_source", side_effect=AssertionError("it was looked up")):
        return house.sync()


def test_what_is_settled_is_counted_and_not_looked_up(house):
    report = sync_by_digest(house)
    assert report.documents.unchanged == 3
    assert (report.commits, report.documents.deleted, report.documents.added) == (0, 0, 0)
    house.check()


def rewrite(house):
    """The same size and modification time."""
    path = house.docs / "a.md"
    stat = path.stat()
    path.write_text(path.read_text().replace("a", "e"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


CHANGES = {
    "edit": lambda house: house.write("a.md", paragraphs(7)),
    "edit of the same size and time": rewrite,
    "new file": lambda house: house.write("x/new.md", paragraphs(8)),
    "new folder": lambda house: house.write("new/new.md", paragraphs(8)),
    "file gone": lambda house: (house.docs / "x/b.md").unlink(),
    "folder gone": lambda house: shutil.rmtree(house.docs / "x/y"),
    "rename": lambda house: (house.docs / "a.md").rename(house.docs / "b.md"),
    "folder renamed": lambda house: (house.docs / "x").rename(house.docs / "z"),
    "two files swapped": lambda house: (
        (house.docs / "a.md").rename(house.docs / "t"),
        (house.docs / "x/b.md").rename(house.docs / "a.md"),
        (house.docs / "t").rename(house.docs / "x/b.md"),
    ),
    "ignore file": lambda house: house.write("x/.reindexignore", "b.md\n"),
    "ignored folder": lambda house: house.write(".gitignore", "x/\n"),
    "folder for a file": lambda house: (
        (house.docs / "a.md").unlink(),
        house.write("a.md/inner.md", paragraphs(9)),
    ),
    "link for a file": lambda house: (
        (house.docs / "a.md").unlink(),
        (house.docs / "a.md").symlink_to(house.docs / "x/b.md"),
    ),
    "touch": lambda house: (house.docs / "a.md").touch(),
    "nothing": lambda _: None,
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_found(house, tmp_path, change):
    CHANGES[change](house)
    house.sync()
    house.check()
    house.sync()
    assert sync_by_digest(house).commits == 0
    assert contents(house.snapshot()) == contents(house.rebuilt(tmp_path / "other").snapshot())


@pytest.mark.parametrize("name", [*COMMITS, "looks", "version", "publish log", "files"])
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_crash_anywhere_leaves_no_digest_that_hides_a_change(house, name, side):
    """Also where the change is undone, as far as anybody can undo one."""
    first = (house.docs / "a.md").read_text()
    rewrite(house)
    house.write("x/new.md", paragraphs(8))
    (house.docs / "x/y/c.md").unlink()
    house.crash(f"{side} {name}")
    house.write("a.md", first)
    (house.docs / "x/new.md").unlink()
    house.sync()
    house.check()
    house.sync()
    assert sync_by_digest(house).documents.unchanged == 2


def test_a_crash_right_before_it_is_settled(house):
    house.write("a.md", paragraphs(7))
    house.sync()
    house.clock.ahead_s += QUIET_S
    with mock.patch.object(SettledRows, "record", side_effect=Crash), pytest.raises(Crash):
        house.sync()
    assert not digests(house)
    house.check()
    house.sync()
    assert sync_by_digest(house).documents.unchanged == 3


def test_what_was_just_written_settles_nothing(tmp_path):
    house = House(tmp_path)
    house.clock.ahead_s = -60.0  # however slow this machine is, the file is newer than the look at it
    path = house.write("a.md", "The lantern hangs low.\n")
    house.sync()
    house.sync()
    assert not digests(house)
    stat = path.stat()
    path.write_text("The lantern hangs far.\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert house.sync().documents.changed == 1
    house.check()


def test_a_file_that_is_being_written_is_looked_at_for_itself(house):
    with house.app.writer("run", print) as writer:
        look = Look(writing=frozenset({DocumentName("docs", "a.md")}))
        report = sync_with(house.app, writer, house.told, look=look)
    assert report.documents.pending == 1
    assert report.documents.unchanged == 2


def test_documents_are_parsed_again_by_other_code(house, monkeypatch):
    monkeypatch.setattr(reindex.changes, "CHUNKER_VERSION", 99)
    for cached in (reindex.changes.code_digest, reindex.changes._with_chunker):
        cached.cache_clear()
    try:
        assert house.sync().documents.changed == 3
        house.check()
    finally:
        monkeypatch.undo()
        for cached in (reindex.changes.code_digest, reindex.changes._with_chunker):
            cached.cache_clear()


def test_sources_settle_each_for_itself(house, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    (more / "m.md").write_text(paragraphs(11))
    only_docs = house.settings
    both = (*only_docs.sources, SourceSettings(name="more", path=more))
    house.settings = replace(only_docs, sources=both)
    for _ in range(2):
        house.sync()
        house.clock.ahead_s += QUIET_S
    assert digests(house).keys() == {"docs", "more"}
    (more / "m.md").write_text(paragraphs(12))
    house.write("a.md", paragraphs(13))
    report = house.sync()
    assert (report.documents.changed, report.documents.unchanged) == (2, 2)
    house.sync()
    (more / "m.md").write_text(paragraphs(14))
    report = house.sync()
    assert digests(house).keys() == {"docs"}
    assert (report.documents.changed, report.documents.unchanged) == (1, 3)
    house.check()
    house.settings = only_docs
    report = house.sync()
    assert (report.documents.deleted, report.documents.unchanged) == (1, 3)
    house.check()


def test_a_settled_source_whose_folder_is_away_is_held(house):
    away = house.docs.with_name("away")
    house.docs.rename(away)
    house.docs.mkdir()
    assert house.sync().documents.held == 3
    house.docs.rmdir()
    away.rename(house.docs)
    report = house.sync()
    assert (report.documents.held, report.documents.unchanged) == (0, 3)
    house.check()


def test_a_generation_has_digests_of_its_own(house):
    house.with_dimensions(16)
    house.rebuild()
    house.sync()
    house.write("a.md", paragraphs(15))
    house.clock.ahead_s += QUIET_S
    for _ in range(2):
        house.sync()
        house.check()
    house.rollback()
    house.sync()
    house.check()
    house.sync()
    house.clock.ahead_s += QUIET_S
    house.sync()
    sync_by_digest(house)
    house.check()


@pytest.mark.parametrize("is_settled_again", [False, True])
def test_a_ledger_from_a_backup(house, is_settled_again):
    backup = (house.data_dir / LEDGER_FILE).read_bytes()
    house.write("a.md", paragraphs(16))
    house.sync()
    if is_settled_again:
        house.clock.ahead_s += QUIET_S
        house.sync()
    (house.data_dir / LEDGER_FILE).write_bytes(backup)
    for _ in range(3):
        house.sync()
        house.check()
        house.clock.ahead_s += QUIET_S
    sync_by_digest(house)
    house.check()


def test_a_table_that_is_lost_is_made_again(house):
    shutil.rmtree(house.data_dir / "lance" / f"{house.published().table}.lance")
    assert house.sync().documents.added == 3
    house.check()


def test_a_ledger_of_an_older_schema(house):
    make_older(house.data_dir / LEDGER_FILE, 4)
    assert house.sync().documents.unchanged == 3
    assert digests(house).keys() == {"docs"}
    house.check()


WRITES = {
    "a look": lambda ledger, seen: ledger.files.record({DocumentName("docs", "a.md"): seen}, ()),
    "a file gone": lambda ledger, _: ledger.files.record({}, [DocumentName("docs", "a.md")]),
    "a document": lambda ledger, _: ledger.documents.record(1, dict([first(ledger)]), ()),
    "a document gone": lambda ledger, _: ledger.documents.record(1, {}, [first(ledger)[0]]),
    "all documents": lambda ledger, _: ledger.documents.replace_all(1, ledger.documents.all(1)),
}


def first(ledger):
    return next(iter(ledger.documents.all(1).items()))


@pytest.mark.parametrize("write", WRITES)
def test_whatever_writes_to_a_source_forgets_its_digest(house, write):
    with house.app.writer("test", print) as writer:
        path, stat, observed_ns, revision = next(writer.ledger.files.of_source("docs"))
        assert path == "a.md"
        WRITES[write](writer.ledger, SeenFile(FileStat(*stat), observed_ns, revision))
        assert not writer.ledger.settled.of(1, code_digest())
