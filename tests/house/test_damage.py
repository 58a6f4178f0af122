"""Files of the data directory are deleted, cut, overwritten or put back from a backup. What follows is a
clear error or a repair: never a wrong answer, never "unchanged" over a missing table, and nothing is embedded
twice as long as the cache or the table still has it.
"""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from doubles import (
    TESTS,
    Crash,
    HashEmbedder,
    House,
    Told,
    check_whole,
    contents,
    crash_at,
    paragraphs,
)
from reindex import recovery
from reindex.errors import LockedError, NewerFormatError, NothingIndexedError, ReindexError, StoreError
from reindex.maintenance import collect_garbage
from reindex.planning import make_plan
from reindex.search import SearchMode
from reindex.status import store_status
from reindex.stores.cache import VectorCache
from reindex.stores.index import GenerationTable
from reindex.stores.manifests import manifest_path, tables_on_disk, versions_on_disk
from reindex.stores.pointer import Pointer
from reindex.verifying import run_verify


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    for number in range(3):
        house.write(f"d{number}.md", paragraphs(*range(3 * number, 3 * number + 4)))
    house.sync()
    house.write("d0.md", paragraphs(0, 1, 40, 3))
    house.sync()
    house.whole = contents(house.snapshot())
    return house


LEDGER, CACHE, POINTER = "ledger.sqlite", "cache.sqlite", "published.json"


def delete(path):
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def cut_in_half(path):
    os.truncate(path, path.stat().st_size // 2)


def cut_in_the_first_page(path):
    os.truncate(path, 50)


def empty(path):
    os.truncate(path, 0)


def overwrite(path):
    path.write_bytes(os.urandom(len(path.read_bytes())))


def overwrite_the_middle(path):
    """The header stays: the damage is met only when those pages are read."""
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def damaged(house, *parts):
    for name, damage in parts:
        damage(house.data_dir / name)


def check_repaired(house):
    """One run mends all: the same index as before, nothing paid twice, and the next run has nothing to do."""
    house.sync()
    house.check()
    assert contents(house.snapshot())[1] == house.whole[1]
    assert contents(house.snapshot())[0].keys() == house.whole[0].keys()
    assert not house.embedder.paid_twice
    assert house.sync().commits == 0
    hit = house.reader().search("Paragraph 40 speaks", k=1, mode=SearchMode.TEXT).hits[0]
    assert hit.path == "d0.md"
    with house.ledger() as ledger:
        assert ledger.generations.live().number == house.published().generation


WAYS = [delete, cut_in_half, cut_in_the_first_page, empty, overwrite, overwrite_the_middle]


@pytest.mark.parametrize("way", WAYS)
def test_the_ledger_is_damaged(house, way):
    damaged(house, (LEDGER, way))
    check_repaired(house)


@pytest.mark.parametrize("way", WAYS)
def test_the_cache_is_damaged(house, way):
    """Names that are new need vectors again, which only cache and table can give for nothing."""
    damaged(house, (CACHE, way))
    (house.docs / "d1.md").rename(house.docs / "moved.md")
    house.sync()
    (house.docs / "moved.md").rename(house.docs / "d1.md")
    check_repaired(house)


@pytest.mark.parametrize("way", WAYS[:-1])
def test_the_pointer_is_damaged(house, way):
    damaged(house, (POINTER, way))
    check_repaired(house)


@pytest.mark.parametrize("way", WAYS[:-1])
def test_readers_and_a_damaged_pointer(house, way):
    damaged(house, (POINTER, way))
    with pytest.raises(NothingIndexedError if way is delete else StoreError):
        house.reader().search("anything")


@pytest.mark.parametrize("way", WAYS)
def test_readers_and_a_damaged_cache(house, way):
    """A query needs no cache: it embeds its text itself."""
    damaged(house, (CACHE, way))
    check_readers(house)


@pytest.mark.parametrize("way", WAYS)
def test_readers_and_a_damaged_ledger(house, way):
    """A query needs the ledger for notes about the model only."""
    damaged(house, (LEDGER, way))
    check_readers(house)


def check_readers(house):
    """With a question that was asked before, and with one for which the model is needed."""
    for mode in SearchMode:
        found = house.reader().search(paragraphs(40).strip(), k=3, mode=mode)
        assert found.hits[0].path == "d0.md"
        assert house.reader().search("never asked before: paragraph", mode=mode).hits


@pytest.mark.parametrize("names", [(LEDGER, POINTER), (LEDGER, CACHE), (CACHE, POINTER)])
@pytest.mark.parametrize("way", [delete, cut_in_half])
def test_two_files_are_damaged(house, names, way):
    damaged(house, *((name, way) for name in names))
    check_repaired(house)


def test_everything_but_the_table_is_gone(house):
    """The last copy of the vectors is a table that nobody names: it is not found, but nothing is wrong."""
    damaged(house, *((name, delete) for name in (LEDGER, CACHE, POINTER)))
    house.sync()
    house.check()
    assert contents(house.snapshot())[1] == house.whole[1]


def test_the_table_is_deleted(house):
    shutil.rmtree(house.data_dir / "lance")
    with pytest.raises(StoreError, match="missing"):
        house.reader().search("anything", mode=SearchMode.TEXT)
    assert not house.verify().ok
    assert store_status(house.app).state == "degraded"
    report = house.sync()
    assert report.documents.unchanged == 0
    assert report.generation == 2
    assert house.told.warnings
    check_repaired(house)


def test_the_table_is_deleted_and_so_are_documents(house):
    shutil.rmtree(house.data_dir / "lance" / "g1.lance")
    (house.docs / "d1.md").unlink()
    house.sync()
    house.check()
    assert not house.embedder.paid_twice


def test_a_tables_name_is_never_used_again(house):
    before = house.published().table
    shutil.rmtree(house.data_dir / "lance")
    damaged(house, (LEDGER, delete))
    house.sync()
    assert house.published().table != before


def test_data_files_of_the_table_are_deleted(house):
    """Its manifests are there, its rows are not: every answer fails, so no run may call that unchanged."""
    shutil.rmtree(house.data_dir / "lance" / "g1.lance" / "data")
    with pytest.raises(StoreError):
        house.reader().search("Paragraph", mode=SearchMode.TEXT)
    assert not house.verify().ok
    check_repaired(house)


def test_a_data_file_of_the_table_is_overwritten(house):
    for path in (house.data_dir / "lance" / "g1.lance" / "data").iterdir():
        overwrite(path)
    found = None
    try:
        found = house.verify()
    except ReindexError as error:
        assert error.hint or error.message
    assert found is None or not found.ok
    check_repaired(house)


@pytest.mark.parametrize(
    "way",
    [
        delete,
        cut_in_half,
        overwrite,
        empty,
    ],
)
def test_the_newest_manifest_is_damaged(house, way):
    """The version before it is the half of a window that upserts: it must not be taken for the truth."""
    way(house.data_dir / house.published().manifest)
    check_repaired(house)


@pytest.mark.parametrize("way", [delete, empty, overwrite])
def test_lances_hint_of_the_latest_version_is_damaged(house, way):
    """Lance writes it anew with each commit, so that it is not among the files that must stay as they are."""
    way(house.data_dir / "lance/g1.lance/_versions/latest_version_hint.json")
    house.write("d1.md", paragraphs(70, 71))
    assert house.sync().generation == 1
    house.check()


def test_the_two_newest_manifests_are_deleted(house):
    published = house.published()
    for version in (published.version, published.version - 1):
        (house.data_dir / manifest_path(published.table, version)).unlink()
    check_repaired(house)


def test_one_cached_vector_has_flipped_bits(house):
    """The row fails its check, and the table has the same vector: nothing is paid, nothing wrong is used."""
    with sqlite3.connect(house.data_dir / CACHE) as database:
        rows = database.execute("SELECT key, vector FROM vectors").fetchall()
        for key, vector in rows:
            wrong = bytes([vector[0] ^ 0xFF]) + vector[1:]
            database.execute("UPDATE vectors SET vector = ? WHERE key = ?", (wrong, key))
    database.close()
    (house.docs / "d1.md").rename(house.docs / "moved.md")
    house.sync()
    house.check()
    assert not house.embedder.paid_twice


def test_a_cached_vector_of_the_wrong_length(house):
    with sqlite3.connect(house.data_dir / CACHE) as database:
        database.execute("UPDATE vectors SET vector = substr(vector, 1, 8)")
    database.close()
    (house.docs / "d1.md").rename(house.docs / "moved.md")
    house.sync()
    house.check()
    assert not house.embedder.paid_twice


def test_a_flipped_query_vector_is_not_used(house):
    reader = house.reader()
    best = reader.search(paragraphs(40).strip(), k=1, mode=SearchMode.VECTOR).hits[0].chunk_id
    with sqlite3.connect(house.data_dir / CACHE) as database:
        database.execute("UPDATE vectors SET vector = zeroblob(length(vector))")
    database.close()
    assert house.reader().search(paragraphs(40).strip(), k=1, mode=SearchMode.VECTOR).hits[0].chunk_id == best


@pytest.mark.parametrize("name", [LEDGER, CACHE])
def test_a_database_of_a_newer_version_is_left_alone(house, name):
    with sqlite3.connect(house.data_dir / name) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = {p: p.read_bytes() for p in house.data_dir.rglob("*") if p.is_file() and p.name != "lock"}
    house.write("d0.md", paragraphs(99))
    with pytest.raises(NewerFormatError, match="schema 99"):
        house.sync()
    if name == LEDGER:
        for look in (store_status, lambda app: make_plan(app, Told())):
            with pytest.raises(NewerFormatError):
                look(house.app)
    assert {
        p: p.read_bytes() for p in house.data_dir.rglob("*") if p.is_file() and p.name != "lock"
    } == before


def test_a_pointer_of_a_newer_version_is_left_alone(house):
    path = house.data_dir / POINTER
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    for attempt in (house.sync, lambda: house.reader().search("x")):
        with pytest.raises(NewerFormatError):
            attempt()
    assert '"format": 2' in path.read_text()


def backup(house, *names):
    folder = house.data_dir.parent / "backup"
    folder.mkdir(exist_ok=True)
    for name in names:
        shutil.copy2(house.data_dir / name, folder / name)

    def restore():
        for name in names:
            delete(house.data_dir / name)
            shutil.copy2(folder / name, house.data_dir / name)

    return restore


@pytest.mark.parametrize("names", [(LEDGER,), (POINTER,), (CACHE,), (LEDGER, POINTER), (LEDGER, CACHE)])
@pytest.mark.parametrize("is_pruned", [False, True], ids=["", "pruned"])
def test_files_from_an_old_backup(house, names, is_pruned):
    restore = backup(house, *names)
    (house.docs / "d1.md").unlink()
    house.write("d2.md", paragraphs(60, 7, 61))
    house.write("later.md", paragraphs(62, 63))
    house.sync()
    if is_pruned:
        house.clock.ahead_s += 10_000
        with house.app.writer("gc", print) as writer:
            collect_garbage(writer, house.settings)
        house.clock.ahead_s += 10_000
        house.write("d0.md", paragraphs(0, 1, 40, 3, 64))
        house.sync()
    restore()
    (house.docs / "later.md").unlink()
    house.write("d2.md", paragraphs(60, 8))
    house.sync()
    house.check()
    if CACHE not in names:
        assert not house.embedder.paid_twice


def test_a_ledger_from_before_the_table_was_lost(house):
    """It knows generation 1 as live, whose table is gone; the pointer names generation 2."""
    restore = backup(house, LEDGER)
    shutil.rmtree(house.data_dir / "lance" / "g1.lance")
    house.sync()
    restore()
    (house.docs / "d1.md").unlink()
    house.sync()
    house.check()
    status = store_status(house.app)
    assert status.live.number == house.published().generation
    assert not status.pending
    assert not house.embedder.paid_twice


def test_a_crash_while_a_lost_ledger_is_made_again(house):
    """The generation stands in the new ledger before its documents do: it must not be taken for empty."""
    damaged(house, (LEDGER, delete))
    (house.docs / "d1.md").unlink()
    house.write("d0.md", paragraphs(44, 45))
    assert house.crash("after add generation")
    house.sync()
    house.check()
    assert not house.embedder.paid_twice


@pytest.mark.parametrize(
    "point",
    [
        "before version",
        "after version",
        "after restore",
        "before 5 pointer",
    ],
)
def test_another_crash_while_a_lost_ledger_is_made_again(house, point):
    house.write("new.md", paragraphs(70, 71))
    assert house.crash("after 3 table")
    damaged(house, (LEDGER, delete))
    (house.docs / "d1.md").unlink()
    house.crash(point)
    house.sync()
    house.check()
    assert not house.embedder.paid_twice


def test_a_crash_between_a_new_cache_and_its_refill(house, monkeypatch):
    damaged(house, (CACHE, delete))

    def crash(*_):
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "_align_pointer", crash)
        with pytest.raises(Crash):
            house.sync()
    (house.docs / "d1.md").rename(house.docs / "moved.md")
    house.sync()
    house.check()
    assert not house.embedder.paid_twice


def test_a_crash_in_the_middle_of_a_refill(house):
    damaged(house, (CACHE, delete))
    assert house.crash("before 2 cache")
    (house.docs / "d1.md").rename(house.docs / "moved.md")
    house.sync()
    house.check()
    assert not house.embedder.paid_twice


def test_a_version_in_reach_of_readers_is_never_pruned(tmp_path):
    """Compaction takes longer than any version is old: the cut must not move with it."""
    house = House(tmp_path, reader_grace_s=60)
    for number in range(12):
        house.write("d.md", paragraphs(number, number + 1))
        house.sync()
    house.clock.ahead_s += 10_000
    for number in range(12, 16):
        house.write("d.md", paragraphs(number, number + 1))
        house.sync()
    held = house.snapshot()
    before = contents(held)
    with house.app.writer("gc", print) as writer:
        in_reach = writer.oldest_version_in_reach()
        writer.table().prune(in_reach, orphans=False)
        writer.adopt_version()
    assert in_reach in versions_on_disk(house.data_dir, "g1")
    assert contents(held) == before
    house.check()


def test_gc_while_a_reader_is_held_open(house):
    held = house.reader()
    for number in range(4):
        house.write("d0.md", paragraphs(50 + number))
        house.sync()
        held.with_snapshot(check_whole)
        pinned = held._snapshot
        with house.app.writer("gc", print) as writer:
            collect_garbage(writer, house.settings)
        check_whole(pinned)
        held.with_snapshot(check_whole)
    house.check()


def test_gc_right_after_the_ledger_was_lost(house):
    damaged(house, (LEDGER, delete))
    with house.app.writer("gc", print) as writer:
        collect_garbage(writer, house.settings)
    house.check()


def test_gc_removes_what_no_generation_claims(house):
    shutil.copytree(house.data_dir / "lance" / "g1.lance", house.data_dir / "lance" / "g7.lance")
    with house.app.writer("gc", print) as writer:
        collect_garbage(writer, house.settings)
    assert tables_on_disk(house.data_dir) == ["g1"]
    house.check()


def test_a_second_writer_names_the_first(house):
    with house.app.writer("sync", print), pytest.raises(LockedError, match=rf"process {os.getpid()} \(rein"):
        house.sync()
    house.sync()


def test_readers_while_a_writer_is_at_work(house):
    with house.app.writer("sync", print):
        assert house.reader().search(paragraphs(40).strip(), k=1).hits[0].path == "d0.md"
        assert store_status(house.app).live.number == 1
        assert house.verify().ok


def test_an_empty_folder_makes_an_empty_index(tmp_path):
    house = House(tmp_path)
    report = house.sync()
    assert (report.generation, report.documents.added, report.chunks.total) == (1, 0, 0)
    for mode in SearchMode:
        assert house.reader().search("anything", mode=mode).hits == []
    house.check()
    house.write("one.md", paragraphs(1))
    house.sync()
    house.check()
    (house.docs / "one.md").unlink()
    assert house.sync().documents.held == 1
    house.sync(accept_deletes=True)
    for mode in SearchMode:
        assert house.reader().search("anything", mode=mode).hits == []
    house.check()


def as_nobody(house, body, *arguments):
    """Run a piece of Python as a user who may read everything here and write nothing."""
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from doubles import House, HashEmbedder, paragraphs, check_whole
        house = House(Path(sys.argv[2]))
        """
    ) + textwrap.dedent(body)
    for folder in house.data_dir.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-W", "error"]
    probe = [*nobody, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import doubles", str(TESTS)]
    if subprocess.run(probe, capture_output=True, timeout=180, cwd="/", check=False).returncode:
        pytest.skip("another user can't read this checkout, or its Python")
    return subprocess.run(
        [*nobody, "-c", script, str(TESTS), str(house.data_dir.parent), *arguments],
        capture_output=True, text=True, timeout=180, cwd="/", check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/nonexistent"},
    )  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become a user without rights")
@pytest.mark.parametrize("was_killed", [False, True], ids=["", "killed"])
def test_a_read_only_data_directory(house, was_killed):
    """Readers read and write nothing; a writer says so. Also with the log of a writer that was killed."""
    if was_killed:
        database = sqlite3.connect(house.data_dir / CACHE, isolation_level=None)
        ledger = sqlite3.connect(house.data_dir / LEDGER, isolation_level=None)
        for each in (database, ledger):
            each.execute("PRAGMA wal_autocheckpoint = 0")
        ledger.execute("INSERT INTO notes (name, value) VALUES ('test', 'x')")
        database.execute("UPDATE vectors SET used_day = 1")
    before = {p: p.read_bytes() for p in house.data_dir.rglob("*") if p.is_file()}
    result = as_nobody(
        house,
        """
        from reindex.errors import StoreError
        from reindex.planning import make_plan
        from reindex.search import SearchMode
        from reindex.status import store_status
        from doubles import Told
        for mode in SearchMode:
            assert house.reader().search(paragraphs(40).strip(), k=1, mode=mode).hits[0].path == "d0.md"
        check_whole(house.snapshot())
        assert house.verify().ok
        assert store_status(house.app).live.number == 1
        assert make_plan(house.app, Told()).unchanged == 3
        try:
            house.sync()
        except StoreError as error:
            print(error.message)
        """,
    )
    assert result.returncode == 0, result.stderr
    assert "can't be written" in result.stdout
    assert {p: p.read_bytes() for p in house.data_dir.rglob("*") if p.is_file()} == before


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"can't mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(tmp_path, small_disk):
    """Each run fails clearly, readers stay whole, and once there is space the next run goes on."""
    house = House(tmp_path, data_dir=small_disk / "index")
    house.write("first.md", paragraphs(*range(20)))
    house.sync()
    ballast = small_disk / "ballast"
    failures = 0
    for size in range(18):
        house.write(f"d{size}.md", paragraphs(*range(100 + 10 * size, 110 + 10 * size)))
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(bytes(max(0, free - 9_000 * size)))
        try:
            house.sync()
        except StoreError as error:
            failures += 1
            assert "space" in error.message + error.hint, error.message
        check_whole(house.snapshot())
        ballast.unlink()
    assert failures
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    house.sync()
    house.check()
    # A batch whose vectors found no space may be sent again with each run that had none.
    assert sum(house.embedder.paid_twice.values()) <= 8 * (failures + 1)


def test_an_overfull_disk_at_every_commit(tmp_path, monkeypatch):
    """ENOSPC where no small disk can be aimed at: writing the pointer."""
    house = House(tmp_path)
    house.write("a.md", paragraphs(1))
    house.sync()
    house.write("a.md", paragraphs(2))

    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_space)
        with pytest.raises(StoreError, match="space"):
            house.sync()
    check_whole(house.snapshot())
    house.sync()
    house.check()


def test_a_handle_of_the_ledger_outlives_a_sync(house):
    """`plan` and `verify --deep` hold it for minutes: a run of another process must not break them."""
    with house.ledger() as ledger:
        assert len(list(ledger.documents.revisions(1))) == 3
        for number in range(200):
            house.write(f"more/{number}.md", paragraphs(number))
        house.sync()
        found = ledger.documents.all(1)
        assert len(found) in {3, 203}
        assert ledger.jobs.counts()
        assert len(list(ledger.files.of_source("docs"))) in {3, 203}


def test_a_reader_of_the_cache_beside_a_writer(house):
    """Opening for reading never fails, whatever a writer does to the log at that moment."""
    texts = [paragraphs(number) for number in range(40)]
    for round_ in range(60):
        with house.app.writer("sync", print) as writer:
            house.reader().search(texts[round_ % 40], k=1)
            writer.cache.touch([], 0)
            cache = VectorCache.open_for_reading(house.data_dir)
        assert cache.count() >= 0
        cache.close()


def test_verify_tells_of_every_kind_of_drift(house):
    """Rows are changed behind the back of everything that keeps them right."""
    table = GenerationTable.open(house.data_dir, "g1", 384)
    raw = table._table
    raw.delete("path = 'd1.md' AND layout IS NULL")
    raw.update(where="path = 'd0.md' AND layout IS NULL", values={"text": "another text"})
    raw.add(raw.search().where("path = 'd2.md' AND layout IS NULL").to_list()[:2])
    published = house.published()
    Pointer(house.data_dir).write(
        replace(published, version=int(raw.version), manifest=manifest_path("g1", int(raw.version)))
    )
    house.write("d3.md", paragraphs(1))
    house.write("d2.md", paragraphs(2))
    found = house.verify()
    assert not found.ok
    assert (found.missing, found.duplicates, found.wrong_vectors) == (1, 2, 4)
    assert found.stale == 2
    assert found.extra == 0
    (house.docs / "d0.md").unlink()
    assert house.verify().extra == 1


def test_deep_verify_tells_of_vectors_that_the_model_would_not_give(house):
    class Liar(HashEmbedder):
        def for_recipe(self, recipe):
            lane = super().for_recipe(recipe)
            embed = lane.embed
            lane.embed = lambda texts: embed([text + "!" for text in texts])
            return lane

    app = replace(house.app, embedder_for=Liar().for_recipe)
    assert run_verify(app, Told(), deep=False).ok
    assert run_verify(app, Told(), deep=True).wrong_vectors == 12


def test_crash_is_what_the_double_says(house):
    with crash_at("before 4 record") as seen:
        house.sync()
    assert seen == []
