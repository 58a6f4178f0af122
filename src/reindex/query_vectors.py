"""Query vectors for an event loop: remembered, looked up on disk, and encoded in batches that form by
themselves: all that was asked while the model was at work goes to it together.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reindex.core.identity import Recipe, embedding_key
from reindex.errors import EmbeddingError, ModelError, ReindexError
from reindex.model import EmbeddingKey
from reindex.ports import Embedder
from reindex.search import cached_query_vectors, remember_query_vectors

if TYPE_CHECKING:
    from reindex.vectors import Vector

REMEMBERED_MAX = 10_000  # vectors in memory: 15 MB of 384 dimensions
BATCH_MAX = 32
UNWRITTEN_MAX = 1_000  # vectors that wait for the cache on disk; more are not kept there
FAILURES_MAX = 2  # of single texts, before the others of a batch that failed are given up


@dataclass(frozen=True, slots=True)
class _Asked:
    """A text that waits for the model."""

    key: EmbeddingKey
    recipe: Recipe
    sent: str
    found: asyncio.Future[Vector]

    def answer(self, vector: Vector) -> None:
        if not self.found.done():
            self.found.set_result(vector)


class QueryVectors:
    """Belongs to one event loop. Nothing here blocks it: disk and model are waited for in threads."""

    def __init__(self, data_dir: Path, embedder_for: Callable[[Recipe], Embedder]) -> None:
        self._data_dir = data_dir
        self._embedder_for = embedder_for
        self._embedders: dict[bytes, Embedder] = {}
        self._remembered: OrderedDict[EmbeddingKey, Vector] = OrderedDict()
        self._in_flight: dict[EmbeddingKey, asyncio.Task[Vector]] = {}
        self._waiting: deque[_Asked] = deque()
        self._unwritten: dict[EmbeddingKey, Vector] = {}
        self._working: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._reader, self._encoder, self._writer = (
            ThreadPoolExecutor(1, thread_name_prefix=f"query-{name}") for name in ("read", "encode", "write")
        )

    async def get(self, recipe: Recipe, sent: str) -> Vector:
        """The vector of a text as it is sent, shape (dimensions,). Raises ModelError and EmbeddingError.

        Who is cancelled meanwhile takes nothing from others that asked the same.
        """
        key = embedding_key(recipe.space.fingerprint, sent)
        found = self._remembered.get(key)
        if found is not None:
            self._remembered.move_to_end(key)
            return found
        task = self._in_flight.get(key)
        if task is None:
            task = self._in_flight[key] = asyncio.create_task(self._find(key, recipe, sent))
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def take_over(self, embedder_for: Callable[[Recipe], Embedder]) -> None:
        """Ask this one for embedders, with the next texts. From any thread."""
        self._embedder_for = embedder_for
        self._embedders = {}

    async def close(self) -> None:
        """Cancel what waits. What a thread works on ends by itself: close the model's process to end it."""
        tasks = [*self._in_flight.values(), *filter(None, (self._working, self._writing))]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for pool in (self._reader, self._encoder, self._writer):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _find(self, key: EmbeddingKey, recipe: Recipe, sent: str) -> Vector:
        asked = _Asked(key, recipe, sent, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        found = self._remembered[key] = await asked.found
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return found

    def _landed(self, key: EmbeddingKey, task: asyncio.Task[Vector]) -> None:
        del self._in_flight[key]
        if not task.cancelled():
            task.exception()  # all that asked may be gone: nobody is left to be told

    async def _work(self) -> None:
        """Batch after batch, without a pause, for as long as there are texts."""
        while self._waiting:
            space = self._waiting[0].recipe.space
            batch: list[_Asked] = []
            while self._waiting and len(batch) < BATCH_MAX and self._waiting[0].recipe.space == space:
                batch.append(self._waiting.popleft())
            try:
                missing = await self._look_up(batch)
                if missing:
                    await self._encode(missing)
            except Exception as bug:
                _refuse(batch, bug)  # whoever waits is to hear of it
                raise

    async def _look_up(self, batch: list[_Asked]) -> list[_Asked]:
        """Answer those whose vectors are on disk; return the others."""
        keys, dimensions = [asked.key for asked in batch], batch[0].recipe.space.dimensions
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._reader, cached_query_vectors, self._data_dir, keys, dimensions
        )
        for asked in batch:
            if asked.key in found:
                asked.answer(found[asked.key])
        return [asked for asked in batch if asked.key not in found]

    async def _encode(self, batch: list[_Asked]) -> None:
        """Each text gets its vector or its error. A text that the model refuses fails alone."""
        try:
            await self._ask(batch)
        except (ModelError, EmbeddingError) as error:
            _refuse(batch, error if len(batch) == 1 else await self._one_by_one(batch, error))

    async def _one_by_one(self, batch: list[_Asked], last: ReindexError) -> ReindexError:
        """Until some have failed: then it is the model. Returns what the last one failed by."""
        failures = 0
        for asked in batch:
            if failures == FAILURES_MAX:
                break
            try:
                await self._ask([asked])
            except (ModelError, EmbeddingError) as error:
                failures, last = failures + 1, error
                _refuse([asked], error)
        return last

    async def _ask(self, batch: list[_Asked]) -> None:
        recipe, texts = batch[0].recipe, [asked.sent for asked in batch]
        loop = asyncio.get_running_loop()
        vectors = await loop.run_in_executor(self._encoder, self._embed, recipe, texts)
        for asked, vector in zip(batch, vectors, strict=True):
            asked.answer(vector)
            if len(self._unwritten) < UNWRITTEN_MAX:
                self._unwritten[asked.key] = vector
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    def _embed(self, recipe: Recipe, texts: list[str]) -> list[Vector]:
        """In the encoder's thread."""
        from reindex.vectors import check_vectors

        fingerprint = recipe.space.fingerprint
        embedders = self._embedders  # `take_over` brings others
        embedder = embedders.get(fingerprint)
        if embedder is None:
            embedder = embedders[fingerprint] = self._embedder_for(recipe)
        vectors = embedder.embed(texts)
        check_vectors(vectors, len(texts))
        return [vector.copy() for vector in vectors]  # one that is remembered must not hold its batch

    async def _write(self) -> None:
        """What was encoded meanwhile, in one transaction after the other."""
        from reindex.vectors import stack

        while self._unwritten:
            fresh, self._unwritten = self._unwritten, {}
            loop = asyncio.get_running_loop()
            for size in {vector.size for vector in fresh.values()}:  # of different spaces, maybe
                rows = {key: vector for key, vector in fresh.items() if vector.size == size}
                vectors = stack(list(rows.values()))
                await loop.run_in_executor(
                    self._writer, remember_query_vectors, self._data_dir, list(rows), vectors
                )


def _refuse(batch: list[_Asked], error: Exception) -> None:
    """Those that have no answer yet."""
    for asked in batch:
        if not asked.found.done():
            asked.found.set_exception(error)
