"""Search for an event loop: what `Reader` answers, for many callers at once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from reindex.app import App
from reindex.browsing import readable
from reindex.errors import EmbeddingError, ModelError, NothingIndexedError
from reindex.query_vectors import QueryVectors
from reindex.search import (
    Hit,
    Question,
    SearchMode,
    SearchResult,
    best_of,
    documents_of,
    hits_of,
    search_result,
)
from reindex.stores.lance import TableMissingError
from reindex.stores.pointer import Pointer, Published
from reindex.stores.snapshot import Filter, Scores
from reindex.stores.snapshot_async import AsyncSnapshot, AsyncSnapshots

if TYPE_CHECKING:
    from reindex.vectors import Vector

OTHERS_MAX = 4  # generations besides the published one that are kept open

T = TypeVar("T")


class SearchService:
    """Searches a data directory, for one event loop; nothing here blocks it.

    A search that begins after a publish answers from it, or from a later one: each stats the pointer, and
    the first to see it moved opens the new version while the others wait for that. All of an answer is of
    one version. Needs no lock and follows promotions by itself.
    """

    def __init__(self, app: App) -> None:
        """`app.query_embedder` makes query vectors: give the App a pool of processes as `embedder_for`."""
        self._app = app
        self._pointer = Pointer(app.data_dir)
        self._snapshots = AsyncSnapshots(app.data_dir)
        self._vectors = QueryVectors(app.data_dir, app.query_embedder)
        self._opening = asyncio.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._snapshot: AsyncSnapshot | None = None
        self._others: OrderedDict[int, AsyncSnapshot] = OrderedDict()

    async def search(
        self,
        text: str,
        k: int = 10,
        mode: SearchMode = SearchMode.HYBRID,
        limits: Filter | None = None,
        generation: int | None = None,
    ) -> SearchResult:
        """The k best chunks, of what is published or of another generation by its number.

        Raises NothingIndexedError, ConfigError for a k or a generation that can't be asked, ModelError and
        EmbeddingError in vector mode when the model can't take part, StoreError for a damaged index.
        """
        started = time.perf_counter()
        question = Question.of(text, k, mode, limits)
        if generation is None:
            return await self._retried(self._current, lambda found: self._ask(found, question, started))
        return await self._retried(
            lambda: self._other(generation), lambda found: self._ask(found, question, started)
        )

    async def refresh(self) -> Published:
        """Follow the pointer now, so that no search has to; what is published. Raises NothingIndexedError.

        The first call loads LanceDB, which takes up to a second (in a thread).
        """
        return (await self._retried(self._current, _itself)).published

    def take_over(self, app: App) -> None:
        """Go on with another App of the same data directory (a reloaded configuration). From any thread."""
        self._app = app
        self._vectors.take_over(app.query_embedder)

    async def close(self) -> None:
        """End what it began. The processes of the models are their owner's."""
        await self._vectors.close()
        self._forget()

    async def _retried(
        self,
        open_snapshot: Callable[[], Awaitable[AsyncSnapshot]],
        use: Callable[[AsyncSnapshot], Awaitable[T]],
    ) -> T:
        """If a file of the table vanished, it is opened anew once: it may have been dropped for another."""
        opened = None
        try:
            opened = await open_snapshot()
            return await use(opened)
        except TableMissingError:
            if opened is None or opened is self._snapshot or opened in self._others.values():
                self._forget()  # else somebody else has met it, and opened another meanwhile
            return await use(await open_snapshot())

    async def _current(self) -> AsyncSnapshot:
        stamp = self._pointer.stamp()
        if self._snapshot is None or stamp != self._stamp:
            async with self._opening:
                stamp = self._pointer.stamp()  # another may have done it, or the pointer moved again
                if self._snapshot is None or stamp != self._stamp:
                    published = self._pointer.read()
                    if published is None:
                        raise NothingIndexedError("nothing indexed yet: run sync", "reindex sync")
                    self._snapshot = await self._snapshots.open(published)
                    self._stamp = stamp
                return self._snapshot
        return self._snapshot

    async def _other(self, number: int) -> AsyncSnapshot:
        """As it was when it was written last."""
        published = await asyncio.to_thread(readable, self._app, number)
        opened = self._others.get(number)
        if opened is None or opened.published != published:
            opened = self._others[number] = await self._snapshots.open(published)
        self._others.move_to_end(number)
        if len(self._others) > OTHERS_MAX:
            self._others.popitem(last=False)
        return opened

    def _forget(self) -> None:
        self._stamp, self._snapshot = None, None
        self._others.clear()
        self._snapshots.forget()

    async def _ask(self, snapshot: AsyncSnapshot, question: Question, started: float) -> SearchResult:
        """Both sides at the same time; the words need not wait for the query's vector."""
        by_words = asyncio.create_task(_matching(snapshot, question))
        by_words.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            vector, degraded = await self._vector(snapshot, question)
            by_vector: Scores = {}
            if vector is not None:
                by_vector = await snapshot.score_by_vector(
                    vector, question.depth, question.limits, is_merged=question.is_merged
                )
            found = best_of(question, by_vector, await by_words)
        finally:
            by_words.cancel()
        best = (await snapshot.candidates(found))[: question.k]
        hits: list[Hit] = hits_of(best, await snapshot.places(documents_of(best))) if best else []
        return search_result(snapshot.published, hits, degraded, started)

    async def _vector(self, snapshot: AsyncSnapshot, question: Question) -> tuple[Vector | None, str]:
        """By the answering generation's own model; or none, and why."""
        if not question.is_by_vector:
            return None, ""
        recipe = snapshot.published.recipe
        try:
            return await self._vectors.get(recipe, recipe.space.query_prompt + question.text), ""
        except (ModelError, EmbeddingError) as error:
            if question.mode is SearchMode.VECTOR:
                raise
            return None, error.message


async def _matching(snapshot: AsyncSnapshot, question: Question) -> Scores:
    if not question.is_by_text:
        return {}
    return await snapshot.score_by_words(question.text, question.depth, question.limits)


async def _itself(snapshot: AsyncSnapshot) -> AsyncSnapshot:
    return snapshot
