"""Measurements of edits, of a killed first load, and of what the index finds."""

import itertools
import json
import subprocess
import sys

import corpora
from harness import CHILD, Context, Row, clean, make_project, median, run_child, shown, spread
from measures import LARGE_BYTES, Corpus


def edits(context: Context, corpus: Corpus) -> list[Row]:
    """Rows 3 and 4: one line at the top of a large document; rename, copy, touch, revert and delete of it."""
    folder = context.work / "edits"
    config = make_project(folder)
    large = corpora.large_markdown(corpus.prose(), LARGE_BYTES)
    (folder / "docs" / "large.md").write_text(large, encoding="utf-8")
    for path in itertools.islice(sorted(corpus.prose().glob("*.rst")), 20):
        (folder / "docs" / path.name).write_bytes(path.read_bytes())
    encoder = "hash" if context.quick else "model"
    repeats = context.times(5, 3)
    found = run_child("edits", config=config, large="large.md", repeats=repeats, encoder=encoder)
    steps = found["steps"]
    what = f"one line at the top of {found['bytes'] / 1000:.0f} KB of Markdown"
    seconds = [step["seconds"] for step in steps["insert"]]
    cpu = [step["cpu_s"] for step in steps["insert"]]
    rows = [
        counted(f"{what}: chunks embedded", steps["insert"], "embedded", 1),
        counted(f"{what}: rows written", steps["insert"], "rows", 3),
        counted(f"{what}: Lance commits", steps["insert"], "commits", 2),
        Row(
            f"{what}: seconds beside process start",
            f"{median(seconds):.3f} s",
            figure=median(seconds),
            unit=" s",
            limit=0.35,
            spread=spread(seconds),
            note=f"one sync in a warm process, by {encoder}: {shown(median(cpu))} s of CPU; the target is"
            " the daemon's",
            detail={"steps": steps["insert"]},
        ),
    ]
    for name in ("rename", "copy", "touch", "revert"):
        embedded = counted(f"{name} of that file: chunks embedded", steps[name], "embedded", 0)
        embedded.note = f"{shown(median([s['seconds'] for s in steps[name]]))} s"
        rows += [embedded, counted(f"{name} of that file: Lance commits", steps[name], "commits", 2)]
    rows.append(counted("delete of a copy of that file: Lance commits", steps["delete"], "commits", 2))
    return rows


def counted(name: str, steps: list[dict], key: str, limit: int) -> Row:
    """The greatest count over the repeats: a count has no noise to take a median of."""
    values = [step[key] for step in steps]
    if key == "commits" and any(step["versions"] > step["commits"] for step in steps):
        name += " (and upkeep)"
    return Row(
        name,
        str(max(values)),
        figure=max(values),
        limit=limit,
        spread=spread(values),
        detail={"steps": steps},
    )


def killed(context: Context, corpus: Corpus) -> list[Row]:
    """Row 9: kill -9 in a first load at five places; then what was embedded twice, in batches."""
    if context.quick:
        return [Row("kill -9 during first load: embedded work lost", note="skipped by --quick")]
    facts = corpus.facts()
    whole = context.work / "whole.log"
    run_child("first_load", config=corpus.config, data_dir=".whole", log=whole, kill_at=None)
    batches = len(whole.read_text().splitlines())
    lost = []
    for part in range(1, 6):
        log = context.work / f"killed-{part}.log"
        data_dir = f".killed-{part}"
        given = {"config": corpus.config, "data_dir": data_dir, "log": log}
        run_until_killed("first_load", given | {"kill_at": batches * part // 6})
        run_child("first_load", config=corpus.config, data_dir=data_dir, log=log, kill_at=None)
        sent = log.read_text().splitlines()
        texts = [text for line in sent for text in line.split()]
        assert len(set(texts)) == facts["chunks"], f"{len(set(texts))} texts, {facts['chunks']} expected"
        twice = len(texts) - len(set(texts))
        lost.append({"texts_twice": twice, "batch": len(sent[batches * part // 6].split())})
    in_batches = [each["texts_twice"] / each["batch"] for each in lost]
    return [
        Row(
            f"kill -9 during first load at 1/6 to 5/6 of {batches} batches: texts embedded twice, over the"
            " batch in hand",
            f"{max(each['texts_twice'] for each in lost)} texts",
            f"{max(each['batch'] for each in lost)} texts",
            max(in_batches),
            " x",
            1,
            spread(in_batches),
            "killed when a batch is embedded and nothing of it stored: the worst moment; hash embedder",
            {"runs": lost},
        )
    ]


def run_until_killed(task: str, arguments: dict[str, object]) -> None:
    """A task of child.py that is to kill itself."""
    done = subprocess.run(
        [sys.executable, str(CHILD), task, json.dumps(arguments, default=str)],
        env=clean(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, f"not killed: {done.returncode} {done.stderr.decode()[-2000:]}"


def retrieval(context: Context, corpus: Corpus) -> list[Row]:
    """Row 5: nDCG@10 on Cranfield, against exact search with the same model."""
    del corpus
    name = "nDCG@10 on Cranfield, exact search less ours by vectors"
    if not (context.cranfield / "corpus.jsonl.xz").exists():
        return [Row(name, note=f"skipped: there is no {context.cranfield}")]
    if context.quick:
        return [Row(name, note="skipped by --quick")]
    folder = context.results / "cranfield"
    config = make_project(folder)
    found = run_child("retrieval", cranfield=context.cranfield, folder=folder, config=config)
    bare, asked = f"{found['exact']:.4f}", "(n=1, 225 queries)"
    return [
        Row(
            f"{name}, documents cut to what the model reads",
            f"{found['cut_vector']:.4f}",
            bare,
            found["exact"] - found["cut_vector"],
            limit=0.002,
            spread=asked,
            note=f"{found['cut_documents_of_several_chunks']} of {found['documents']} documents are more than"
            " one chunk; linear gains",
            detail=found,
        ),
        Row(
            f"{name}, whole documents",
            f"{found['vector']:.4f}",
            bare,
            found["exact"] - found["vector"],
            spread=asked,
            note=f"{found['documents_of_several_chunks']} of {found['documents']} documents are several"
            f" chunks ({found['chunks']} in all), scored by their best; bare encode cuts them off",
        ),
        Row(
            "nDCG@10 on Cranfield, exact search less ours hybrid, whole documents",
            f"{found['hybrid']:.4f}",
            bare,
            found["exact"] - found["hybrid"],
            spread=asked,
            note=f"text alone: {found['text']:.4f}; below 0 is better than exact search",
        ),
        Row(
            'nDCG@10 on Cranfield, exact search less the same with `precision = "int8"`',
            f"{found['exact_int8']:.4f}",
            bare,
            found["exact"] - found["exact_int8"],
            spread=asked,
            note="what int8 costs; it is another embedding space, chosen in config.toml",
        ),
    ]
