"""The Cranfield task: the same questions to exact search over bare vectors and to the index."""

import csv
import hashlib
import json
import lzma
import math
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from harness import make_project
from indexing import Project
from reindex.embedders.models import find_model
from reindex.embedders.tokenizer import ModelTokenizer
from reindex.errors import ReindexError
from reindex.search import SearchMode

HITS = 50  # chunks asked for, so that ten documents are among them


def retrieval(cranfield: str, folder: str, config: str) -> dict:
    """nDCG@10 of exact search, and of the index. Bare vectors and indexes are kept below `folder`.

    The index of cut documents has of each what the model reads in bare encode (256 tokens), so that each is
    one chunk; that of whole documents has what a user would have.
    """
    data, kept = Path(cranfield), Path(folder)
    documents = {line["_id"]: line for line in _lines(data / "corpus.jsonl.xz")}
    queries = {line["_id"]: line["text"] for line in _lines(data / "queries.jsonl.xz")}
    judged = _judgements(data / "qrels.tsv.xz")
    names = list(documents)
    texts = [f"{d['title']} {d['text']}" for d in documents.values()]

    def exact(matrix: np.ndarray, asked: np.ndarray) -> float:
        best = np.argsort(-(asked @ matrix.T), axis=1, kind="stable")[:, :10]
        return ndcg({q: [names[i] for i in row] for q, row in zip(queries, best, strict=True)}, judged)

    whole = {name: f"{d['title']}\n\n{d['text']}\n" for name, d in documents.items()}
    project, chunks = _indexed(Path(config), whole)
    cut_project, cut_chunks = _indexed(kept / "cut" / "config.toml", _cut(whole, project))

    def by(index: Project, mode: SearchMode) -> float:
        reader = index.app.reader()
        found = {query: reader.search(text, HITS, mode).hits for query, text in queries.items()}
        return ndcg({q: _best_documents([hit.path for hit in hits]) for q, hits in found.items()}, judged)

    return {
        "exact": exact(_bare_vectors(kept / "bare.npz", texts), _encode(list(queries.values()))),
        "exact_int8": exact(*(_encode_int8(kept, each) for each in (texts, list(queries.values())))),
        "cut_vector": by(cut_project, SearchMode.VECTOR),
        "vector": by(project, SearchMode.VECTOR),
        "hybrid": by(project, SearchMode.HYBRID),
        "text": by(project, SearchMode.TEXT),
        "documents": len(documents),
        "cut_documents_of_several_chunks": sum(count > 1 for count in cut_chunks.values()),
        "documents_of_several_chunks": sum(count > 1 for count in chunks.values()),
        "chunks": sum(chunks.values()),
    }


def _cut(texts: Mapping[str, str], project: Project) -> dict[str, str]:
    """Of each text what fits into one chunk, by the model's own tokenizer."""
    directory, _ = find_model("all-MiniLM-L6-v2", Path.cwd())
    tokenizer = ModelTokenizer(directory / "tokenizer.json")
    room = project.app.settings.chunking.max_tokens - tokenizer.special_tokens
    ends = {name: tokenizer.spans(text)[:room] for name, text in texts.items()}
    return {name: text[: ends[name][-1][1]] + "\n" if ends[name] else text for name, text in texts.items()}


def ndcg(
    found: Mapping[str, Sequence[str]], judged: Mapping[str, Mapping[str, int]], depth: int = 10
) -> float:
    """The mean over the judged queries, with linear gains, as trec_eval does it."""
    scores = []
    for query, relevant in judged.items():
        gains = [relevant.get(name, 0) for name in found.get(query, [])[:depth]]
        best = sorted(relevant.values(), reverse=True)[:depth]
        scores.append(_discounted(gains) / _discounted(best))
    return sum(scores) / len(scores)


def _discounted(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 2) for rank, gain in enumerate(gains))


def _best_documents(paths: Sequence[str]) -> list[str]:
    """Documents in the order of their best chunk."""
    return list(dict.fromkeys(path.removesuffix(".txt") for path in paths))[:10]


def _indexed(config: Path, texts: Mapping[str, str]) -> tuple[Project, Counter]:
    """The index of the texts as files, brought up to date; an index of an older make is made anew."""
    make_project(config.parent)
    for name, text in texts.items():
        path = config.parent / "docs" / f"{name}.txt"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    project = Project(config)
    try:
        project.sync()
    except ReindexError as error:
        print(f"the kept index is made anew: {error}", file=sys.stderr)
        shutil.rmtree(project.app.data_dir)
        project.sync()
    layouts = project.app.reader().with_snapshot(lambda snapshot: list(snapshot.layouts()))
    return project, Counter({layout.name.path: len(layout.keys) for layout in layouts})


def _bare_vectors(kept: Path, texts: Sequence[str]) -> np.ndarray:
    if kept.exists():
        found = np.load(kept)
        if str(found["texts"]) == _stamp(texts):
            return found["vectors"]
    vectors = _encode(texts)
    np.savez(kept, vectors=vectors, texts=_stamp(texts))
    return vectors


def _stamp(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


def _encode(texts: Sequence[str]) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    directory, _ = find_model("all-MiniLM-L6-v2", Path.cwd())
    model = SentenceTransformer(str(directory), device="cpu", local_files_only=True)
    return model.encode(list(texts), normalize_embeddings=True)


def _encode_int8(kept: Path, texts: Sequence[str]) -> np.ndarray:
    """By our own encoder at `precision = "int8"`: fifty texts at a time, the longest first."""
    config = make_project(kept / "int8")
    project = Project(config, precision="int8")
    lane = project.real_lane()
    order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
    vectors = np.zeros((len(texts), project.recipe.space.dimensions), dtype=np.float32)
    for first in range(0, len(order), 50):
        part = order[first : first + 50]
        vectors[part] = lane.embed([texts[i] for i in part])
    return vectors


def _lines(path: Path) -> list[dict]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _judgements(path: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    with lzma.open(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            found[row["query-id"]][row["corpus-id"]] = int(row["score"])
    return dict(found)
