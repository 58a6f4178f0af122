"""What must not grow with the index: counted in files, rows and calls, never in seconds."""

import os
import random
import tracemalloc
from collections import Counter
from dataclasses import replace
from unittest import mock

import pytest

from doubles import UPKEEP, House, Told, hash_vectors, paragraphs, watched
from ledgers import steps_of
from reindex import maintenance
from reindex.core.identity import EmbeddingSpace, Recipe, document_id, embedding_key
from reindex.core.layout import DocumentLayout, Place
from reindex.maintenance import VERSIONS_MAX, VERSIONS_MIN, small_fragments_max, versions_max
from reindex.model import DocumentName, Revision
from reindex.observe import Observation
from reindex.pipeline import Pipeline
from reindex.status import recorded_status
from reindex.stores import ledger_schema
from reindex.stores.document_rows import DocumentRows, RecordedDocument
from reindex.stores.index import GenerationTable
from reindex.stores.ledger import FILE, Ledger
from reindex.stores.pointer import Published
from reindex.stores.snapshot import StoredChunk
from reindex.stores.sqlite import open_writable
from reindex.stores.wait_rows import Wait, WaitRows
from reindex.syncing import Look, sync_with
from reindex.verify import verify_index


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    for number in range(6):
        house.write(f"d{number}.md", paragraphs(*range(3 * number, 3 * number + 4)))
    house.sync()
    return house


def full_reads(house):
    """How often a sync reads the whole table."""
    with mock.patch.object(
        GenerationTable, "read_all", autospec=True, side_effect=GenerationTable.read_all
    ) as read:
        house.sync()
    return read.call_count


@pytest.mark.parametrize(
    "point",
    [
        "after 1 job",
        "after 2 cache",
        "after 3b delete",
        "after 3 table",
        "before 4 record",
        "after 5 pointer",
    ],
)
def test_after_a_crash_the_table_is_not_read_whole(house, point):
    house.write("d1.md", paragraphs(50, 51, 52))
    assert house.crash(point)
    assert full_reads(house) == 0
    house.check()
    assert full_reads(house) == 0


def test_a_table_that_was_damaged_by_the_crash_is_read_and_given_up(house):
    """A file that was known good, and is another one after the crash."""
    house.write("d1.md", paragraphs(50, 51, 52))
    assert house.crash("after 3 table")
    first = min((house.data_dir / "lance/g1.lance/data").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    first.write_bytes(os.urandom(first.stat().st_size))
    assert full_reads(house) == 1
    assert house.published().generation == 2
    house.check()


def test_a_version_that_was_recorded_and_not_published_is_read_once(house):
    """Its files were never looked at: a crash of the machine may have cut them."""
    house.write("d1.md", paragraphs(50, 51, 52))
    assert house.crash("after 4 record")
    assert full_reads(house) == 1
    assert full_reads(house) == 0
    house.check()


def document(chunks, tokens=7):
    return RecordedDocument(Revision(b"r" * 32), "p/1", b"k" * 32 * chunks, tokens, 1.5)


def test_totals_are_kept_as_documents_come_change_and_go(tmp_path):
    chooser = random.Random(7)
    ledger = Ledger.open(tmp_path)
    for _ in range(200):
        generation = chooser.randrange(1, 3)
        names = [DocumentName("docs", f"{chooser.randrange(30)}.md") for _ in range(3)]
        ledger.documents.record(
            generation,
            {name: document(chooser.randrange(4), chooser.randrange(50)) for name in names[:2]},
            names[2:],
        )
        if chooser.random() < 0.05:
            ledger.documents.replace_all(generation, {names[0]: document(2)})
        for number in (1, 2):
            held = ledger.documents.all(number).values()
            assert ledger.documents.totals(number) == (len(held), sum(each.chunks for each in held))
            assert ledger.documents.tokens(number) == sum(each.tokens for each in held)
    ledger.close()


def sums(ledger):
    return (*ledger.documents.totals(1), ledger.documents.tokens(1))


@pytest.mark.parametrize("version", [1, 2, 5])
def test_totals_of_a_ledger_of_an_older_schema(tmp_path, version):
    """Read as it is, and brought up by the first writer."""
    old = open_writable(tmp_path / FILE, ledger_schema.MIGRATIONS[:version])
    DocumentRows(old).record(1, {DocumentName("docs", f"{n}.md"): document(n, 3 * n) for n in range(5)}, ())
    DocumentRows(old).record(2, {DocumentName("docs", "other.md"): document(1, 100)}, ())
    old.close()
    reading = Ledger.open_for_reading(tmp_path)
    assert sums(reading) == (5, 10, 30)
    reading.close()
    writing = Ledger.open(tmp_path)
    assert sums(writing) == (5, 10, 30)
    writing.documents.record(1, {}, [DocumentName("docs", "4.md")])
    assert sums(writing) == (4, 6, 18)
    writing.documents.record(1, {DocumentName("docs", "3.md"): document(3, 5)}, ())
    assert sums(writing) == (4, 6, 14)
    writing.close()


def test_sums_over_all_documents_are_read_and_not_made(tmp_path):
    ledger = Ledger.open(tmp_path)
    costs = []
    for part in range(2):
        names = [DocumentName("docs", f"{part}/{n}.md") for n in range(500)]
        ledger.documents.record(1, dict.fromkeys(names, document(2)), ())
        costs.append(steps_of(ledger, lambda: sums(ledger)))
    assert costs[0] == costs[1] < 1_000
    ledger.close()


def test_a_table_of_which_much_is_garbage_is_pruned_sooner():
    assert versions_max(on_disk_bytes=3_700 << 20, live_bytes=2_400 << 20) == VERSIONS_MIN
    assert versions_max(on_disk_bytes=2_500 << 20, live_bytes=2_400 << 20) == VERSIONS_MAX
    assert versions_max(on_disk_bytes=90 << 20, live_bytes=1 << 20) == VERSIONS_MAX


def test_upkeep_prunes_by_what_is_on_the_disk_and_what_of_it_is_live(tmp_path, monkeypatch):
    sizes = []

    def asked(on_disk_bytes, live_bytes):
        sizes.append((on_disk_bytes, live_bytes))
        return 3

    monkeypatch.setattr(maintenance, "versions_max", asked)
    monkeypatch.setattr(maintenance, "PRUNE_MARGIN_S", 0.0)
    house = House(tmp_path, reader_grace_s=0)
    pruned = Counter()
    for revision in range(4):
        house.write("d1.md", paragraphs(500 + revision))
        with watched(lambda where: pruned.update([where]), {"prune": UPKEEP["prune"]}):
            house.sync()
    assert pruned["after prune"] >= 1
    assert all(0 < live < on_disk for on_disk, live in sizes)


def test_small_files_are_merged_less_often_in_a_larger_table():
    assert [small_fragments_max(rows, 24) for rows in (0, 50_000, 200_000, 1_000_000)] == [24, 24, 48, 107]


class ManyRows:
    """A snapshot of many documents that holds none of them."""

    def __init__(self, documents):
        space = EmbeddingSpace("local", "digest", 16, True, "fp32", "", "")
        self.published = Published(1, "g1", 1, "", Recipe("model", space, "tokenizer", 256, 0), 0.0)
        self._documents = documents

    def layouts(self):
        for number in range(self._documents):
            keys = tuple(embedding_key(self.fingerprint, text) for text in self._texts(number))
            places = tuple(Place(n, n, ("A",)) for n in range(len(keys)))
            yield DocumentLayout(self._name(number), Revision(b"r" * 32), "p/1", 7, 1.5, keys, places)

    def chunks(self):
        for number, layout in enumerate(self.layouts()):
            document = document_id(layout.name)
            texts = self._texts(number)
            vectors = hash_vectors(texts, 16)
            for row in zip(layout.chunk_ids(), layout.keys, texts, vectors, strict=True):
                yield StoredChunk(row[0], document, row[1].hex(), row[2], row[3])

    @property
    def fingerprint(self):
        return self.published.recipe.space.fingerprint

    def _name(self, number):
        return DocumentName("docs", f"{number}.md")

    def _texts(self, number):
        return [f"{number} {n}" for n in range(20)]


def test_verify_holds_little_more_than_the_keys():
    """32 bytes a chunk are its key; with a dictionary of all chunk ids it were 800."""
    documents = 400
    names = [DocumentName("docs", f"{n}.md") for n in range(documents)]
    observation = Observation({"docs": {name.path: Revision(b"r" * 32) for name in names}})
    tracemalloc.start()
    found = verify_index(ManyRows(documents), observation, {}, ())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.ok
    assert found.chunks == 20 * documents
    at_hand = 64 * 20 * 250  # the chunk ids of a bounded number of documents
    assert peak < at_hand + 200 * found.chunks, peak


def test_what_is_remembered_of_jobs_is_bounded_in_number(house, monkeypatch):
    monkeypatch.setattr(maintenance, "JOBS_KEPT", 3)
    for revision in range(6):
        house.write("d1.md", paragraphs(700 + revision))
        house.sync()
    with house.app.ledger() as ledger:
        kept = ledger.jobs.all()
    assert len(kept) == 4  # the last is of this pass
    assert kept[0].number == kept[-1].number + 3


def test_a_pass_over_one_file_and_the_status_read_of_no_others_that_wait(house):
    waits = [Wait(DocumentName("docs", f"w/{n}.md"), Revision(b"r" * 32), "p/1", 7, 1.0) for n in range(20)]
    house.write("d1.md", paragraphs(800))
    read = []

    def counted(rows, *arguments):
        found = plain(rows, *arguments)
        read.extend(found)
        return found

    plain = WaitRows._read
    with mock.patch.object(WaitRows, "_read", counted), house.app.writer("test", print) as writer:
        writer.ledger.waits.record(1, [(wait, [wait.job]) for wait in waits])
        look = Look(places={"docs": frozenset({"d1.md"})})
        assert sync_with(house.app, writer, Told(), look=look).documents.changed == 1
        status = recorded_status(house.app, state="ready", reasons=(), pending=0, lag_s=0.0)
    assert not read
    assert status.pending == len(waits)
    assert status.lag_s > 1e9


class CountedTuple(tuple):
    """Counts how often it is gone through."""

    __slots__ = ()
    times = 0

    def __iter__(self):
        CountedTuple.times += 1
        return super().__iter__()


def test_the_plan_is_not_gone_through_for_every_window(house, monkeypatch):
    plain = Pipeline.run

    def run(pipeline, observation, changes):
        counted = {of: CountedTuple(getattr(changes.plan, of)) for of in ("added", "changed", "deleted")}
        plain(pipeline, observation, replace(changes, plan=replace(changes.plan, **counted)))

    monkeypatch.setattr(Pipeline, "run", run)
    times = []
    for numbers, first in ((range(2), 1_000), (range(6), 2_000)):
        for number in numbers:
            house.write(f"d{number}.md", paragraphs(*range(first + 9 * number, first + 9 * number + 7)))
        CountedTuple.times = 0
        assert house.sync().documents.changed == len(numbers)
        times.append(CountedTuple.times)
    assert times[0] == times[1]
