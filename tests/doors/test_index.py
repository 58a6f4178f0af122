"""The table of a generation on real LanceDB: what is written, what a reader sees, and what its files tell."""

import time
from pathlib import Path

import numpy as np
import pytest

from doubles import hash_vectors
from reindex.core.identity import EmbeddingSpace, Recipe, chunk_ids, document_id, embedding_key
from reindex.core.layout import DocumentLayout, Place
from reindex.errors import StoreError
from reindex.model import DocumentName, Revision
from reindex.stores.index import GenerationTable
from reindex.stores.lance import TableMissingError
from reindex.stores.manifests import manifest_path, tables_on_disk, versions_on_disk
from reindex.stores.pointer import Published
from reindex.stores.snapshot import Filter, Snapshot
from reindex.stores.table_changes import ChunkRows, TableChanges
from reindex.vectors import stack

DIMENSIONS = 16
PAUSE_S = 1.0
SPACE = EmbeddingSpace("local", "digest", DIMENSIONS, True, "fp32", "", "")
RECIPE = Recipe("model", SPACE, "tokenizer", 256, 0)


def changes(documents, gone=(), chunks_gone=(), only_new=False):
    """TableChanges for {name: [texts]}."""
    ids, names, keys_of_rows, vectors, layouts = [], [], [], [], []
    for name, texts in documents.items():
        keys = [embedding_key(SPACE.fingerprint, text) for text in texts]
        ids += chunk_ids(name, keys)
        names += [name] * len(keys)
        keys_of_rows += keys
        vectors += list(hash_vectors(texts, DIMENSIONS)) if texts else []
        places = tuple(Place(n + 1, n + 1, ("A",)) for n in range(len(texts)))
        layouts.append(DocumentLayout(name, Revision(b"r" * 32), "p/1", 7, 1.5, tuple(keys), places))
    all_texts = [text for texts in documents.values() for text in texts]
    rows = ChunkRows(ids, names, keys_of_rows, all_texts, stack(vectors))
    return TableChanges(rows, layouts, list(chunks_gone), list(gone), only_new)


def bytes_read():
    """By this process so far, also what the system had in memory."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))


def snapshot_of(tmp_path, table, version):
    return Snapshot.open(tmp_path, Published(1, table.name, version, "", RECIPE, 0.0))


def name(path, source="docs"):
    return DocumentName(source, path)


@pytest.fixture
def table(tmp_path):
    return GenerationTable.create(tmp_path, "g1", DIMENSIONS)


def test_the_files_tell_the_same_versions_as_lancedb(tmp_path, table):
    for number in range(3):
        version = table.apply(changes({name(f"{number}.md"): [f"text {number}"]}))
        assert versions_on_disk(tmp_path, "g1")[-1] == version == table.version
        assert (tmp_path / manifest_path("g1", version)).exists()
    assert (tmp_path / table.manifest).exists()
    assert tables_on_disk(tmp_path) == ["g1"]


def test_a_table_that_is_not_there_has_no_versions(tmp_path):
    assert versions_on_disk(tmp_path, "g7") == []
    assert tables_on_disk(tmp_path) == []
    with pytest.raises(TableMissingError):
        GenerationTable.open(tmp_path, "g7", DIMENSIONS)


def test_an_apply_takes_at_most_two_commits(table):
    table.apply(changes({name(f"{n}.md"): [f"a {n}", f"b {n}"] for n in range(5)}, only_new=True))
    assert table.data_commits == 1
    stale = chunk_ids(name("0.md"), [embedding_key(SPACE.fingerprint, "a 0")])
    table.apply(changes({name("5.md"): ["c"]}, gone=[name("1.md"), name("2.md")], chunks_gone=stale))
    assert table.data_commits == 3
    before = table.version
    table.apply(changes({}, gone=[name("3.md")]))
    assert table.data_commits == 4
    assert table.version == before + 1


def test_an_apply_that_is_repeated_changes_nothing(tmp_path, table):
    same = changes({name("a.md"): ["one", "two", "two"]})
    table.apply(same)
    version = table.apply(same)
    rows = list(snapshot_of(tmp_path, table, version).chunks())
    assert sorted(row.text for row in rows) == ["one", "two", "two"]
    assert len({row.chunk_id for row in rows}) == 3


def test_what_an_edit_reads_does_not_grow_with_the_table(table):
    """It reads the pages of the index that hold its rows; without an index it read twenty times more."""
    read = []
    for size in (2_000, 40_000):
        new = {name(f"{size} {n}.md"): [f"{size} {n} {m}" for m in range(19)] for n in range(size // 20)}
        table.apply(changes(new, only_new=True))
        table.optimise()
        edited = name(f"{size} 7.md")
        stale = chunk_ids(edited, [embedding_key(SPACE.fingerprint, f"{size} 7 3")])
        before = bytes_read()
        table.apply(changes({edited: [f"new {size}"]}, chunks_gone=stale))
        read.append(bytes_read() - before)
    assert read[1] < 4 * read[0]


def test_a_reader_stays_at_its_version_through_apply_optimise_and_prune(tmp_path, table):
    first = table.apply(changes({name("a.md"): ["one", "two"]}))
    reader = snapshot_of(tmp_path, table, first)
    table.apply(changes({}, gone=[name("a.md")]))
    table.optimise()
    table.prune(first, orphans=True)
    assert sorted(row.text for row in reader.chunks()) == ["one", "two"]
    assert sorted(row.text for row in snapshot_of(tmp_path, table, first).chunks()) == ["one", "two"]


def test_prune_removes_what_is_older_and_nothing_else(tmp_path, table):
    for number in range(4):
        table.apply(changes({name("a.md"): [f"text {number}"]}))
    time.sleep(PAUSE_S)  # not to wait for something: versions must differ in age by more than the margin
    kept = table.apply(changes({name("b.md"): ["kept"]}, only_new=True))
    table.apply(changes({name("c.md"): ["last"]}, only_new=True))
    table.prune(kept, orphans=False, margin_s=PAUSE_S / 2)
    assert versions_on_disk(tmp_path, "g1")[0] == kept


def test_upkeep_says_nothing_on_the_terminal(table, capfd):
    """LanceDB warned of each empty part: identical vectors leave one of two empty."""
    texts = {name(f"{n}.md"): ["the same"] for n in range(9_000)}
    table.apply(changes(texts, only_new=True))
    table.build_vector_index()
    table.optimise()
    assert "WARN" not in capfd.readouterr().err


def test_restore_brings_rows_and_search_back(tmp_path, table):
    good = table.apply(changes({name("a.md"): ["the lazy dog"]}))
    table.apply(changes({name("b.md"): ["a ghost"]}, gone=[name("a.md")]))
    restored = table.restore(good)
    assert restored > good
    found = snapshot_of(tmp_path, table, restored).matching("dog ghost", 10, Filter())
    assert [hit.text for hit in found] == ["the lazy dog"]


def test_rows_give_back_layouts_keys_and_vectors(table):
    wanted = changes({name("a.md"): ["one", "two"], name("b\udcff.md", "other"): ["three"]})
    table.apply(wanted)
    assert sorted(table.layouts(), key=lambda each: each.name) == sorted(
        wanted.layouts, key=lambda each: each.name
    )
    found = {
        key: vector for keys, vectors in table.vectors() for key, vector in zip(keys, vectors, strict=True)
    }
    keys = wanted.chunks.keys
    assert set(found) == set(keys)
    for key, vector in zip(keys, wanted.chunks.vectors, strict=True):
        assert np.array_equal(found[key], vector)
    some = table.vectors_of([keys[0], embedding_key(b"", "unknown")])
    assert list(some) == [keys[0]]


def test_a_vector_with_a_number_that_is_none_is_refused(table):
    wanted = changes({name("a.md"): ["one", "two"]})
    wanted.chunks.vectors[1, 3] = np.nan
    with pytest.raises(StoreError, match="NaN"):
        table.apply(wanted)
    assert table.count() == 0


def test_all_indices_are_made_over_all_rows(table):
    table.apply(changes({name(f"{n}.md"): [f"text {n}"] for n in range(300)}))
    version = table.create_indices(with_vectors=True)
    found = table.statistics()
    assert found.has_vector_index
    assert found.unindexed_rows == 0
    assert version == table.version


def test_search_by_vector_is_exact_and_by_cosine(tmp_path, table):
    texts = [f"text {n}" for n in range(200)]
    version = table.apply(changes({name(f"{n}.md"): [text] for n, text in enumerate(texts)}))
    vectors = hash_vectors(texts, DIMENSIONS)
    query = hash_vectors(["a question"], DIMENSIONS)[0]
    found = snapshot_of(tmp_path, table, version).nearest(query, 10, Filter())
    best = np.argsort(-(vectors @ query))[:10]
    assert [hit.text for hit in found] == [texts[i] for i in best]
    assert found[0].score == pytest.approx(float(vectors[best[0]] @ query), abs=1e-5)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Filter(source="docs"), {"a/x.md", "a/y.md", "ab/z.md", "it's.md"}),
        (Filter(path_prefix="a/"), {"a/x.md", "a/y.md", "a/other.md"}),
        (Filter(path_prefix="a"), {"a/x.md", "a/y.md", "ab/z.md", "a/other.md"}),
        (Filter(source="docs", path_prefix="a/x"), {"a/x.md"}),
        (Filter(source="no' OR '1'='1"), set()),
        (Filter(path_prefix="it's"), {"it's.md"}),
        (Filter(path_prefix="a/x.md' OR 'a"), set()),
    ],
)
def test_filters_are_values_and_never_sql(tmp_path, table, limits, expected):
    documents = {name(path): [f"words {path}"] for path in ("a/x.md", "a/y.md", "ab/z.md", "it's.md")}
    documents[name("a/other.md", "else")] = ["words other"]
    version = table.apply(changes(documents))
    snapshot = snapshot_of(tmp_path, table, version)
    paths = {document_id(each): each.path for each in documents}
    query = hash_vectors(["q"], DIMENSIONS)[0]
    assert {paths[hit.document] for hit in snapshot.nearest(query, 20, limits)} == expected
    assert {paths[hit.document] for hit in snapshot.matching("words", 20, limits)} == expected


def test_words_that_are_stop_words_elsewhere_are_found(tmp_path, table):
    version = table.apply(changes({name("a.md"): ["the lazy dog"], name("b.md"): ["a cat sleeps here"]}))
    snapshot = snapshot_of(tmp_path, table, version)
    assert [hit.text for hit in snapshot.matching("dogs", 5, Filter())] == ["the lazy dog"]
    assert [hit.text for hit in snapshot.matching("cat", 5, Filter())] == ["a cat sleeps here"]
    assert snapshot.matching("the", 5, Filter()) == []


@pytest.mark.parametrize("words", ["", '"', "a:b (c", "+- *", "\n", "日本語", "AND OR NOT"])
def test_any_words_can_be_asked(tmp_path, table, words):
    version = table.apply(changes({name("a.md"): ["日本語のテキスト and more"]}))
    found = snapshot_of(tmp_path, table, version).matching(words, 5, Filter())
    assert bool(found) == (words in {"日本語", "AND OR NOT"}) or words == "AND OR NOT"


def test_words_in_quotes_are_words(tmp_path, table):
    """LanceDB takes quotes around a string for a phrase: that finds nothing here, or fails."""
    text = '"The lantern hangs over the meadow."'
    snapshot = snapshot_of(tmp_path, table, table.apply(changes({name("a.md"): [text]})))
    for words in ('"meadow lantern"', text, '"meadow'):
        assert [hit.text for hit in snapshot.matching(words, 5, Filter())] == [text]


def test_statistics_see_what_maintenance_is_for(table):
    table.apply(changes({name(f"{n}.md"): [f"text {n}"] for n in range(300)}))
    before = table.statistics()
    assert before.unindexed_rows > 0
    assert not before.has_vector_index
    table.optimise()
    table.build_vector_index()
    after = table.statistics()
    assert (after.unindexed_rows, after.has_vector_index) == (0, True)
    assert after.rows == before.rows == 600
