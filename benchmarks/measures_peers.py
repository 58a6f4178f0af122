"""Peers on the same documents, each in an environment of its own (`peers/`), beside reindex."""

import os
import shutil
from pathlib import Path

import corpora
from harness import (
    Cell,
    Context,
    Row,
    bare_python,
    cpu_of,
    make_project,
    measured,
    progress,
    ratios,
    reindex,
    run_child,
)
from measures import LARGE_BYTES, Corpus, thousand_files
from measures_edits import run_until_killed
from peers.running import NAMES, Turns, command, installed, run_peer

_KILLS = 5


def smaller(context: Context) -> Corpus:
    """Documents for four systems and four floors, five times each."""
    return Corpus(context, "peers", 60 if context.quick else 800)


def load(context: Context, corpus: Corpus) -> list[Row]:
    """First loads: against bare encode of each one's own chunks, and what is beside the encoder."""
    del corpus
    corpus = smaller(context)
    facts = corpus.facts()
    threads = context.threads
    ours: list[dict] = []
    bare: list[dict] = []
    turns = Turns()
    for number in range(context.times(5, 1)):
        data_dir = f".load-{number}"
        new = {"chunks": facts["chunks"], "data_dir": data_dir, "threads": threads}
        ours.append(run_child("load_ours", config=corpus.config, **new))
        bare.append(run_child("load_bare", texts=corpus.texts, threads=threads))
        for name in NAMES:
            work = context.work / f"load-{name}-{number}"
            turns.take(name, lambda n=name, w=work: _loaded(n, corpus.folder / "docs", w, threads))
        progress(f"  repeat {number + 1} of the first loads is done")
    own = run_child("own_cost", config=corpus.config, repeats=context.times(5, 1))
    own_ms = [
        1000 * (total - embedding) / own["chunks"]
        for total, embedding in zip(own["total_s"], own["embedding_s"], strict=True)
    ]
    detail = {"ours": ours, "bare": bare, "own": own, "peers": turns.found, "corpus": facts}
    took = ", ".join(f"{name} {installed(name).took_s:.0f} s" for name in NAMES)
    return [
        _row(
            "first load over bare encode of its own chunks, CPU",
            ratios(ours, bare, "cpu_s"),
            turns,
            "cpu_ratio",
            " x",
            f"{facts['documents']} documents, {facts['bytes'] / 1000:.0f} KB; the same versions of torch and"
            f" sentence-transformers, model threads: {threads or 'their own choice'}; imports and loading the"
            f" model left out on all sides. Making the environments took {took}",
            detail,
        ),
        _row(
            "first load over bare encode of its own chunks, wall",
            ratios(ours, bare, "wall_s"),
            turns,
            "wall_ratio",
            " x",
        ),
        Row(
            "chunks (and their tokens) of those documents",
            f"{facts['chunks']:,} ({facts['tokens']:,})",
            peers=turns.cells(lambda runs: Cell(f"{runs[0]['chunks']:,} ({runs[0]['tokens']:,})")),
        ),
        _row(
            "first load, everything but the encoder, CPU for each chunk",
            own_ms,
            turns,
            "own_ms",
            " ms",
            "reading, parsing and splitting included; hash vectors on all sides",
        ),
    ]


def _loaded(name: str, docs: Path, work: Path, threads: int) -> dict:
    """A peer's first load by the model, bare encode of the texts that it embedded, and a load by hashes."""
    work.mkdir()
    texts = work / "texts.json"
    mine = run_peer(name, "load", threads, docs=docs, work=work / "model", encoder="model", texts=texts)
    floor = run_child("load_bare", texts=texts, threads=threads)
    hashed = run_peer(name, "load", threads, docs=docs, work=work / "hash", encoder="hash")
    shutil.rmtree(work)
    return {
        "cpu_ratio": mine["cpu_s"] / floor["cpu_s"],
        "wall_ratio": mine["wall_s"] / floor["wall_s"],
        "chunks": mine["chunks"],
        "tokens": floor["tokens"],
        "commits": mine["commits"],
        "own_ms": 1000 * (hashed["cpu_s"] - hashed["encoder_cpu_s"]) / hashed["chunks"],
        "cpu_s": mine["cpu_s"],
        "bare_cpu_s": floor["cpu_s"],
    }


def edits(context: Context, corpus: Corpus) -> list[Row]:
    """One large document edited, touched, moved, copied and deleted: what each does about it."""
    docs = context.work / "peers-edits" / "docs"
    docs.mkdir(parents=True)
    (docs / "large.md").write_text(corpora.large_markdown(corpus.prose(), LARGE_BYTES), encoding="utf-8")
    for path in sorted(corpus.prose().glob("*.rst"))[:20]:
        (docs / path.name).write_bytes(path.read_bytes())
    a_week_ago = docs.stat().st_mtime - 7 * 86_400
    for path in docs.iterdir():
        os.utime(path, (a_week_ago, a_week_ago))
    repeats = context.times(5, 2)
    turns = Turns()
    mine = make_project(context.work / "peers-edits-ours")
    shutil.copytree(docs, mine.parent / "docs", dirs_exist_ok=True)
    ours = run_child("edits", config=mine, large="large.md", repeats=repeats, encoder="hash")
    for name in NAMES:
        work = context.work / f"edits-{name}"
        shutil.copytree(docs, work / "docs")
        given = {"docs": work / "docs", "work": work / "index", "large": "large.md", "repeats": repeats}
        turns.take(name, lambda n=name, g=given: run_peer(n, "edits", **g)["steps"])
        shutil.rmtree(work, ignore_errors=True)
    asked = [("insert", key) for key in ("embedded", "rows", "commits", "seconds")]
    asked += [
        (step, key) for step in ("revert", "touch", "rename", "copy") for key in ("embedded", "commits")
    ]
    asked += [("delete", "commits"), ("delete", "seconds")]
    rows = [_edit_row(step, key, ours["steps"], turns) for step, key in asked]
    loaded = turns.cells(lambda runs: Cell(f"{runs[0]['rename'][0]['embedded']:,}"))
    size = ", ".join(f"{name} {cell.shown}" for name, cell in loaded.items())
    rows[0].note = (
        f"hash vectors; a document of {ours['bytes'] / 1000:.0f} KB among 21, in a warm process with open"
        f" stores. Chunks of the document: reindex {ours['large_chunks']:,}, the others what a rename"
        f" embeds: {size}"
    )
    rows[0].detail = {"ours": ours, "peers": turns.found}
    return rows


_STEPS = {
    "insert": "one line at the top of a 250 KB document",
    "revert": "taking it back",
    "touch": "touch of that document",
    "rename": "rename of that document",
    "copy": "copy of that document",
    "delete": "delete of the copy",
}
_COUNTS = {
    "embedded": "chunks embedded",
    "rows": "rows written",
    "commits": "Lance commits",
    "seconds": "seconds",
}


def _edit_row(step: str, key: str, ours: dict, turns: Turns) -> Row:
    mine = measured([run[key] for run in ours[step]])
    return Row(
        f"{_STEPS[step]}: {_COUNTS[key]}",
        mine.shown,
        figure=mine.figure,
        peers=turns.cells(lambda runs: measured([run[key] for run in runs[0][step]])),
    )


def nothing(context: Context, corpus: Corpus) -> list[Row]:
    """A whole process that finds nothing to do among 1,000 files, above its bare Python."""
    del corpus
    config = thousand_files(context)
    docs = config.parent / "docs"
    mine = [reindex(), "sync", "--config", str(config), "--quiet"]
    turns = Turns()
    by_model = Turns()
    ours = [_above([mine[0], *mine[1:]], bare_python(), context.work) for _ in range(context.times(5, 2))]
    for name in NAMES:
        given = {"docs": docs, "work": context.work / f"nothing-{name}", "encoder": "hash"}
        turns.take(name, lambda n=name, g=given: _nothing_again(n, g, context))
        real = command(name, "sync", given | {"encoder": "model"}) if installed(name).python else []
        by_model.take(name, lambda n=name, r=real: {"above_s": _above(r, _bare_python_of(n), context.work)})
    documented = by_model.cells(lambda runs: Cell(f"{runs[0]['above_s']:.1f} s"))
    mine_cell = measured(ours, " s")
    return [
        Row(
            "nothing changed, 1,000 files: the whole process above bare Python, CPU",
            mine_cell.shown,
            figure=mine_cell.figure,
            unit=" s",
            peers=turns.cells(lambda runs: measured(runs[0]["above_s"], " s")),
            note="peers with hash vectors, so that none loads a model; with the model as their documentation"
            f" has it (n=1): {', '.join(f'{name} {cell.shown}' for name, cell in documented.items())}",
            detail={"ours_s": ours, "peers": turns.found, "peers_by_model": by_model.found},
        )
    ]


def _nothing_again(name: str, given: dict[str, object], context: Context) -> dict:
    run_peer(name, "sync", **given)
    again = run_peer(name, "sync", **given)
    assert again["embedded"] == 0, f"{name} embedded {again['embedded']} texts again"
    args, bare = command(name, "sync", given), _bare_python_of(name)
    return {"above_s": [_above(args, bare, context.work) for _ in range(context.times(5, 2))]}


def _bare_python_of(name: str) -> list[str]:
    return [str(installed(name).python), "-c", "pass"]


def _above(args: list[str], bare: list[str], cwd: Path) -> float:
    return cpu_of(args, cwd) - cpu_of(bare, cwd)


def killed(context: Context, corpus: Corpus) -> list[Row]:
    """kill -9 in a first load, with a batch embedded and not stored: how much of it is embedded again."""
    del corpus
    corpus = smaller(context)
    corpus.facts()
    shares = []
    whole = context.work / "peers-whole.log"
    run_child("first_load", config=corpus.config, data_dir=".peers-whole", log=whole, kill_at=None)
    for part in range(1, _KILLS + 1):
        log = context.work / f"peers-killed-{part}.log"
        given = {"config": corpus.config, "data_dir": f".peers-killed-{part}", "log": log}
        kill_at = len(whole.read_text().splitlines()) * part // (_KILLS + 1)
        run_until_killed("first_load", given | {"kill_at": kill_at})
        sent = _texts(log)
        run_child("first_load", **given, kill_at=None)
        shares.append(100 * (_texts(log) - _texts(whole)) / sent)
    turns = Turns()
    for name in NAMES:
        work = context.work / f"killed-{name}"
        turns.take(name, lambda n=name, w=work: {"lost": _peer_killed(n, corpus.folder / "docs", w)})
    mine = measured(shares, " %")
    return [
        Row(
            "kill -9 during a first load: of what was embedded before it, embedded again",
            mine.shown,
            figure=mine.figure,
            unit=" %",
            peers=turns.cells(lambda runs: measured(runs[0]["lost"], " %")),
            note=f"at 1/{_KILLS + 1} to {_KILLS}/{_KILLS + 1} of the encoder's calls, with a batch embedded"
            " and not stored; hash vectors",
            detail={"ours": shares, "peers": turns.found},
        )
    ]


def _peer_killed(name: str, docs: Path, work: Path) -> list[float]:
    work.mkdir()
    whole = work / "whole.log"
    given = {"docs": docs, "encoder": "hash"}
    calls = run_peer(name, "load", **given, work=work / "whole", log=whole)["calls"]
    shares = []
    for part in range(1, _KILLS + 1):
        log, index = work / f"{part}.log", work / f"index-{part}"
        kill_at = calls * part // (_KILLS + 1)
        run_peer(name, "load", **given, work=index, log=log, kill_at=kill_at, dies=True)
        sent = _texts(log)
        run_peer(name, "load", **given, work=index, log=log)
        shares.append(100 * max(0, _texts(log) - _texts(whole)) / sent)
    return shares


def _texts(log: Path) -> int:
    return len(log.read_text().split())


def _row(
    name: str,
    ours: list[float],
    turns: Turns,
    key: str,
    unit: str,
    note: str = "",
    detail: dict[str, object] | None = None,
) -> Row:
    mine = measured(ours, unit)
    return Row(
        name,
        mine.shown,
        figure=mine.figure,
        unit=unit,
        note=note,
        detail=detail or {},
        peers=turns.cells(lambda runs: measured([run[key] for run in runs], unit)),
    )
