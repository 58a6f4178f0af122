"""Preparing, embedding and applying overlap, and what fails in one loses nothing of another."""

import threading

import pytest

from doubles import COMMITS, Crash, House, Told, paragraphs, watched
from reindex import preparing
from reindex.errors import EmbeddingError, ParserUnavailableError
from reindex.preparing import Preparer
from reindex.stores.cache import VectorCache
from reindex.stores.index import GenerationTable
from reindex.stores.lance import TableMissingError
from reindex.stores.sqlite import CorruptDatabaseError
from reindex.syncing import sync

WAIT_S = 30


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)  # windows of six chunks, the first of one
    for number in range(4):
        house.write(f"{number}.md", paragraphs(*range(10 * number, 10 * number + 8)))
    return house


def test_a_window_is_embedded_while_the_one_before_is_applied(house, monkeypatch):
    embedding_again = threading.Event()
    apply = GenerationTable.apply
    waited = []

    def slow_apply(self, changes):
        if not waited:  # only the first: the others come when nothing may be left to embed
            waited.append(embedding_again.wait(WAIT_S))
        return apply(self, changes)

    first_window = set(paragraphs(*range(8)).split("\n\n"))

    def before_batch():
        if any(text.strip() in first_window for text in house.embedder.sent):
            embedding_again.set()  # the first window was sent already: this batch is of another

    house.embedder.before_batch = before_batch
    monkeypatch.setattr(GenerationTable, "apply", slow_apply)
    house.sync()
    assert waited == [True]
    house.check()


def test_documents_are_prepared_while_others_are_embedded(house, monkeypatch):
    prepared = []
    all_prepared = threading.Event()
    prepare = Preparer.prepare

    def counting(self, name):
        result = prepare(self, name)
        prepared.append(name)
        if len(prepared) >= 2:
            all_prepared.set()
        return result

    monkeypatch.setattr(preparing.Preparer, "prepare", counting)
    house.embedder.before_batch = lambda: (
        all_prepared.wait(WAIT_S) or pytest.fail("nothing is prepared ahead")
    )
    house.sync()
    house.check()


def test_a_failing_model_does_not_keep_back_what_was_embedded_before(house):
    batches = []

    def before_batch():
        batches.append(1)
        house.embedder.is_down = len(batches) > 4

    house.embedder.before_batch = before_batch
    with pytest.raises(EmbeddingError):
        house.sync()
    assert house.snapshot().published.version
    published = {layout.name.path for layout in house.snapshot().layouts()}
    assert published
    assert published < {"0.md", "1.md", "2.md", "3.md"}
    house.embedder.before_batch = lambda: None
    house.embedder.is_down = False
    house.sync()
    house.check()
    assert not house.embedder.paid_twice


def test_a_document_that_failed_before_an_outage_is_remembered(house):
    house.write("a.md", b"\0")
    house.embedder.is_down = True
    with pytest.raises(EmbeddingError):
        house.sync()
    with house.ledger() as ledger:
        assert [name.path for name in ledger.failures.all()] == ["a.md"]


def test_a_table_that_fails_ends_the_run_and_the_next_one_goes_on(house, monkeypatch):
    apply = GenerationTable.apply
    calls = []

    def failing_apply(self, changes):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return apply(self, changes)

    with monkeypatch.context() as patch:
        patch.setattr(GenerationTable, "apply", failing_apply)
        with pytest.raises(OSError, match="No space"):
            house.sync()
    house.sync()
    house.check()
    assert not house.embedder.paid_twice


def test_damage_of_the_cache_loses_no_window_that_is_being_applied(house, monkeypatch):
    put = VectorCache.put
    calls = []

    def failing_put(self, keys, vectors, day, **options):
        calls.append(1)
        if len(calls) == 7:
            raise CorruptDatabaseError(house.data_dir / "cache.sqlite", "a bit")
        return put(self, keys, vectors, day, **options)

    monkeypatch.setattr(VectorCache, "put", failing_put)
    house.sync()
    house.check()  # nor is a job left open
    assert len(house.embedder.paid_twice) < 8  # of the window in hand alone


def test_a_parser_that_can_not_be_started_keeps_back_no_window(house, monkeypatch):
    prepare = Preparer.prepare
    prepared = []

    def failing_prepare(self, name):
        prepared.append(name)
        if len(prepared) == 4:
            raise ParserUnavailableError("no process")
        return prepare(self, name)

    monkeypatch.setattr(preparing.Preparer, "prepare", failing_prepare)
    with pytest.raises(ParserUnavailableError):
        house.sync()
    assert {layout.name for layout in house.snapshot().layouts()} == set(prepared[:3])


def test_a_table_that_vanishes_while_it_is_made_is_a_clear_error(house, monkeypatch):
    def missing(*_):
        raise TableMissingError("creating table g1: a file of the table is missing")

    with monkeypatch.context() as patch:
        patch.setattr(GenerationTable, "create", missing)
        with pytest.raises(TableMissingError):
            house.sync()
    house.sync()
    house.check()


def test_progress_never_goes_back(house):
    told = []

    class Counted(Told):
        def count(self, *, documents, chunks):
            told.append((documents, chunks))

    report = sync(house.app, Counted(), accept_deletes=False)
    assert told == sorted(told)
    assert told[-1] == (report.documents.added, report.chunks.embedded)


def test_no_thread_is_left_behind(house):
    def reached(where):
        if where == "after 2 cache":
            raise Crash(where)

    before = {thread.name for thread in threading.enumerate()}
    with watched(reached, COMMITS), pytest.raises(Crash):
        house.sync()
    left = {thread.name for thread in threading.enumerate()} - before
    assert not [name for name in left if name.startswith(("apply", "prepare"))]
