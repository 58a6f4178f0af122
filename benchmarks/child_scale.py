"""Tasks about an index of many chunks: made, loaded, changed by one document, searched, verified."""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np

from indexing import Project, Silent, cpu_s, peak_rss_mb, warm_stores
from parts import Parts
from reindex import passes, syncing
from reindex.app import App
from reindex.changes import Changes
from reindex.core.diff import Plan
from reindex.model import DocumentName
from reindex.observe import Observation
from reindex.search import Reader, SearchMode
from reindex.stores.file_rows import SeenFile
from reindex.stores.ledger import Ledger
from reindex.writer import Writer

CHUNKS_A_DOCUMENT = 10
WORDS_A_CHUNK = 8
FOLDER = 1_000  # documents in one folder
_WORDS = 20_000
_SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]


def make(config: str, documents: int, first: int = 0) -> dict:
    """Write documents of ten paragraphs, each one chunk of words that are as frequent as words are."""
    docs = Path(config).parent / "docs"
    words = vocabulary()
    weights = 1.0 / np.arange(1, _WORDS + 1)
    size = 0
    for start in range(first, first + documents, FOLDER):
        chooser = np.random.default_rng(start)
        folder = docs / f"part-{start // FOLDER:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        count = min(FOLDER, first + documents - start)
        shape = (count, CHUNKS_A_DOCUMENT, WORDS_A_CHUNK)
        chosen = chooser.choice(_WORDS, size=shape, p=weights / weights.sum())
        for number, document in enumerate(chosen.tolist(), start=start):
            paragraphs = [" ".join(words[word] for word in paragraph) for paragraph in document]
            text = f"{number} " + ".\n\n".join(paragraphs) + ".\n"
            size += (folder / f"{number:07d}.md").write_text(text)
    return {"documents": documents, "bytes": size}


def load(config: str) -> dict:
    """A first load: what it costs, what of it is the embedder's, and where the time goes."""
    warm()
    project = Project(config)
    embedder = project.use_hashes()
    before = peak_rss_mb()
    with Parts() as parts:
        report = project.sync()
    return {
        "documents": report.documents.added,
        "chunks": report.chunks.total,
        "embedder_cpu_s": embedder.cpu_s,
        "own_mb": before,
        "peak_mb": peak_rss_mb(),
        **parts.to_json(),
        "disk_mb": disk_by_part(project.app.data_dir),
    }


def changes(config: str, repeats: int) -> dict:
    """One document changed, renamed, deleted, and nothing changed: each a sync of its own, stores and all."""
    warm()
    project = Project(config)
    project.use_hashes()
    project.sync()
    return _change(project, repeats) | {"peak_mb": peak_rss_mb()}


def held(config: str, repeats: int) -> dict:
    """Passes that are told which document changed, with the stores kept open, as a process that watches has
    them: no look at the other files.
    """
    warm()
    project = Project(config)
    app = project.app
    with app.writer("benchmark", print) as writer:
        project.app = HeldApp(app.settings, app.base_dir, held=writer)
        project.use_hashes()
        project.sync()
        with told(project):
            found = _change(project, repeats)
    return found | {"peak_mb": peak_rss_mb()}


def query(config: str, texts: list[str]) -> dict:
    """Milliseconds of a query in each mode: the first of a reader (LanceDB imported before), and later ones,
    each another text.
    """
    import lancedb  # noqa: F401 (its import is no part of what is measured)

    project = Project(config)
    project.use_hashes()
    before = peak_rss_mb()
    found = {mode.value: _latencies(project.app.reader(), mode, texts) for mode in SearchMode}
    return found | {"own_mb": before, "peak_mb": peak_rss_mb()}


def upkeep(config: str) -> dict:
    """One merge of small files and taking of rows into the indices, and how many edits share it."""
    from reindex.maintenance import small_fragments_max

    warm()
    project = Project(config)
    with project.app.writer("benchmark", print) as writer:
        table = writer.table()
        statistics_before = table.statistics()
        written, wall, started = _io("wchar"), time.perf_counter(), cpu_s()
        table.optimise()
        used, took = cpu_s() - started, time.perf_counter() - wall
        written_mb = (_io("wchar") - written) / 1e6
        writer.adopt_version()
    edits = small_fragments_max(statistics_before.rows, project.app.settings.index.optimize_small_fragments)
    return {
        "cpu_s": used,
        "wall_s": took,
        "written_mb": written_mb,
        "edits": edits,
        "small_fragments": statistics_before.small_fragments,
        "peak_mb": peak_rss_mb(),
    }


def command(config: str, name: str) -> dict:
    """The cost of `verify`, `verify --deep`, `plan` or `status`, imports of LanceDB left out."""
    from reindex.planning import make_plan
    from reindex.status import store_status
    from reindex.verifying import run_verify

    warm()
    project = Project(config)
    project.use_hashes()
    app = project.app
    run: dict[str, Callable[[], object]] = {
        "verify": lambda: run_verify(app, Silent(), deep=False),
        "verify --deep": lambda: run_verify(app, Silent(), deep=True),
        "plan": lambda: make_plan(app, Silent()),
        "status": lambda: store_status(app),
    }
    wall, started = time.perf_counter(), cpu_s()
    answer = run[name]()
    used, took = cpu_s() - started, time.perf_counter() - wall
    assert getattr(answer, "ok", True), answer
    return {"cpu_s": used, "wall_s": took, "peak_mb": peak_rss_mb()}


def disk_by_part(data_dir: Path) -> dict[str, float]:
    """MB of the data directory: the rows, the indices and the rest of the table, the ledger, the cache."""
    found = dict.fromkeys(("rows", "indices", "versions", "ledger", "cache", "rest"), 0.0)
    kinds = {"data": "rows", "_deletions": "rows", "_indices": "indices", "_versions": "versions"}
    kinds |= {"_transactions": "versions"}
    for path in data_dir.rglob("*"):
        if not path.is_file():
            continue
        parts = path.relative_to(data_dir).parts
        is_table = parts[0] == "lance"
        part = kinds.get(parts[2], "rest") if is_table else path.name.partition(".")[0]
        found[part if part in found else "rest"] += path.stat().st_size / 1e6
    return found


@dataclass(slots=True)
class HeldApp(App):
    """An App whose writer is opened already, and stays open."""

    held: Writer | None = field(default=None)

    @contextmanager
    def writer(self, command: str, warn: Callable[[str], None]) -> Iterator[Writer]:  # noqa: ARG002
        assert self.held is not None
        yield self.held


@contextmanager
def told(project: Project) -> Iterator[None]:
    """Inside, a pass looks at no file but those that were touched (by `_rewrite` and the like) before it."""
    source = next(iter(project.app.sources().values()))
    touched.clear()

    def observe(*_: object, **__: object) -> Observation:
        found = Observation({source.name: {}})
        for path in touched:
            name = DocumentName(source.name, path.relative_to(project.docs).as_posix())
            if path.exists():
                content = source.read(name.path)
                found.revisions[source.name][name.path] = content.revision
                found.looks[name] = SeenFile(content.stat, 0, content.revision)
        return found

    def find_changes(observation: Observation, ledger: Ledger, generation: int, **_: object) -> Changes:
        names = [DocumentName(source.name, path.relative_to(project.docs).as_posix()) for path in touched]
        recorded = {name: ledger.documents.one(generation, name) for name in names}
        there = [name for name, _ in observation.documents()]
        changed = tuple(n for n in there if recorded[n] is not None)
        new = [n for n in there if recorded[n] is None]
        gone = [n for n in names if n not in there]
        moved = dict(zip(new, gone, strict=False))
        touched.clear()
        plan = Plan((), changed, moved, tuple(gone[len(moved) :]), 0, ())
        return Changes(plan, (), (), {}, frozenset(), {})

    with (
        mock.patch.object(syncing, "observe", observe),
        mock.patch.object(passes, "find_changes", find_changes),
    ):
        yield


touched: list[Path] = []


def _change(project: Project, repeats: int) -> dict:
    """Each kind of change `repeats` times, on documents spread over the index, and what it cost."""
    paths = sorted(project.docs.rglob("*.md"))
    chosen = [paths[i * (len(paths) - 1) // (4 * repeats)] for i in range(1, 4 * repeats)]
    taken = iter(chosen)
    steps: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "change": lambda: _rewrite(next(taken)),
        "rename": lambda: _rename(next(taken)),
        "delete": lambda: _delete(next(taken)),
    }
    found: dict = {}
    for number in range(repeats):
        for name, change in steps.items():
            change()
            with Parts() as parts:
                read = _io("rchar")
                report = project.sync()
                read_mb = (_io("rchar") - read) / 1e6
            if number == 0 and name == "change":
                assert report.chunks.rows_written >= CHUNKS_A_DOCUMENT, report
            one = {"read_mb": read_mb, "commits": report.commits, **parts.to_json()}
            found.setdefault(name, []).append(one)
    return found


def _rewrite(path: Path) -> None:
    """Every chunk of the document becomes another."""
    touched.append(path)
    stamp = time.time_ns()
    paragraphs = path.read_text().split("\n\n")
    path.write_text("\n\n".join(_altered(paragraph.split(), stamp % 9973) for paragraph in paragraphs))


def _altered(words: list[str], number: int) -> str:
    return " ".join([words[0], str(number), *words[2:]])


def _rename(path: Path) -> None:
    touched.extend([path, path.rename(path.with_name(f"renamed-{path.name}"))])


def _delete(path: Path) -> None:
    touched.append(path)
    path.unlink()


def _latencies(reader: Reader, mode: SearchMode, texts: list[str]) -> dict[str, float]:
    cold, *warm = [milliseconds_of(lambda t=text: reader.search(t, mode=mode)) for text in texts]
    warm.sort()
    p95 = warm[int(0.95 * (len(warm) - 1))]
    return {"cold_ms": cold, "p50_ms": statistics.median(warm), "p95_ms": p95}


def _io(count: str) -> int:
    """Bytes that this process has read or written so far, also what the system had in memory."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(count))


def milliseconds_of(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def vocabulary() -> list[str]:
    base = len(_SYLLABLES)
    endings = ["", *_SYLLABLES]
    return [
        _SYLLABLES[n % base] + _SYLLABLES[n // base % base] + endings[n // base**2] for n in range(_WORDS)
    ]


def warm() -> None:
    with tempfile.TemporaryDirectory() as work:
        warm_stores(Path(work))


TASKS: dict[str, Callable[..., dict]] = {
    "make": make,
    "load": load,
    "changes": changes,
    "held": held,
    "query": query,
    "upkeep": upkeep,
    "command": command,
}

if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    print(json.dumps(TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))
