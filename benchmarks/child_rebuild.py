"""Tasks about a rebuild of many chunks whose vectors are cached: its cost against bare LanceDB, its disk, the
switch, and searching beside it.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from child_scale import CHUNKS_A_DOCUMENT, make, milliseconds_of, warm
from harness import clean, reindex
from indexing import Project, Silent, cpu_s
from reindex import building
from reindex.maintenance import folder_bytes
from reindex.observe import observe
from reindex.preparing import Preparer
from reindex.rebuilding import RebuildOptions, rebuild
from reindex.search import Reader, SearchMode
from reindex.stores import lance
from reindex.stores.pointer import Pointer, Published
from reindex.stores.snapshot import Filter
from reindex.stores.stop_words import ENGLISH
from reindex.switching import rollback

_RECALL_QUERIES = 200
_QUERIES = ("kate vobosi diku", "baba nube", "gizo vare fela", "ro kate", "nube diku baba gizo")


class WordVectors:
    """The mean of a vector for each word: texts that share words lie near each other, as a model has it."""

    def __init__(self, dimensions: int) -> None:
        self._of = lru_cache(None)(lambda word: _word_vector(word, dimensions))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.stack([np.sum([self._of(w) for w in text.split() or [""]], axis=0) for text in texts])
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def load(config: str, documents: int) -> dict:
    """The documents, and a first generation of them."""
    make(config, documents)
    project = _project(config)
    report = project.sync()
    assert report.chunks.total == documents * CHUNKS_A_DOCUMENT, report
    return {"chunks": report.chunks.total}


def rebuilt(config: str) -> dict:
    """A whole rebuild by the same recipe. The size of the disk is looked at twenty times a second."""
    warm()
    project = _project(config)
    data_dir = project.app.data_dir
    before = folder_bytes(data_dir)
    with _peak(data_dir) as peak:
        found = _timed_rebuild(project)
    return found | {"disk_before": before, "disk_peak": peak[0]}


def from_cache(config: str) -> dict:
    """What of a rebuild takes vectors from the cache to the indexed table: documents are looked at, read and
    chunked before, the live generation has no pass meanwhile, and the gate is left out.
    """
    warm()
    project = _project(config)
    app = project.app
    with app.ledger() as ledger:
        assert ledger is not None, "loaded before"
        looked = observe(list(app.sources().values()), ledger.files, app.clock)
    preparer = project.preparer()
    prepared = {name: preparer.prepare(name) for name, _ in looked.documents()}
    app.close()
    with (
        mock.patch.object(Preparer, "prepare", lambda _, name: prepared[name]),
        mock.patch.object(building, "observe", return_value=looked),
        mock.patch.object(building, "LIVE_EVERY_S", 1e9),
        mock.patch.object(building, "inspect_rows", return_value=None),
    ):
        return _timed_rebuild(project)


def _timed_rebuild(project: Project) -> dict:
    wall, started = time.perf_counter(), cpu_s()
    report = rebuild(project.app, Silent(), RebuildOptions())
    used, took = cpu_s() - started, time.perf_counter() - wall
    assert report.promoted, report.gate
    assert report.work.chunks.embedded == 0, report.work
    return {"cpu_s": used, "wall_s": took, "chunks": report.work.chunks.total}


def bare(config: str) -> dict:
    """The rows of the live table into another one by create_table, and the same four indices."""
    from lancedb.index import FTS, BTree, IvfSq

    warm()
    project = _project(config)
    live = _live_table(project)
    has_vector_index = any(lance.VECTOR in index.columns for index in live.list_indices())
    rows = live.to_arrow()
    with tempfile.TemporaryDirectory(dir=project.app.data_dir.parent) as work:
        wall, started = time.perf_counter(), cpu_s()
        table = lance.connect(Path(work), lance.WRITER_CACHE_BYTES).create_table(
            "bare", data=rows, storage_options=lance.NEW_TABLE, on_bad_vectors="null"
        )
        table.create_index(lance.ROW_ID, config=BTree())
        table.create_index(lance.DOCUMENT, config=BTree())
        table.create_index(lance.TEXT, config=FTS(base_tokenizer="icu", custom_stop_words=ENGLISH))
        if has_vector_index:
            table.create_index(lance.VECTOR, config=IvfSq(distance_type="cosine", sample_rate=64))
        return {"cpu_s": cpu_s() - started, "wall_s": time.perf_counter() - wall, "rows": rows.num_rows}


def switched(config: str, times: int) -> dict:
    """Milliseconds from the switch to the first answer of a reader that was open, and of later answers."""
    project = _project(config)
    reader = project.app.reader()
    from_switch, warm = [], []
    write = Pointer.write
    for number in range(times):
        reader.search(f"{_QUERIES[0]} {number}")
        before = reader.published().generation

        def noted(self: Pointer, published: Published, before: int = before) -> None:
            write(self, published)
            switched_at = time.perf_counter()
            if published.generation != before:  # upkeep publishes as well
                found = reader.search(_QUERIES[1])
                from_switch.append(1e3 * (time.perf_counter() - switched_at))
                assert found.generation == published.generation

        with mock.patch.object(Pointer, "write", noted):
            rollback(project.app, Silent(), force=False)
        warm += [milliseconds_of(lambda q=q: reader.search(q)) for q in _QUERIES]
    return {"from_switch_ms": from_switch, "warm_ms": warm}


def recall(config: str) -> dict:
    """Recall@10 of the nearest by the index against all rows, and its latency."""
    project = _project(config)
    reader = project.app.reader()
    table = _live_table(project)
    found = table.search().where(f"{lance.LAYOUT} IS NULL").select([lance.ROW_ID, lance.VECTOR]).to_arrow()
    matrix = found.column(lance.VECTOR).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix = matrix.reshape(found.num_rows, -1)
    ids = np.array(found.column(lance.ROW_ID).to_pylist())
    chooser = np.random.default_rng(7)
    picked = matrix[chooser.integers(0, len(matrix), _RECALL_QUERIES)]
    noise = chooser.normal(0, 0.5 / np.sqrt(matrix.shape[1]), picked.shape)
    asked = picked + noise.astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    shares, latencies = [], []
    for vector in asked:
        exact = set(ids[np.argsort(-(matrix @ vector))[:10]])
        started = time.perf_counter()
        hits = reader.with_snapshot(lambda snapshot, v=vector: snapshot.nearest(v, 10, Filter()))
        latencies.append(1e3 * (time.perf_counter() - started))
        shares.append(len(exact & {hit.chunk_id for hit in hits}) / 10)
    return {"recall": statistics.mean(shares), "latencies_ms": latencies, "rows": len(matrix)}


def beside(config: str) -> dict:
    """Latencies of hybrid searches, idle and while `reindex rebuild` runs in a process of its own."""
    project = _project(config)
    reader = project.app.reader()
    _latencies(reader, lambda n: n < 20)
    idle = _latencies(reader, lambda n: n < 300)
    process = subprocess.Popen(
        [reindex(), "rebuild", "--config", config, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean(),
    )
    busy = _latencies(reader, lambda _: process.poll() is None)
    out, err = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"rebuild exited with {process.returncode}: {err.decode()[-2000:]}")
    assert json.loads(out)["promoted"]
    return {"idle_ms": idle, "busy_ms": busy}


def _latencies(reader: Reader, goes_on: Callable[[int], bool]) -> list[float]:
    found: list[float] = []
    while goes_on(len(found)):
        text = f"{_QUERIES[len(found) % len(_QUERIES)]} {len(found)}"
        found.append(milliseconds_of(lambda t=text: reader.search(t, mode=SearchMode.HYBRID)))
        time.sleep(0.01)  # a person, not a flood
    return found


def _word_vector(word: str, dimensions: int) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).normal(size=dimensions)


def _project(config: str) -> Project:
    project = Project(config)
    project.use(WordVectors(project.recipe.space.dimensions))
    return project


def _live_table(project: Project) -> Any:
    connection = lance.connect(project.app.data_dir, lance.READER_CACHE_BYTES)
    return connection.open_table(project.app.reader().published().table)


@contextmanager
def _peak(folder: Path) -> Iterator[list[int]]:
    """The largest size of the folder that was seen."""
    seen, is_over = [folder_bytes(folder)], threading.Event()

    def look() -> None:
        while not is_over.wait(0.05):
            seen[0] = max(seen[0], folder_bytes(folder))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


TASKS: dict[str, Callable[..., dict]] = {
    "load": load,
    "rebuilt": rebuilt,
    "from_cache": from_cache,
    "bare": bare,
    "switched": switched,
    "recall": recall,
    "beside": beside,
}

if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    print(json.dumps(TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))
