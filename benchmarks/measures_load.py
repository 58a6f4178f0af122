"""The first load and the first question: what the model's backend decides."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import corpora
from harness import (
    Context,
    Row,
    cpu_of,
    make_project,
    median,
    progress,
    ratios,
    reindex,
    run_child,
    shown,
    spread,
)
from measures import Corpus

_STORES = ("ledger.sqlite", "cache.sqlite", "published.json", "lock", "lance")


def ready(context: Context) -> Path:
    """The config of a small project that `reindex sync` has indexed with the real model, so that whatever is
    made of the model once is there.
    """
    folder = context.work / "ready"
    config = folder / "config.toml"
    if not config.exists():
        make_project(folder)
        corpora.write_small_files(folder / "docs", 20)
        cpu_of([reindex(), "sync", "--config", str(config), "--quiet"], folder)
    return config


def first_load(context: Context, corpus: Corpus) -> list[Row]:
    """CPU of a first load against bare `encode` on the same chunks: by the default backend, and by torch."""
    facts = corpus.facts()
    loads: dict[str, list[dict]] = {"auto": [], "torch": []}
    bare = []
    made_once = ready(context).parent / ".reindex"
    for number in range(context.times(5, 1)):
        for backend, found in loads.items():
            if backend == "torch" and (context.quick or loads["auto"][-1]["backend"] == "torch"):
                continue  # the default is torch: measured already
            data_dir = corpus.folder / f".load-{backend}-{number}"
            _copy_made_once(made_once, data_dir)
            given = {"chunks": facts["chunks"], "threads": context.threads, "backend": backend}
            found.append(run_child("load_ours", config=corpus.config, data_dir=data_dir.name, **given))
            shutil.rmtree(data_dir)
        bare.append(run_child("load_bare", texts=corpus.texts, threads=context.threads))
        progress(f"  repeat {number + 1}: {_seconds(loads)}, bare {bare[-1]['cpu_s']:.1f} s of CPU")
    used = loads["auto"][0]["backend"]
    rows = [_load_row(context, corpus, f"default backend ({used})", loads["auto"], bare, 0.65)]
    again, anew = (run_child("lane", config=ready(context), data_dir=d) for d in (".reindex", ".anew"))
    rows[0].note += f"; made of the model once, before: {shown(anew['cpu_s'] - again['cpu_s'])} s of CPU"
    if not context.quick:
        by_torch = loads["torch"] or loads["auto"]
        rows.append(_load_row(context, corpus, "backend torch", by_torch, bare, 0.85))
    return rows


def _load_row(
    context: Context, corpus: Corpus, backend: str, ours: Sequence[dict], bare: Sequence[dict], limit: float
) -> Row:
    found = ratios(ours, bare, "cpu_s")
    return Row(
        f"first load over bare encode, CPU, {backend} ({corpus.described()})",
        f"{median([o['cpu_s'] for o in ours]):.1f} s",
        f"{median([b['cpu_s'] for b in bare]):.1f} s",
        median(found),
        " x",
        limit,
        spread(found),
        "imports and loading the model left out on both sides, both warm, threads of the model on both sides:"
        f" {context.threads or 'its own choice'}; wall ratio {shown(median(ratios(ours, bare, 'wall_s')))}",
        {"ours": ours, "bare": bare, "corpus": corpus.facts()},
    )


def _seconds(loads: dict[str, list[dict]]) -> str:
    return ", ".join(f"{name} {found[-1]['cpu_s']:.1f} s" for name, found in loads.items() if found)


def _copy_made_once(source: Path, target: Path) -> None:
    """What a data directory holds beside its stores: made of the model once, and not again by each load."""
    target.mkdir()
    for path in source.iterdir():
        if path.name.startswith(_STORES):
            continue
        if path.is_dir():
            shutil.copytree(path, target / path.name)
        else:
            shutil.copy2(path, target / path.name)


def query(context: Context, corpus: Corpus) -> list[Row]:
    """A question that was never asked, without a daemon: from the start of the process to its answer."""
    del corpus
    config = ready(context)
    wall, cpu = [], []
    for number in range(context.times(5, 2)):
        command = [reindex(), "query", f"which note has the number {number}?", "--config", str(config)]
        started = time.perf_counter()
        cpu.append(cpu_of(command, context.work))
        wall.append(time.perf_counter() - started)
    imported = run_child("asks", config=config, question="is this one imported for?")["imported"]
    return [
        Row(
            "`reindex query` (hybrid), no daemon, a new question: seconds",
            f"{median(wall):.2f} s",
            figure=median(wall),
            unit=" s",
            limit=1.5,
            spread=spread(wall),
            note=f"the whole process; {shown(median(cpu))} s of CPU; imported for the model:"
            f" {', '.join(imported) or 'nothing'}",
            detail={"wall_s": wall, "cpu_s": cpu, "imported": imported},
        )
    ]
