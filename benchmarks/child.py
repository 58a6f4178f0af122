"""The measured side: `child.py TASK ARGUMENTS` (a JSON object) runs one task and prints one JSON object."""

import contextlib
import gc
import importlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import child_batch
import child_edits
import child_retrieval
import child_stores
from indexing import Project, cpu_s, peak_rss_mb, warm_stores


def trim(config: str, chunks: int, texts: str) -> dict:
    """Keep documents, in the order of their names, until there are enough chunks; write the chunks' texts."""
    project = Project(config)
    preparer = project.preparer()
    source = next(iter(project.app.sources().values()))
    sent: dict[str, int] = {}
    documents = size = 0
    for path in sorted(source.scan().files):
        if len(sent) >= chunks:
            (project.docs / path).unlink()
            continue
        found = source.read(path)
        prepared = preparer.prepare(_name(source.name, path))
        if not hasattr(prepared, "chunks"):
            (project.docs / path).unlink()  # a document that no parser takes is not what is measured
            continue
        documents += 1
        size += len(found.content)
        for chunk in prepared.chunks:
            sent.setdefault(preparer.text_sent(chunk), chunk.tokens + preparer.extra_tokens)
    Path(texts).write_text(json.dumps(list(sent)))
    return {"documents": documents, "chunks": len(sent), "tokens": sum(sent.values()), "bytes": size}


def load_ours(config: str, chunks: int, data_dir: str, threads: int, backend: str = "auto") -> dict:
    """The CPU of a first load with the real lane: everything but imports and loading the model."""
    with tempfile.TemporaryDirectory() as work:
        warm_stores(Path(work))
    project = Project(config, data_dir, threads, backend)
    project.use(project.real_lane())
    wall, started = time.perf_counter(), cpu_s()
    report = project.sync()
    used, took = cpu_s() - started, time.perf_counter() - wall
    assert report.chunks.embedded == chunks, f"{report.chunks.embedded} embedded, {chunks} expected"
    return {"cpu_s": used, "wall_s": took, "backend": backend_in_use()}


def backend_in_use() -> str:
    """Which library has embedded in this process, by what was imported for it."""
    return "torch" if "torch" in sys.modules else "onnx"


def lane(config: str, data_dir: str = ".reindex") -> dict:
    """The settings' lane as things stand on disk: what runs it, and the CPU of its first text."""
    project = Project(config, data_dir)
    started = cpu_s()
    project.real_lane()
    return {"backend": backend_in_use(), "cpu_s": cpu_s() - started}


def load_bare(texts: str, threads: int) -> dict:
    """The CPU of `SentenceTransformer.encode` as it comes, on the same texts."""
    import torch
    from sentence_transformers import SentenceTransformer

    if threads:
        torch.set_num_threads(threads)

    sent = json.loads(Path(texts).read_text())
    model = SentenceTransformer(str(_model_directory()), device="cpu", local_files_only=True)
    model.encode(["One call, so that the model is loaded and warm."])
    wall, started = time.perf_counter(), cpu_s()
    model.encode(sent)
    used, took = cpu_s() - started, time.perf_counter() - wall
    tokens = sum(len(found) for found in model.tokenizer(sent, truncation=True)["input_ids"])
    return {"cpu_s": used, "wall_s": took, "chunks": len(sent), "tokens": tokens}


def own_cost(config: str, repeats: int) -> dict:
    """What a first load costs beside parsing, chunking, counting tokens and the (hash) embedder."""
    from reindex.core.text import ChunkLimits, chunk_document
    from reindex.embedders.tokenizer import ModelTokenizer
    from reindex.parsers.registry import parse_document

    with tempfile.TemporaryDirectory() as work:
        warm_stores(Path(work))
    source = next(iter(Project(config).app.sources().values()))
    contents = [(path, source.read(path).content) for path in source.scan().files]
    total, parsing, embedding, chunks = [], [], [], 0
    for repeat in range(repeats):
        started = cpu_s()
        tokenizer = ModelTokenizer(_model_directory() / "tokenizer.json")
        limits = ChunkLimits(256 - tokenizer.special_tokens, 0)
        for path, content in contents:
            chunk_document(parse_document(path, content), tokenizer, limits)
        parsing.append(cpu_s() - started)
        project = Project(config, f".own-cost-{repeat}")
        embedder = project.use_hashes()
        started = cpu_s()
        chunks = project.sync().chunks.total
        total.append(cpu_s() - started)
        embedding.append(embedder.cpu_s)
    return {"total_s": total, "parsing_s": parsing, "embedding_s": embedding, "chunks": chunks}


def memory(config: str, data_dir: str) -> dict:
    """The most memory that a first load takes, over the same process with the model's tokenizer at work."""
    for library in ("lancedb", "pyarrow", "tokenizers"):
        importlib.import_module(library)

    project = Project(config, data_dir)
    preparer = project.preparer()  # held: its tokenizer is the model's own memory
    embedder = project.use_hashes()
    before = peak_rss_mb()
    started = cpu_s()
    report = project.sync()
    return {
        "own_mb": before,
        "peak_mb": peak_rss_mb(),
        "chunks": report.chunks.total,
        "cpu_s": cpu_s() - started,
        "embedder_cpu_s": embedder.cpu_s,
        "prompt_tokens": preparer.extra_tokens,
    }


def fill(config: str) -> dict:
    """Index a project with hash vectors, for what is measured from the command line afterwards."""
    project = Project(config)
    project.use_hashes()
    report = project.sync()
    return {"documents": report.documents.added, "chunks": report.chunks.total}


def scan(config: str, repeats: int) -> dict:
    """The CPU of our scan and of a bare scandir with one stat for each file, taking turns."""
    project = Project(config)
    ours, bare = [], []
    for _ in range(repeats):
        found = seen = None
        gc.collect()
        source = next(iter(project.app.sources().values()))
        started = cpu_s()
        found = source.scan()
        ours.append(cpu_s() - started)
        started = cpu_s()
        seen = _bare_walk(str(project.docs))
        bare.append(cpu_s() - started)
        assert len(found.files) == len(seen), f"{len(found.files)} documents, {len(seen)} files"
    return {"ours_s": ours, "bare_s": bare, "files": len(seen)}


def _bare_walk(root: str) -> dict[str, os.stat_result]:
    seen: dict[str, os.stat_result] = {}
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    seen[entry.path] = entry.stat(follow_symlinks=False)
    return seen


def replayed(history: str, max_tokens: int) -> dict:
    """A real edit history through parser and chunker, ours and simpler ones."""
    import replay_chunks

    return replay_chunks.replay(Path(history), max_tokens, compare=True)


def asks(config: str, question: str) -> dict:
    """A query by the command line's own function in this process; which libraries it imported."""
    from reindex.cli.main import main

    sys.argv = ["reindex", "query", question, "--config", config, "--json"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main()
    hits = json.loads(printed.getvalue())["hits"]
    return {"hits": len(hits), "imported": [n for n in ("torch", "onnxruntime") if n in sys.modules]}


def _name(source: str, path: str):
    from reindex.model import DocumentName

    return DocumentName(source, path)


def _model_directory() -> Path:
    from reindex.embedders.models import find_model

    return find_model("all-MiniLM-L6-v2", Path.cwd())[0]


TASKS: dict[str, Callable[..., dict]] = {
    "trim": trim,
    "load_ours": load_ours,
    "load_bare": load_bare,
    "lane": lane,
    "own_cost": own_cost,
    "memory": memory,
    "fill": fill,
    "scan": scan,
    "replayed": replayed,
    "asks": asks,
    "edits": child_edits.edits,
    "first_load": child_edits.first_load,
    "retrieval": child_retrieval.retrieval,
    "merge": child_stores.merge,
    "sqlite": child_stores.sqlite,
    "batch_ingest": child_batch.ingest,
    "batch_lane": child_batch.batch_lane,
    "memory_of_lane": child_batch.memory_of_lane,
    "realtime": child_batch.realtime,
    "realtime_sync": child_batch.realtime_sync,
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[1]](**json.loads(sys.argv[2]))))
