"""`make bench`: all figures side by side in one run, as Markdown, JSON and a plot in benchmarks/results.

    python benchmarks/run.py [--quick] [--only NAME,...] [--no-peers] [--repeats N] [--threads N]
                             [--corpus DIR] [--cranfield DIR] [--history FILE]
    python benchmarks/run.py --only NAME,... --add    (those rows anew in the last full run, which says so)
    python benchmarks/run.py --publish      (the last full run into README.md, and its plot beside it)

CPU seconds are user and system time of all threads. "floor" is what the figure is taken against: the same
work without reindex. A ratio is made within one repeat, ours and floor taking turns; shown are the median
and the least and greatest of the repeats. benchmarks/README.md tells how each row is made.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import measures
import measures_batch
import measures_daemon
import measures_daemon_many
import measures_daemon_search
import measures_edits
import measures_floors
import measures_load
import measures_peers
import measures_rebuild
import publish
import scale
from harness import HERE, Context, Row, progress

MEASURES: dict[str, Callable[[Context, measures.Corpus], list[Row]]] = {
    "start": measures.start,
    "nothing-changed": measures.nothing_changed,
    "edits": measures_edits.edits,
    "own-cost": measures.own_cost,
    "merge": measures_floors.merge,
    "sqlite": measures_floors.sqlite,
    "killed": measures_edits.killed,
    "memory": measures.memory,
    "first-load": measures_load.first_load,
    "query": measures_load.query,
    "replay": measures_floors.replay,
    "retrieval": measures_edits.retrieval,
    "scale": scale.scale,
    "rebuild": measures_rebuild.rebuild,
    "batch-ingest": measures_batch.ingest,
    "batch-lane": measures_batch.lane,
    "batch-memory": measures_batch.memory,
    "batch-memory-long": measures_batch.memory_long,
    "realtime": measures_batch.realtime,
    "daemon-save": measures_daemon.save,
    "daemon-edit": measures_daemon.edit,
    "daemon-burst": measures_daemon.burst,
    "daemon-idle": measures_daemon.idle,
    "daemon-query": measures_daemon.thin,
    "daemon-many": measures_daemon_many.many,
    "daemon-checkout": measures_daemon_many.checkout,
    "daemon-search": measures_daemon_search.search,
    "peers-edits": measures_peers.edits,
    "peers-nothing": measures_peers.nothing,
    "peers-killed": measures_peers.killed,
    "peers-load": measures_peers.load,
}
PACKAGES = ("torch", "sentence-transformers", "transformers", "tokenizers", "lancedb", "pyarrow", "numpy")


def main() -> int:
    options = parse(sys.argv[1:])
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    if options.publish:
        return publish.publish(results / "latest.json", HERE.parent)
    started = time.monotonic()
    about = describe_machine(options)
    rows: list[Row] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="reindex-bench-") as work:
        context = Context(
            options.quick,
            Path(work),
            results,
            options.corpus,
            options.cranfield.resolve(),
            options.history.resolve(),
            options.repeats,
            options.threads,
        )
        corpus = measures.Corpus(context, chunks=150 if options.quick else 2000)
        for name in options.only:
            found, is_ok = measure(name, context, corpus)
            rows += found
            failed |= not is_ok
            about["took_s"] = round(time.monotonic() - started)
            about["load_average_after"] = round(os.getloadavg()[0], 2)
            write(results / options.name, about, rows)  # an interrupted run leaves what it has
    publish.draw(results / f"{options.name}.json", results / f"{options.name}.svg")
    print(publish.page(about, rows))
    if options.add:
        add(results / "latest", about, rows)
    return 1 if failed else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller corpora and fewer repeats: 2 minutes")
    parser.add_argument("--only", default="", help=f"comma-separated: {', '.join(MEASURES)}")
    parser.add_argument("--corpus", type=Path, help="a folder of .md, .rst and .txt to use instead")
    data = HERE / "data"  # what is not ours to give away; without it the rows say that they were skipped
    parser.add_argument("--cranfield", type=Path, default=data / "cranfield", help="the collection")
    parser.add_argument(
        "--history", type=Path, default=data / "history-rustbook.jsonl.xz", help="of edits, for replay"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave the other systems out")
    parser.add_argument("--publish", action="store_true", help="the last full run into README.md")
    parser.add_argument("--add", action="store_true", help="put the rows of --only into the last full run")
    parser.add_argument("--repeats", type=int, help="of each measurement, instead of its own number")
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        help="of the model in first loads, on all sides; 0: each one's own choice, as its users have it"
        " (torch's threads spin when another process takes a core: measure on a quiet machine)",
    )
    options = parser.parse_args(arguments)
    chosen = [name for name in options.only.split(",") if name]
    if options.add and (not chosen or options.quick):
        parser.error("--add goes with --only, and not with --quick")
    options.name = "only" if chosen else "quick" if options.quick else "latest"
    leave_out = options.quick or options.no_peers
    options.only = chosen or [n for n in MEASURES if not (leave_out and n.startswith("peers-"))]
    unknown = set(options.only) - set(MEASURES)
    if unknown:
        parser.error(f"--only {', '.join(sorted(unknown))}: choose from {', '.join(MEASURES)}")
    return options


def measure(name: str, context: Context, corpus: measures.Corpus) -> tuple[list[Row], bool]:
    """The rows of one measurement. One that breaks becomes a row that says so; the others go on."""
    started = time.monotonic()
    progress(f"{name} ...")
    is_ok = True
    try:
        rows = MEASURES[name](context, corpus)
    except Exception as error:
        traceback.print_exc()
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        rows, is_ok = [Row(f"{name}: could not be measured", note=reason[:200])], False
    for row in rows:
        row.only = name
    progress(f"{name}: {time.monotonic() - started:.0f} s")
    return rows, is_ok


def add(stem: Path, about: dict[str, object], rows: list[Row]) -> None:
    """Rows of this run in the place of those of the last full one: a row's ratio is made within itself, so
    that rows of two runs stand beside each other, if machine and packages are the same.
    """
    last, before = publish.read(stem.with_suffix(".json"))
    for what in ("processor", "cores", "python", "packages"):
        if last[what] != about[what]:
            raise SystemExit(f"the last full run was made with another {what}: {last[what]}")
    again = {row.only for row in rows}
    kept = [row for row in before if row.only not in again]
    order = list(MEASURES)
    last["added"] = [*last.get("added", []), {key: about[key] for key in publish.OF_A_RUN}]
    write(stem, last, sorted([*kept, *rows], key=lambda row: order.index(row.only)))
    publish.draw(stem.with_suffix(".json"), stem.with_suffix(".svg"))


def write(stem: Path, about: dict[str, object], rows: list[Row]) -> None:
    stem.with_suffix(".md").write_text(publish.page(about, rows))
    stem.with_suffix(".json").write_text(
        json.dumps({**about, "rows": [row.to_json() for row in rows]}, indent=1, default=str) + "\n"
    )


def describe_machine(options: argparse.Namespace) -> dict[str, object]:
    return {
        "command": " ".join(["python", "benchmarks/run.py", *sys.argv[1:]]),
        "quick": options.quick,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "load_average_before": round(os.getloadavg()[0], 2),
    }


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
