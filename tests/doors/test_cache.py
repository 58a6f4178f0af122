"""The vector cache on real SQLite: nothing false goes in, nothing damaged comes out."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from doubles import hash_vectors
from reindex.errors import EmbeddingError, NewerFormatError
from reindex.model import EmbeddingKey
from reindex.stores.cache import FILE, VectorCache

DIMENSIONS = 8


def keys(count):
    return [EmbeddingKey(number.to_bytes(32, "little")) for number in range(count)]


@pytest.fixture
def cache(tmp_path):
    cache = VectorCache.open(tmp_path, 0.0)
    yield cache
    cache.close()


def test_many_go_in_and_come_out_equal(cache):
    names, vectors = keys(1234), hash_vectors([str(n) for n in range(1234)], DIMENSIONS)
    cache.put(names, vectors, 1)
    found = cache.get([*names, EmbeddingKey(b"x" * 32)], DIMENSIONS)
    assert len(found) == cache.count() == 1234
    assert all(np.array_equal(found[name], vector) for name, vector in zip(names, vectors, strict=True))
    assert cache.present([names[5], EmbeddingKey(b"x" * 32)]) == {names[5]}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda v: v * 1.01,
        lambda v: v * 0,
        lambda v: np.full_like(v, np.nan),
        lambda v: np.full_like(v, np.inf),
        lambda v: v[:1],
        lambda v: v[0],
    ],
)
def test_a_bad_vector_is_refused_and_its_batch_with_it(cache, spoil):
    vectors = hash_vectors(["a", "b"], DIMENSIONS)
    with pytest.raises(EmbeddingError):
        cache.put(keys(2), spoil(vectors), 1)
    assert cache.count() == 0


@pytest.mark.parametrize("blob", [b"", b"\x00" * 4 * DIMENSIONS, b"\x00" * 7])
def test_a_damaged_row_counts_as_missing(tmp_path, cache, blob):
    cache.put(keys(3), hash_vectors(["a", "b", "c"], DIMENSIONS), 1)
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("UPDATE vectors SET vector = ? WHERE key = ?", (blob, keys(2)[1]))
    other.close()
    assert set(cache.get(keys(3), DIMENSIONS)) == {keys(3)[0], keys(3)[2]}
    assert cache.rejected == 1
    cache.put([keys(2)[1]], hash_vectors(["b"], DIMENSIONS), 1)
    assert len(cache.get(keys(3), DIMENSIONS)) == 3


def test_a_vector_of_another_length_counts_as_missing(cache):
    cache.put(keys(1), hash_vectors(["a"], DIMENSIONS), 1)
    assert cache.get(keys(1), DIMENSIONS + 1) == {}


def test_eviction_takes_the_longest_unused_and_spares_what_is_kept(cache):
    cache.put(keys(6), hash_vectors(list("abcdef"), DIMENSIONS), 1)
    cache.touch(keys(6)[:2], 9)
    removed = cache.evict(3 * 4 * DIMENSIONS, keep={keys(6)[2]})
    assert removed == 3
    assert cache.present(keys(6)) == {keys(6)[0], keys(6)[1], keys(6)[2]}


def test_reading_can_note_the_day_of_use(cache):
    cache.put(keys(6), hash_vectors(list("abcdef"), DIMENSIONS), 1)
    cache.get(keys(6)[:2], DIMENSIONS, used_on=9)
    cache.get(keys(6)[:2], DIMENSIONS, used_on=0)
    cache.get(keys(6)[:4], DIMENSIONS)
    cache.get(keys(6)[4:5], DIMENSIONS, used_on=2)
    assert cache.evict(3 * 4 * DIMENSIONS, keep=set()) == 3
    assert cache.present(keys(6)) == {keys(6)[0], keys(6)[1], keys(6)[4]}


def test_a_damaged_file_is_set_aside(tmp_path):
    (tmp_path / FILE).write_bytes(b"this is no database" * 100)
    cache = VectorCache.open(tmp_path, 77.0)
    assert not cache.is_complete
    assert cache.count() == 0
    cache.close()
    assert (tmp_path / "cache.damaged-77.sqlite").exists()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path):
    VectorCache.open(tmp_path, 0.0).close()
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(NewerFormatError):
        VectorCache.open(tmp_path, 0.0)
    with pytest.raises(NewerFormatError):
        VectorCache.open_for_reading(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_reading_writes_nothing(tmp_path, cache):
    cache.put(keys(2), hash_vectors(["a", "b"], DIMENSIONS), 1)
    cache.close()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    reader = VectorCache.open_for_reading(tmp_path)
    assert len(reader.get(keys(2), DIMENSIONS)) == 2
    reader.close()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_many_make_it_at_the_same_time(tmp_path):
    """A query files its vector without the lock: it may open the file in the moment in which it is made."""
    for round_ in range(20):
        folder = tmp_path / str(round_)
        folder.mkdir()
        barrier = threading.Barrier(4)

        def make(folder=folder, barrier=barrier):
            barrier.wait()
            VectorCache.open(folder, 0.0).close()

        with ThreadPoolExecutor(4) as threads:
            for made in [threads.submit(make) for _ in range(4)]:
                made.result()
        # Two that close at the same moment may each leave the log to the other.
        names = {path.name for path in folder.iterdir()} - {"cache.sqlite-wal", "cache.sqlite-shm"}
        assert names == {"cache.sqlite"}
