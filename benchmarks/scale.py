"""What grows with an index: the same work at 10,000 chunks and at many more, and the ratio of the two.

    python benchmarks/scale.py [--chunks 10000,100000,1000000] [--work DIR]

A million chunks take about half an hour and 12 GB of disk. As a part of run.py it stops at 100,000 (6,000
with --quick). The documents are synthetic, ten chunks each; the vectors are the texts' hashes, and everything
else is the product as it is.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import measures
from harness import HERE, Context, Row, clean, markdown, median, progress, shown, spread

CHILD = HERE / "child_scale.py"
SIZES = (10_000, 100_000, 1_000_000)
LIMITED = "upsert of 10 chunks, told which, CPU"
EDIT_LIMIT = 3.0  # times its cost at 10,000 chunks
UPKEEP = ("optimise", "prune", "vector index")  # shared by many edits, and measured by itself
COMMANDS = ("verify", "verify --deep", "plan", "status")
TEXTS = [
    f"vobosi {a}{b} {b}{a}" for a in ("kate", "baba", "nube", "fela", "gizo") for b in ("diku", "vare", "ro")
]


def scale(context: Context, _: measures.Corpus) -> list[Row]:
    """For run.py."""
    sizes = (2_000, 6_000) if context.quick else (10_000, 100_000)
    return measure(context.work, sizes, context.times(6, 3))


def measure(work: Path, sizes: tuple[int, ...], repeats: int) -> list[Row]:
    found = {}
    for size in sizes:
        progress(f"  {size:,} chunks ...")
        found[size] = figures(work / f"scale-{size}", size, repeats)
    first = sizes[0]
    rows = []
    for size in sizes[1:]:
        for name, (values, unit, detail) in found[size].items():
            rows.append(row(name, size, values, found[first][name][0], unit, detail))
    return rows


def row(name: str, size: int, ours: list[float], floor: list[float], unit: str, detail: dict) -> Row:
    return Row(
        f"{name}: {size:,} chunks against 10,000",
        ours=f"{shown(median(ours))} {unit}",
        floor=f"{shown(median(floor))} {unit}",
        figure=median(ours) / median(floor),
        unit=" x",
        limit=EDIT_LIMIT if name == LIMITED else None,
        spread=spread(ours),
        detail=detail,
    )


Figure = tuple[list[float], str, dict]
"""Repeated values, their unit, and what they are made of."""


def figures(folder: Path, chunks: int, repeats: int) -> dict[str, Figure]:
    """Everything that is measured at one size, in the order of the table."""
    config = make_config(folder)
    child("make", config=config, documents=chunks // 10)
    load = child("load", config=config)
    assert load["chunks"] == chunks, load
    held = child("held", config=config, repeats=repeats)
    changes = child("changes", config=config, repeats=repeats)
    upkeep = child("upkeep", config=config)
    query = child("query", config=config, texts=TEXTS)
    commands = {name: child("command", config=config, name=name) for name in COMMANDS}
    modes = [mode for mode, value in query.items() if isinstance(value, dict)]
    found: dict[str, Figure] = {
        "load, CPU beside the embedder": (
            [1e6 * (load["cpu_s"] - load["embedder_cpu_s"]) / chunks],
            "µs a chunk",
            load,
        ),
        "load, memory over its start": ([load["peak_mb"] - load["own_mb"]], "MB", load),
        "disk": ([1e6 * sum(load["disk_mb"].values()) / chunks], "bytes a chunk", load["disk_mb"]),
    }
    for name, step in (("upsert", "change"), ("delete", "delete"), ("rename", "rename")):
        steps = held[step]
        found[f"{name} of 10 chunks, told which, CPU"] = without_upkeep(steps, "cpu"), "ms", by_act(steps)
        found[f"{name} of 10 chunks, told which, wall"] = without_upkeep(steps, "wall"), "ms", {}
        found[f"{name} of 10 chunks, read"] = [each["read_mb"] for each in steps], "MB", {}
    per_edit = 1e3 * upkeep["cpu_s"] / upkeep["edits"]
    found["upkeep of indices and files, CPU"] = [per_edit], "ms an edit", upkeep
    for name, step in (("one change", "change"), ("nothing", "nothing")):
        found[f"sync of {name}, CPU"] = milliseconds(changes[step]), "ms", by_act(changes[step])
    found["sync, peak memory"] = [changes["peak_mb"]], "MB", {}
    for name, command in commands.items():
        found[f"{name}, CPU"] = [command["cpu_s"]], "s", command
        found[f"{name}, peak memory"] = [command["peak_mb"]], "MB", {}
    for mode in modes:
        found[f"query by {mode}, p50"] = [query[mode]["p50_ms"]], "ms", query[mode]
        found[f"query by {mode}, first"] = [query[mode]["cold_ms"]], "ms", {}
    found["reader, memory over its start"] = [query["peak_mb"] - query["own_mb"]], "MB", {}
    return found


def without_upkeep(steps: list[dict], clock: str) -> list[float]:
    """Milliseconds of a pass without the tokenizer, which a process that watches has loaded, and without the
    upkeep that many edits share.
    """
    left_out = (*UPKEEP, "load tokenizer")
    return [1e3 * sum(s for act, s in step[clock].items() if act not in left_out) for step in steps]


def milliseconds(steps: list[dict]) -> list[float]:
    return [1e3 * step["cpu_s"] for step in steps]


def by_act(steps: list[dict]) -> dict[str, float]:
    """Median CPU milliseconds of each act."""
    names = {name for step in steps for name in step["cpu"]}
    return {name: 1e3 * median([step["cpu"].get(name, 0.0) for step in steps]) for name in sorted(names)}


def make_config(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    config.write_text(
        'data_dir = ".reindex"\n\n[[sources]]\nname = "docs"\npath = "docs"\n\n[chunking]\nmax_tokens = 32\n'
    )
    return config


def child(task: str, script: Path = CHILD, **arguments: object) -> dict:
    """One task of child_scale.py, or of another script like it, in a fresh process."""
    command = [sys.executable, str(script), task, json.dumps(arguments, default=str)]
    done = subprocess.run(command, capture_output=True, text=True, env=clean(), check=False)
    if done.returncode != 0:
        raise RuntimeError(f"child {task} exited with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", default=",".join(map(str, SIZES)), help="sizes, the least first")
    parser.add_argument("--work", type=Path, help="an empty folder on a disk with room; it is left as it is")
    parser.add_argument("--repeats", type=int, default=6)
    options = parser.parse_args()
    sizes = tuple(map(int, options.chunks.split(",")))
    if options.work is not None:
        rows = measure(options.work, sizes, options.repeats)
    else:
        with tempfile.TemporaryDirectory(prefix="reindex-scale-") as work:
            rows = measure(Path(work), sizes, options.repeats)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "scale.json").write_text(json.dumps([row.to_json() for row in rows], indent=1) + "\n")
    print(markdown(rows))


if __name__ == "__main__":
    main()
