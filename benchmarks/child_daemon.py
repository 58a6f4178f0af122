"""Tasks beside a daemon over an index of many chunks: questions for it, and what LanceDB alone takes."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import numpy as np

from child_rebuild import WordVectors
from child_scale import vocabulary
from indexing import Project, cpu_s
from reindex.core.identity import embedding_key
from reindex.search import remember_query_vectors
from reindex.stores import lance

WORDS = 4
DEPTH = 50


def questions(count: int, seed: int) -> dict:
    """Texts of a few words, that are as frequent as words are."""
    words = vocabulary()
    weights = 1.0 / np.arange(1, len(words) + 1)
    chooser = np.random.default_rng(seed)
    chosen = chooser.choice(len(words), size=(count, WORDS), p=weights / weights.sum())
    return {"questions": [" ".join(words[word] for word in row) for row in chosen.tolist()]}


def remember(config: str, texts: list[str]) -> dict:
    """File vectors of the same space as the documents' for these questions, as if they had been asked."""
    project = Project(config)
    space = project.recipe.space
    vectors = WordVectors(space.dimensions).embed(texts)
    keys = [embedding_key(space.fingerprint, space.query_prompt + text) for text in texts]
    remember_query_vectors(project.app.data_dir, keys, vectors)
    return {}


def bare(config: str, texts: list[str], clients: int) -> dict:
    """LanceDB's own queries in this process: the ten nearest; and what our hybrid search asks of it, both
    sides at once, then the layouts of ten documents. One after the other, and so many at a time.
    """
    return asyncio.run(_bare(Project(config), texts, clients))


async def _bare(project: Project, texts: list[str], clients: int) -> dict:
    from lancedb.query import MatchQuery

    published = project.app.reader().published()
    connection = await lance.connect_async(project.app.data_dir, lance.READER_CACHE_BYTES)
    table = await connection.open_table(published.table, version=published.version)
    vectors = WordVectors(published.recipe.space.dimensions)
    columns = [lance.ROW_ID, lance.DOCUMENT, lance.TEXT]

    async def nearest(vector: np.ndarray, k: int, refine: int) -> Any:
        query = table.query().nearest_to(vector).column(lance.VECTOR).distance_type("cosine")
        return await query.refine_factor(refine).limit(k).select([*columns, "_distance"]).to_arrow()

    async def matching(text: str) -> Any:
        query = table.query().nearest_to_text(MatchQuery(text, lance.TEXT))
        return await query.limit(DEPTH).select([*columns, "_score"]).to_arrow()

    async def by_vector(asked: tuple[str, np.ndarray]) -> None:
        await nearest(asked[1], 10, 4)

    async def hybrid(asked: tuple[str, np.ndarray]) -> None:
        found, _ = await asyncio.gather(nearest(asked[1], DEPTH, 2), matching(asked[0]))
        ids = ", ".join(f"'{each}'" for each in set(found.column(lance.DOCUMENT).to_pylist()[:10]))
        await table.query().where(f"{lance.ROW_ID} IN ({ids})").select([lance.LAYOUT]).to_arrow()

    asked = list(zip(texts, vectors.embed(texts), strict=True))
    found = {}
    for name, ask in (("vector", by_vector), ("hybrid", hybrid)):
        await _all(ask, asked[:20], 1)
        found[name] = {"alone": await _all(ask, asked, 1), "crowd": await _all(ask, asked * 2, clients)}
    return found


async def _all(ask: Callable[[Any], Awaitable[None]], asked: Iterable[Any], clients: int) -> dict:
    waiting, latencies = iter(asked), []

    async def client() -> None:
        for each in waiting:
            begun = time.perf_counter()
            await ask(each)
            latencies.append(1e3 * (time.perf_counter() - begun))

    used, started = cpu_s(), time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    took_s = time.perf_counter() - started
    cpu_ms = 1e3 * (cpu_s() - used) / len(latencies)
    return {"latencies_ms": latencies, "per_s": len(latencies) / took_s, "cpu_ms": cpu_ms}


TASKS: dict[str, Callable[..., dict]] = {"questions": questions, "remember": remember, "bare": bare}

if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    print(json.dumps(TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))
