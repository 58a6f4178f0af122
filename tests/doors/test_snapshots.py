"""Opening one version of a table after the other, as who reads for months does."""

import asyncio

import pytest

from doubles import HashEmbedder, House
from reindex.stores import lance
from reindex.stores.pointer import Pointer
from reindex.stores.snapshot import Filter, Snapshots
from reindex.stores.snapshot_async import AsyncSnapshots

VERSIONS = 9


class Awaited:
    """AsyncSnapshots as if they were Snapshots."""

    def __init__(self, data_dir):
        self._snapshots = AsyncSnapshots(data_dir)
        self._loop = asyncio.Runner()

    def open(self, published):
        self._snapshot = self._loop.run(self._snapshots.open(published))
        return self

    def matching(self, words, k, limits):
        return self._loop.run(self._snapshot.score_by_words(words, k, limits))

    def close(self):
        self._loop.close()


@pytest.fixture
def sessions(monkeypatch):
    """The caches of the latest connection."""
    made, make = [], lance._session

    def remembered(lancedb, cache_bytes):
        made[:] = [make(lancedb, cache_bytes)]
        return made[0]

    monkeypatch.setattr(lance, "_session", remembered)
    return made


@pytest.mark.parametrize("kind", [Snapshots, Awaited])
def test_caches_of_old_versions_are_given_up(tmp_path, monkeypatch, sessions, kind):
    house = House(tmp_path, embedder=HashEmbedder())
    published = []
    for number in range(VERSIONS):
        house.write("a.md", f"The lantern number {number} hangs low.")
        house.sync()
        published.append(Pointer(house.data_dir).read())
    assert len({each.version for each in published}) == VERSIONS

    def most_held(versions_per_connection):
        monkeypatch.setattr(lance, "VERSIONS_PER_CONNECTION", versions_per_connection)
        snapshots, held = kind(house.data_dir), []
        for each in published:
            assert len(snapshots.open(each).matching("lantern", 5, Filter())) == 1
            held.append(sessions[-1].size_bytes)
        if kind is Awaited:
            snapshots.close()
        return max(held)

    assert most_held(3) < most_held(VERSIONS) / 2
