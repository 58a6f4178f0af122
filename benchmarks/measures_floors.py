"""Measurements of one store or one part against the same work bare."""

from collections.abc import Sequence

from harness import Context, Row, median, ratios, run_child, shown, spread
from measures import Corpus


def merge(context: Context, corpus: Corpus) -> list[Row]:
    """An apply of ours against LanceDB's bare merge_insert of the same rows."""
    del corpus
    size = 2_000 if context.quick else 10_000
    found = run_child("merge", rows=size, repeats=context.times(7, 5), window=2000)
    inside = f"into {size:,} chunks, over bare merge_insert of the same rows, CPU"
    return [
        _ratio(f"upsert of a document of 10 chunks {inside}", found["upsert"], found["bare_upsert"]),
        _ratio(
            f"window of {found['window_chunks']:,} new chunks {inside}", found["window"], found["bare_window"]
        ),
    ]


def sqlite(context: Context, corpus: Corpus) -> list[Row]:
    """Our ledger and cache against bare executemany of the same rows in one transaction."""
    del corpus
    found = run_child("sqlite", repeats=context.times(9, 5), documents=200, vectors=2000)
    bare = "over bare SQLite, CPU"
    return [
        _ratio(
            f"ledger: recording {found['documents']} documents {bare}", found["record"], found["bare_record"]
        ),
        _ratio(f"cache: filing {found['vectors']:,} vectors {bare}", found["put"], found["bare_put"]),
        _ratio(f"cache: reading {found['vectors']:,} vectors {bare}", found["get"], found["bare_get"]),
    ]


def _ratio(name: str, ours: Sequence[dict], bare: Sequence[dict]) -> Row:
    found = ratios(ours, bare, "cpu_s")
    return Row(
        name,
        f"{1000 * median([o['cpu_s'] for o in ours]):.1f} ms",
        f"{1000 * median([b['cpu_s'] for b in bare]):.1f} ms",
        median(found),
        " x",
        None,
        spread(found),
        f"wall ratio {shown(median(ratios(ours, bare, 'seconds')))}",
        {"ours": ours, "bare": bare},
    )


def replay(context: Context, corpus: Corpus) -> list[Row]:
    """A real edit history: tokens in new chunks over tokens of the changed lines."""
    del corpus
    name = "replay of an edit history: tokens embedded over tokens of the changed lines"
    if not context.history.exists():
        return [Row(name, note=f"skipped: there is no {context.history}")]
    if context.quick:
        return [Row(name, note="skipped by --quick")]
    found = run_child("replayed", history=context.history, max_tokens=254)
    chunkers = found["chunkers"]
    ours = chunkers["reindex"]
    others = "; ".join(
        f"{other} {of['over_lines']:.2f} at {of['mean']:.0f}"
        for other, of in chunkers.items()
        if other != "reindex"
    )
    return [
        Row(
            f"{name} ({found['revisions']:,} revisions, {ours['mean']:.0f} tokens a chunk)",
            f"{ours['over_lines']:.2f}",
            f"{chunkers['fixed windows of words']['over_lines']:.2f}",
            ours["over_lines"],
            " x",
            2.3,
            "(exact)",
            f"floor: fixed windows. Others, with their tokens a chunk: {others}",
            found,
        )
    ]
