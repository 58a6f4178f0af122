"""Tasks that write what a store of ours does, bare: LanceDB's merge_insert, SQLite's executemany."""

import hashlib
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from indexing import cpu_s
from reindex.core.generations import Generation, GenerationState
from reindex.core.identity import EmbeddingSpace, Recipe, chunk_ids
from reindex.core.layout import DocumentLayout, Place, encode_layout
from reindex.model import DocumentName, EmbeddingKey, Revision
from reindex.stores import lance
from reindex.stores.cache import VectorCache
from reindex.stores.document_rows import recorded_from
from reindex.stores.index import GenerationTable
from reindex.stores.ledger import Ledger
from reindex.stores.table_changes import ChunkRows, TableChanges

DIMENSIONS = 384
TEXT = "A paragraph of some eighty words, as documents have them. " * 10


def merge(rows: int, repeats: int, window: int) -> dict:
    """A document of ten chunks into a table of `rows` chunks, and a window of `window` new ones: our apply
    and LanceDB's own merge_insert of the same rows into another table of the same make, taking turns.
    """
    found: dict[str, list[dict]] = {name: [] for name in ("upsert", "bare_upsert", "window", "bare_window")}
    with tempfile.TemporaryDirectory() as work:
        ours = GenerationTable.create(Path(work) / "ours", "g1", DIMENSIONS)
        bare = GenerationTable.create(Path(work) / "bare", "g1", DIMENSIONS)
        table = lance.connect(Path(work) / "bare", lance.WRITER_CACHE_BYTES).open_table("g1")
        for start in range(0, rows, 2000):
            changes = _documents(f"base-{start}", min(2000, rows - start) // 10, only_new=True)
            ours.apply(changes)
            bare.apply(changes)
        ours.optimise()
        bare.optimise()
        table.checkout_latest()
        for number in range(repeats):
            for name, count, only_new in (("upsert", 1, False), ("window", window // 10, True)):
                changes = _documents(f"{name}-{number}", count, only_new=only_new)
                found[name].append(_timed(lambda c=changes: ours.apply(c)))
                found[f"bare_{name}"].append(_timed(lambda c=changes: _bare_merge(table, c)))
    return {"rows": rows, "window_chunks": window, **found}


def _bare_merge(table: object, changes: TableChanges) -> None:
    """What anybody has to write: columns of the same schema, and one merge_insert."""
    import pyarrow as pa

    documents = [lance.displayed_path(layout.name.path) for layout in changes.layouts]
    blank = [None] * len(documents)
    chunks = changes.chunks
    names = [name.path for name in chunks.names] + documents
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(chunks.vectors.ravel()), DIMENSIONS)
    columns = {
        lance.ROW_ID: chunks.ids + documents,
        lance.DOCUMENT: names,
        lance.SOURCE: ["docs"] * len(names),
        lance.PATH: names,
        lance.KEY: [key.hex() for key in chunks.keys] + blank,
        lance.TEXT: chunks.texts + blank,
        lance.VECTOR: pa.concat_arrays([vectors, pa.nulls(len(blank), vectors.type)]),
        lance.LAYOUT: [None] * len(chunks.ids) + [encode_layout(layout) for layout in changes.layouts],
    }
    rows = pa.table(columns, schema=lance.schema(DIMENSIONS))
    merging = table.merge_insert(lance.ROW_ID).when_matched_update_all().when_not_matched_insert_all()
    merging.execute(rows, on_bad_vectors="null")


def sqlite(repeats: int, documents: int, vectors: int) -> dict:
    """Our ledger's record, and our cache's put and get, against the same rows by bare sqlite3."""
    names = ("record", "bare_record", "put", "bare_put", "get", "bare_get")
    found: dict[str, list[dict]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as work, _stores(Path(work)) as (ledger, cache, bare):
        generation = _generation()
        ledger.generations.add(generation)
        for number in range(repeats):
            layouts = _documents(f"{number}", documents, only_new=True).layouts
            recorded = {layout.name: recorded_from(layout) for layout in layouts}
            found["record"].append(
                _timed(
                    lambda r=recorded: ledger.record(
                        generation,
                        version=1,
                        manifest="m",
                        upserts=r,
                        deletes=(),
                        job=None,
                        now=1.0,
                        heals=True,
                    )
                )
            )
            found["bare_record"].append(_timed(lambda r=recorded: _bare_record(bare, r)))
            keys, matrix = _keys(f"{number}", vectors), _unit_vectors(number, vectors)
            found["put"].append(_timed(lambda k=keys, m=matrix: cache.put(k, m, 1)))
            found["bare_put"].append(_timed(lambda k=keys, m=matrix: _bare_put(bare, k, m)))
            found["get"].append(_timed(lambda k=keys: cache.get(k, DIMENSIONS)))
            found["bare_get"].append(_timed(lambda k=keys: _bare_get(bare, k)))
    return {"documents": documents, "vectors": vectors, **found}


def _bare_record(bare: sqlite3.Connection, recorded: dict) -> None:
    rows = [
        (1, name.source, name.path.encode(), d.revision, d.parser, d.keys, d.tokens, d.indexed_at, d.chunks)
        for name, d in recorded.items()
    ]
    with bare:
        bare.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def _bare_put(bare: sqlite3.Connection, keys: list[EmbeddingKey], matrix: np.ndarray) -> None:
    with bare:
        rows = ((key, vector.tobytes()) for key, vector in zip(keys, matrix, strict=True))
        bare.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)


def _bare_get(bare: sqlite3.Connection, keys: list[EmbeddingKey]) -> None:
    found = {}
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        marks = ",".join("?" * len(part))
        for key, blob in bare.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part):
            found[key] = np.frombuffer(blob, dtype="<f4")
    assert len(found) == len(keys), "all of them were put"


@contextmanager
def _stores(work: Path) -> Iterator[tuple[Ledger, VectorCache, sqlite3.Connection]]:
    ledger, cache = Ledger.open(work), VectorCache.open(work, 1.0)
    bare = sqlite3.connect(work / "bare.sqlite")
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = NORMAL")
    bare.execute(
        "CREATE TABLE documents (generation INTEGER, source TEXT, path BLOB, revision BLOB, parser TEXT,"
        " keys BLOB, tokens INTEGER, indexed_at REAL, chunks INTEGER,"
        " UNIQUE (generation, source, path)) STRICT"
    )
    bare.execute("CREATE TABLE vectors (key BLOB PRIMARY KEY NOT NULL, vector BLOB NOT NULL) STRICT")
    try:
        yield ledger, cache, bare
    finally:
        bare.close()
        cache.close()
        ledger.close()


def _documents(stem: str, count: int, *, only_new: bool) -> TableChanges:
    """`count` documents of ten chunks each, with vectors and texts of their own."""
    vectors = _unit_vectors(len(stem) + count, 10 * count)
    ids: list[str] = []
    all_keys: list[EmbeddingKey] = []
    layouts = []
    for number in range(count):
        name = DocumentName("docs", f"{stem}/document-{number:06d}.md")
        keys = _keys(str(name), 10)
        places = tuple(Place(10 * i + 1, 10 * i + 9, ("A heading",)) for i in range(10))
        revision = Revision(hashlib.sha256(name.path.encode()).digest())
        layouts.append(DocumentLayout(name, revision, "markdown 1", 1500, 1.0, tuple(keys), places))
        ids += chunk_ids(name, keys)
        all_keys += keys
    names = [layout.name for layout in layouts for _ in range(10)]
    texts = [f"{i}. {TEXT}" for _ in layouts for i in range(10)]
    chunks = ChunkRows(ids, names, all_keys, texts, vectors)
    return TableChanges(chunks, layouts, (), (), only_new=only_new)


def _keys(stem: str, count: int) -> list[EmbeddingKey]:
    return [EmbeddingKey(hashlib.sha256(f"{stem} {i}".encode()).digest()) for i in range(count)]


def _unit_vectors(seed: int, count: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _generation() -> Generation:
    space = EmbeddingSpace("local", "0", DIMENSIONS, True, "fp32", "", "")
    recipe = Recipe("all-MiniLM-L6-v2", space, "0", 256, 0)
    return Generation(1, GenerationState.BUILDING, "g1", recipe, 0, "", 1.0, None)


def _timed(work: Callable[[], object]) -> dict:
    wall, started = time.perf_counter(), cpu_s()
    work()
    return {"cpu_s": cpu_s() - started, "seconds": time.perf_counter() - wall}
