"""Search for an event loop: the answers of a Reader, at any time, for many callers."""

import asyncio
import os
import shutil
import signal
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from doubles import House, hash_vectors, paragraphs
from reindex.app import App
from reindex.browsing import search_generation
from reindex.core.identity import embedding_key
from reindex.embedders.catalog import recipe_for
from reindex.errors import ConfigError, EmbeddingError, NothingIndexedError
from reindex.query_vectors import BATCH_MAX, QueryVectors
from reindex.search import SearchMode
from reindex.serving import SearchService
from reindex.stores import snapshot_async
from reindex.stores.cache import VectorCache
from reindex.stores.snapshot import Filter

QUESTIONS = [
    "river",
    "Paragraph 3 speaks",
    "stone lantern",
    "nothing else",
    "zebra",
    "  ",
    '"winter harbour"',
]
LIMITS = [None, Filter(source="docs"), Filter(path_prefix="b"), Filter(source="none")]
LIMIT_S = 180.0


def without_time(result):
    return replace(result, took_ms=0.0)


def serve(house, use):
    """Run `use(service)` in an event loop, with a limit."""

    async def main():
        service = SearchService(house.app)
        try:
            return await asyncio.wait_for(use(service), LIMIT_S)
        finally:
            await service.close()

    return asyncio.run(main())


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    for name, numbers in {"a.md": range(6), "b/c.md": range(3, 12), "b/d.md": range(20, 30)}.items():
        house.write(name, paragraphs(*numbers))
    return house


def test_nothing_is_indexed_yet(house):
    async def use(service):
        with pytest.raises(NothingIndexedError):
            await service.refresh()
        with pytest.raises(NothingIndexedError):
            await service.search("river")

    serve(house, use)


def test_it_answers_as_a_reader_does(house):
    house.sync()
    reader = house.reader()

    async def use(service):
        for edit in range(3):
            for question in QUESTIONS:
                for mode in SearchMode:
                    for limits in LIMITS:
                        expected = reader.search(question, 4, mode, limits)
                        found = await service.search(question, 4, mode, limits)
                        assert without_time(found) == without_time(expected)
            house.write("a.md", paragraphs(*range(edit, edit + 4)))
            await asyncio.to_thread(house.sync)
            assert (await service.search("river")).version == house.published().version
        with pytest.raises(ConfigError):
            await service.search("river", 0)

    serve(house, use)


def test_places_are_remembered_within_a_limit(house, monkeypatch):
    monkeypatch.setattr(snapshot_async, "REMEMBERED_MAX", 20)  # two of the three documents, at most
    house.sync()
    reader = house.reader()

    async def use(service):
        for question in (*QUESTIONS, *reversed(QUESTIONS)):
            found = await service.search(question)
            assert without_time(found) == without_time(reader.search(question))
            assert service._snapshot._remembered == sum(
                len(places.of_chunk) for places in service._snapshot._places.values()
            )
            assert service._snapshot._remembered <= 20
        assert service._snapshot._places

    serve(house, use)


def test_equal_texts_are_told_apart_by_their_ids_alone(house):
    """Whichever was indexed first: neither upkeep nor a rebuild changes the order of an answer."""
    for name in ("z.md", "m.md", "b/a.md"):
        house.write(f"same/{name}", "The very same words about a lighthouse.\n")
        house.sync()

    async def use(service):
        for mode in SearchMode:
            hits = (await service.search("The very same words about a lighthouse.", 3, mode)).hits
            assert {hit.path for hit in hits} == {"same/z.md", "same/m.md", "same/b/a.md"}
            assert [hit.chunk_id for hit in hits] == sorted(hit.chunk_id for hit in hits)
            assert len({hit.score for hit in hits}) == 1

    serve(house, use)


def test_another_generation(house):
    house.sync()
    house.with_dimensions(64).rebuild()

    async def use(service):
        for number in (1, 2):
            for mode in SearchMode:
                expected = search_generation(house.app, number, "river stone", 3, mode, Filter())
                found = await service.search("river stone", 3, mode, generation=number)
                assert found.generation == number
                assert without_time(found) == without_time(expected)
        assert (await service.search("river")).generation == 2
        with pytest.raises(ConfigError):
            await service.search("river", generation=9)

    serve(house, use)


def test_publishes_under_searches(house):
    """Each search that begins after a publish has it, and is of one version: what it says is what it has."""
    house.sync()
    over = threading.Event()
    published = [house.published().version]

    def edit():
        for number in range(12):
            house.write("a.md", paragraphs(100 + number, 200 + number))
            house.sync()
            published.append(house.published().version)
        over.set()

    async def client(service):
        answers = 0
        while not over.is_set():
            least = published[-1]
            found = await service.search("Paragraph speaks", 30, SearchMode.TEXT)
            assert found.version >= least
            numbers = {hit.text.split()[1] for hit in found.hits if hit.path == "a.md"}
            assert len({int(number) % 100 for number in numbers if int(number) >= 100}) <= 1, numbers
            answers += 1
        return answers

    async def use(service):
        thread = asyncio.create_task(asyncio.to_thread(edit))
        answers = await asyncio.gather(*(client(service) for _ in range(4)))
        await thread
        assert min(answers) > 0
        expected = house.reader().search("Paragraph speaks", 30)
        assert without_time(await service.search("Paragraph speaks", 30)) == without_time(expected)

    serve(house, use)


def test_clients_through_a_rebuild(house):
    house.sync()
    house.with_dimensions(96)
    texts = {hit.text for hit in house.reader().search("Paragraph speaks", 50).hits}
    over = threading.Event()

    def rebuild():
        try:
            house.rebuild()
        finally:
            over.set()

    async def client(service):
        generations = []
        while not over.is_set() or generations[-1:] != [2]:
            found = await service.search("Paragraph speaks", 50)
            assert {hit.text for hit in found.hits} == texts
            assert not found.degraded
            generations.append(found.generation)
        assert generations == sorted(generations)
        return set(generations)

    async def use(service):
        await service.refresh()
        thread = asyncio.create_task(asyncio.to_thread(rebuild))
        seen = await asyncio.gather(*(client(service) for _ in range(4)))
        await thread
        assert {2} <= set.union(*seen) <= {1, 2}

    serve(house, use)


def test_a_table_dropped_under_a_search(house):
    house.sync()
    first = house.published()
    seen = []

    def drop_it():
        """While the query is embedded: a new generation is published, and the old table goes at once."""
        house.embedder.before_batch = lambda: seen.append(1)
        house.with_dimensions(96).rebuild()
        shutil.rmtree(house.data_dir / "lance" / f"{first.table}.lance")

    async def use(service):
        await service.refresh()
        house.embedder.before_batch = drop_it
        found = await service.search("a question never asked before", 5)
        assert seen
        assert found.generation == 2
        assert len(found.hits) == 5
        assert not found.degraded

    serve(house, use)


def test_a_model_that_is_down(house):
    house.sync()

    async def use(service):
        known = await service.search("known before")
        house.embedder.is_down = True
        degraded = await service.search("river stone", 5)
        assert degraded.degraded == "the provider is down"
        assert degraded.hits
        assert without_time(degraded) == without_time(house.reader().search("river stone", 5))
        with pytest.raises(EmbeddingError):
            await service.search("river stone", 5, SearchMode.VECTOR)
        assert without_time(await service.search("known before")) == without_time(known)
        house.embedder.is_down = False
        assert not (await service.search("river stone", 5)).degraded

    serve(house, use)


def query_vectors(house):
    house.sync()
    house.embedder.batches.clear()
    recipe = house.published().recipe
    return QueryVectors(house.data_dir, house.app.query_embedder), recipe


def test_what_waits_together_is_encoded_together(house):
    async def main():
        vectors, recipe = query_vectors(house)
        texts = [f"question {number}" for number in range(1 + 2 * BATCH_MAX)]
        held = threading.Event()
        house.embedder.before_batch = lambda: held.wait(LIMIT_S)
        first = asyncio.create_task(vectors.get(recipe, texts[0]))
        await _until(lambda: vectors._in_flight and not vectors._waiting)
        others = [asyncio.create_task(vectors.get(recipe, text)) for text in texts[1:]]
        await _until(lambda: len(vectors._waiting) == 2 * BATCH_MAX)
        held.set()
        found = await asyncio.gather(first, *others)
        assert np.array_equal(np.stack(found), hash_vectors(texts, 384))
        assert [len(batch) for batch in house.embedder.batches] == [1, BATCH_MAX, BATCH_MAX]
        house.embedder.batches.clear()
        await asyncio.gather(*(vectors.get(recipe, text) for text in texts))
        assert not house.embedder.batches, "they are remembered"
        await asyncio.gather(*(vectors.get(recipe, "the same") for _ in range(16)))
        assert house.embedder.batches == [["the same"]]
        await _until(lambda: not vectors._unwritten and vectors._writing.done())
        await vectors.close()
        return recipe, texts

    recipe, texts = asyncio.run(main())
    keys = [embedding_key(recipe.space.fingerprint, text) for text in texts]
    assert len(VectorCache.open_for_reading(house.data_dir).get(keys, 384)) == len(texts)


async def _until(is_so):
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def test_a_refused_text_fails_alone_and_one_who_leaves_takes_nothing(house):
    async def main():
        vectors, recipe = query_vectors(house)
        house.embedder.refuses = frozenset({"bad"})
        texts = ["one", "bad", "two", "three"]
        found = await asyncio.gather(*(vectors.get(recipe, text) for text in texts), return_exceptions=True)
        assert [isinstance(vector, EmbeddingError) for vector in found] == [False, True, False, False]
        held = threading.Event()
        house.embedder.before_batch = lambda: held.wait(LIMIT_S)
        leaves, stays = (asyncio.create_task(vectors.get(recipe, "shared")) for _ in range(2))
        await _until(lambda: vectors._in_flight)
        leaves.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaves
        held.set()
        assert np.array_equal(await stays, hash_vectors(["shared"], 384)[0])
        await vectors.close()

    asyncio.run(main())


def test_memory_of_vectors_is_bounded(house, monkeypatch):
    monkeypatch.setattr("reindex.query_vectors.REMEMBERED_MAX", 5)

    async def main():
        vectors, recipe = query_vectors(house)
        for number in range(9):
            await vectors.get(recipe, f"question {number}")
        assert len(vectors._remembered) == 5
        await vectors.close()

    asyncio.run(main())


def test_the_real_model_in_its_process(tmp_path):
    house = House(tmp_path)
    house.write("a.md", paragraphs(*range(8)))
    app = App(house.settings, tmp_path)
    pool = app.model_processes(0)
    app = replace(app, embedder_for=pool.embedder)
    house.embedder.for_recipe = pool.embedder
    house.sync()
    recipe = recipe_for(app.settings, app.catalog(None))
    texts = [
        f"what about {word}s" for word in "river stone copper sparrow winter harbour meadow anvil".split()
    ]

    async def use(service):
        vectors = service._vectors
        together = await asyncio.gather(*(vectors.get(recipe, text) for text in texts))
        alone = [pool.embedder(recipe).embed([text])[0] for text in texts]
        assert np.abs(np.stack(together) - np.stack(alone)).max() < 1e-5
        os.kill(pool.pids[0], signal.SIGKILL)
        assert not (await service.search("after its death")).degraded
        pool.close()
        assert "was closed" in (await service.search("after its end")).degraded

    serve(house, use)
