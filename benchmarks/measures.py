"""The measurements: each asks children for figures and makes rows of them."""

import shutil
import time
from pathlib import Path

import corpora
from harness import (
    Context,
    Row,
    bare_python,
    cpu_of,
    interleaved,
    make_project,
    median,
    reindex,
    run_child,
    spread,
)

LARGE_BYTES = 250_000


class Corpus:
    """The prose of this environment as a project, cut to a number of chunks; made once, on first use."""

    def __init__(self, context: Context, name: str = "corpus", chunks: int = 2000) -> None:
        self.folder = context.work / name
        self.all_documents = context.work / "all-documents"
        self.texts = context.work / f"{name}-texts.json"
        self._context = context
        self._chunks = chunks
        self._facts: dict | None = None

    def facts(self) -> dict:
        if self._facts is None:
            self.prose()
            config = make_project(self.folder)
            shutil.copytree(self.all_documents, self.folder / "docs", dirs_exist_ok=True)
            self._facts = run_child("trim", config=config, chunks=self._chunks, texts=self.texts)
        return self._facts

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def prose(self) -> Path:
        """Every document that was found, uncut."""
        if not self.all_documents.exists():
            corpora.write_corpus(self.all_documents, self._context.corpus)
        return self.all_documents

    def described(self) -> str:
        facts = self.facts()
        return f"{facts['chunks']:,} chunks, {facts['documents']} documents, {facts['tokens']:,} tokens"


def own_cost(context: Context, corpus: Corpus) -> list[Row]:
    """Row 8: our own CPU for each chunk."""
    corpus.facts()
    found = run_child("own_cost", config=corpus.config, repeats=context.times(5, 3))
    own = [
        1000 * (total - parsing - embedding) / found["chunks"]
        for total, parsing, embedding in zip(
            found["total_s"], found["parsing_s"], found["embedding_s"], strict=True
        )
    ]
    return [
        Row(
            f"own cost beside model, parser and tokenizer, for each of {found['chunks']:,} chunks, CPU",
            f"{median(found['total_s']):.2f} s",
            f"{median(found['parsing_s']):.2f} s",
            median(own),
            " ms",
            None if context.quick else 0.3,  # a table is made for 2,000 chunks or for 200: the same 80 ms
            spread(own),
            "hash embedder; a first load, with creating the table and hashing the model's files; ours: the"
            " whole sync; floor: parse, chunk and count tokens alone",
            found,
        )
    ]


def nothing_changed(context: Context, corpus: Corpus) -> list[Row]:
    """Row 2: what a sync costs that finds nothing to do, and the scan alone."""
    del corpus
    config = thousand_files(context)
    command = [reindex(), "sync", "--config", str(config), "--quiet"]
    return [
        above_bare_python("nothing changed, 1,000 files: `reindex sync`, CPU", command, context, 0.3),
        scan_alone(context),
    ]


def thousand_files(context: Context) -> Path:
    """A settled index of 1,000 small files, as the command line left it."""
    folder = context.work / "thousand"
    config = folder / "config.toml"
    if not config.exists():
        make_project(folder)
        corpora.write_small_files(folder / "docs", 1000)
        filled = run_child("fill", config=config)
        assert filled["documents"] == 1000, filled
        time.sleep(2.2)  # files just written prove nothing by their stat: look once more when they are older
        cpu_of([reindex(), "sync", "--config", str(config), "--quiet"], folder)
    return config


def scan_alone(context: Context) -> Row:
    folder = context.work / "many"
    config = make_project(folder)
    corpora.write_small_files(folder / "docs", 20_000)
    found = run_child("scan", config=config, repeats=context.times(15, 5))
    ratios = [mine / floor for mine, floor in zip(found["ours_s"], found["bare_s"], strict=True)]
    return Row(
        f"scan of {found['files']:,} files over bare scandir + stat, CPU",
        f"{median(found['ours_s']):.3f} s",
        f"{median(found['bare_s']):.3f} s",
        median(ratios),
        " x",
        1.5,
        spread(ratios),
        detail=found,
    )


def above_bare_python(name: str, command: list[str], context: Context, limit: float | None) -> Row:
    """CPU of a command less that of `python -c pass`, taking turns."""
    mine, bare = interleaved(
        context.times(7, 3),
        lambda: cpu_of(command, context.work),
        lambda: cpu_of(bare_python(), context.work),
    )
    above = [a - b for a, b in zip(mine, bare, strict=True)]
    return Row(
        f"{name} above bare Python",
        f"{median(mine):.3f} s",
        f"{median(bare):.3f} s",
        median(above),
        " s",
        limit,
        spread(above),
        " ".join(["reindex", *command[1:]]),
    )


def start(context: Context, corpus: Corpus) -> list[Row]:
    """Row 7: what the command line costs to start."""
    del corpus
    config = thousand_files(context)
    at = ["--config", str(config)]
    query = [reindex(), "query", "the note with the number 77", "--mode", "text", *at]
    return [
        above_bare_python("`reindex --help`, CPU", [reindex(), "--help"], context, 0.15),
        above_bare_python("`reindex status`, 1,000 files, CPU", [reindex(), "status", *at], context, 0.25),
        above_bare_python("`reindex query --mode text`, no daemon, CPU", query, context, None),
    ]


def memory(context: Context, corpus: Corpus) -> list[Row]:
    """Row 6: memory of the pipeline itself."""
    folder = context.work / "bulk"
    config = make_project(folder)
    size = corpora.write_bulk(folder / "docs", corpus.prose(), (5 if context.quick else 50) * 1_000_000)
    runs = [
        run_child("memory", config=config, data_dir=f".memory-{number}")
        for number in range(context.times(5, 1))
    ]
    shutil.rmtree(folder)
    above = [run["peak_mb"] - run["own_mb"] for run in runs]
    return [
        Row(
            f"peak RSS of a first load of {size / 1e6:.0f} MB, over the process with the model's tokenizer;"
            f" hash embedder, no model ({runs[0]['chunks']:,} chunks)",
            f"{median([run['peak_mb'] for run in runs]):.0f} MB",
            f"{median([run['own_mb'] for run in runs]):.0f} MB",
            median(above),
            " MB",
            300,
            spread(above),
            f"{median([run['cpu_s'] for run in runs]):.0f} s of CPU",
            {"runs": runs},
        )
    ]
