"""A rebuild with every vector cached: its cost, its disk, the switch, and searching beside it."""

from pathlib import Path

from harness import HERE, Context, Row, median, ratios, shown, spread
from measures import Corpus
from scale import child, make_config

CHILD = HERE / "child_rebuild.py"


def rebuild(context: Context, corpus: Corpus) -> list[Row]:
    """All rows of one index, made once."""
    del corpus
    chunks = 6_000 if context.quick else 100_000
    config = make_config(context.work / "rebuild")
    if context.quick:  # so small an index is searched without a vector index, unless it is asked for
        config.write_text(config.read_text() + "\n[index]\nvector_index_min_rows = 5000\n")
    _child("load", config=config, documents=chunks // 10)
    size = f"{chunks:,} chunks"
    rows = [*_cost(context, config, size), _switch(context, config, size), _recall(config, size)]
    return [*rows, _beside(config, size)]


def _cost(context: Context, config: Path, size: str) -> list[Row]:
    whole = _child("rebuilt", config=config)  # first, because later ones begin with two tables on the disk
    ours, bare = [], []
    for _ in range(context.times(5, 2)):
        bare.append(_child("bare", config=config))
        ours.append(_child("from_cache", config=config))
    found = ratios(ours, bare, "wall_s")
    rate = whole["chunks"] / whole["wall_s"]
    return [
        Row(
            f"rebuild of {size} from cache to table over bare create_table and create_index, wall",
            f"{median([each['wall_s'] for each in ours]):.1f} s",
            f"{median([each['wall_s'] for each in bare]):.1f} s",
            median(found),
            " x",
            1.3,
            spread(found),
            f"CPU ratio {shown(median(ratios(ours, bare, 'cpu_s')))}; without parsing and the gate; with them"
            f" {shown(rate)} chunks a second",
            {"ours": ours, "bare": bare, "whole": whole},
        ),
        Row(
            f"disk at the peak of a rebuild of {size}, over the data directory before",
            f"{whole['disk_peak'] / 1e6:.0f} MB",
            f"{whole['disk_before'] / 1e6:.0f} MB",
            whole["disk_peak"] / whole["disk_before"],
            " x",
            2.2,
            "(once)",
            "looked at twenty times a second",
        ),
    ]


def _switch(context: Context, config: Path, size: str) -> Row:
    found = _child("switched", config=config, times=context.times(5, 2))
    return Row(
        f"switch to the first answer of an open reader, {size}",
        f"{median(found['from_switch_ms']):.1f} ms",
        f"{median(found['warm_ms']):.1f} ms",
        median(found["from_switch_ms"]),
        " ms",
        50,
        spread(found["from_switch_ms"]),
        "floor: a warm answer. Hybrid, with the query's vector",
        found,
    )


def _recall(config: Path, size: str) -> Row:
    found = _child("recall", config=config)
    latencies = sorted(found["latencies_ms"])
    return Row(
        f"recall@10 of the vector index against exact, {size}",
        f"{found['recall']:.4f}",
        figure=found["recall"],
        spread="(exact)",
        note=f"at least 0.99 is wanted; p50 {shown(median(latencies))} ms, p95 {shown(_p95(latencies))} ms",
        detail=found,
    )


def _beside(config: Path, size: str) -> Row:
    found = _child("beside", config=config)
    idle, busy = _p95(found["idle_ms"]), _p95(found["busy_ms"])
    return Row(
        f"search p95 while a rebuild of {size} runs, over idle",
        f"{busy:.1f} ms",
        f"{idle:.1f} ms",
        busy / idle,
        " x",
        3.0,
        "(once)",
        f"{len(found['busy_ms'])} searches beside it; the command lowers its own priority (nice 5)",
        {"idle_p50_ms": median(found["idle_ms"]), "busy_p50_ms": median(found["busy_ms"])},
    )


def _p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def _child(task: str, **arguments: object) -> dict:
    return child(task, CHILD, **arguments)
