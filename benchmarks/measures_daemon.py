"""The daemon over a quiet folder: a save until it is found, an edit, a burst, idling, and thin commands."""

import itertools
import time
from pathlib import Path

import corpora
from harness import Context, Row, make_project, median, reindex, shown, spread
from measures import LARGE_BYTES, Corpus, above_bare_python
from measures_edits import counted
from running import Daemon, daemon, percentile, wait_for, with_daemon

BURST = 40


def save(context: Context, corpus: Corpus) -> list[Row]:
    """A small file is written into a folder of a thousand; until a search finds it."""
    with daemon(_project(context, corpus)) as running:
        docs = running.config.parent / "docs"
        found = [_saved(running, docs, number) for number in range(2 + context.times(40, 5))][2:]
        passes = running.passes()
    what = "save of a small file to found by `/v1/search`"
    note = (
        f"{len(list(docs.rglob('*.*')))} documents, the real model, loaded; asked by words every 5 ms,"
        " 0.3 s of rest after each"
    )
    return [
        Row(
            f"{what}, p50",
            f"{median(found):.3f} s",
            figure=median(found),
            unit=" s",
            limit=0.15,
            spread=spread(found),
            note=note,
            detail={"seconds": found, "passes": passes},
        ),
        Row(
            f"{what}, p95",
            f"{percentile(found, 0.95):.3f} s",
            figure=percentile(found, 0.95),
            unit=" s",
            limit=0.25,
            spread=spread(found),
        ),
    ]


def _saved(running: Daemon, docs: Path, number: int) -> float:
    path = f"saved-{number}.md"
    (docs / path).write_text(f"# Saved\n\nThis one tells of savedword{number} and of little else.\n")
    took = wait_for(lambda: running.finds(f"savedword{number}", path))
    wait_for(lambda: running.is_quiet)
    time.sleep(0.3)
    return took


def edit(context: Context, corpus: Corpus) -> list[Row]:
    """One line at the top of a large document."""
    config = _project(context, corpus)
    path = config.parent / "docs" / "large.md"
    text = corpora.large_markdown(corpus.prose(), LARGE_BYTES)
    path.write_text(text, encoding="utf-8")
    seconds, steps = [], []
    with daemon(config) as running:
        for number in range(1 + context.times(8, 3)):
            running.passes()
            path.write_text(f"Inserted line, of insertedword{number}.\n{text}", encoding="utf-8")
            seconds.append(wait_for(lambda n=number: running.finds(f"insertedword{n}", "large.md")))
            wait_for(lambda: running.is_quiet)
            (step,) = [each for each in running.passes() if each["documents"]]
            steps.append(step | {"versions": step["commits"]})
            time.sleep(0.3)
    seconds, steps = seconds[1:], steps[1:]  # the first loads the model, and counts tokens
    what = f"in the daemon, one line at the top of {len(text.encode()) / 1000:.0f} KB of Markdown"
    return [
        counted(f"{what}: chunks embedded", steps, "embedded", 1),
        counted(f"{what}: rows written", steps, "rows", 3),
        counted(f"{what}: Lance commits", steps, "commits", 2),
        Row(
            f"{what}: from the save to found, p50",
            f"{median(seconds):.3f} s",
            figure=median(seconds),
            unit=" s",
            limit=0.35,
            spread=spread(seconds),
            note="with the quiet time of 50 ms that a saved file has to have; the real model, loaded",
            detail={"seconds": seconds, "steps": steps},
        ),
    ]


def burst(context: Context, corpus: Corpus) -> list[Row]:
    """Forty new files at once."""
    seconds, calls, published = [], [], []
    with daemon(_project(context, corpus)) as running:
        docs = running.config.parent / "docs"
        _saved(running, docs, 10_000)
        for number in range(context.times(5, 2)):
            running.passes()
            started = time.perf_counter()
            for file in range(BURST):
                text = f"# Of a burst\n\nFile {file} of burst {number}, with burstword{number}x{file}.\n"
                (docs / f"burst-{number}-{file}.md").write_text(text)
            seconds.append(wait_for(lambda n=number: _all_found(running, n), started, every_s=0.02))
            wait_for(lambda: running.is_quiet)
            passes = [each for each in running.passes() if each["documents"]]
            calls.append(sum(len(each["calls"]) for each in passes))
            published.append(len({each["version"] for each in passes}))
    what = f"{BURST} new files at once"
    detail = {"seconds": seconds, "calls": calls, "published": published}
    return [
        Row(f"{what}: encode calls", str(max(calls)), figure=max(calls), limit=2, spread=spread(calls)),
        Row(
            f"{what}: publishes",
            str(max(published)),
            figure=max(published),
            limit=2,
            spread=spread(published),
        ),
        Row(
            f"{what}: until all are found",
            f"{median(seconds):.2f} s",
            figure=median(seconds),
            unit=" s",
            limit=3,
            spread=spread(seconds),
            note="the real model, loaded",
            detail=detail,
        ),
    ]


def _all_found(running: Daemon, burst: int) -> bool:
    files = reversed(range(BURST))  # the last is the likeliest to be missing
    return all(running.finds(f"burstword{burst}x{file}", f"burst-{burst}-{file}.md") for file in files)


def idle(context: Context, corpus: Corpus) -> list[Row]:
    """A daemon that nobody asks anything: its CPU and its memory; its memory after searches."""
    seconds = 5 if context.quick else 60
    config = _project(context, corpus)
    with daemon(config):
        pass  # what there was to do is done: a start of every day comes next
    with daemon(config) as running:
        wait_for(lambda: running.is_quiet)
        time.sleep(2)
        before, started = running.cpu_s(), time.perf_counter()
        time.sleep(seconds)
        share = 100 * (running.cpu_s() - before) / (time.perf_counter() - started)
        fresh = running.memory_mb()
        running.reconnect()  # the daemon has closed a connection that was silent for so long
        for number in range(200):
            running.search(f"the note with the number {number}")
        time.sleep(2)
        used = running.memory_mb()
    return [
        Row(
            f"idle daemon, {seconds} s: CPU",
            f"{share:.3f} %",
            figure=share,
            unit=" %",
            limit=0.1,
            spread="(once)",
            note="CPU time is counted in hundredths of a second",
        ),
        _memory("resident memory of the daemon without the model, before the first search", fresh, 150),
        _memory("the same after 200 searches by words, less clean pages of files", used, 150, "own_mb"),
    ]


def _memory(name: str, found: dict[str, float], limit: int, key: str = "rss_mb") -> Row:
    note = f"{shown(found['own_mb'])} MB of its own, {shown(found['files_mb'])} MB clean pages of files"
    return Row(name, f"{found[key]:.0f} MB", "", found[key], " MB", limit, "(once)", note, dict(found))


def thin(context: Context, corpus: Corpus) -> list[Row]:
    """Commands that go through the daemon."""
    config = _project(context, corpus)
    at = ["--config", str(config)]
    with daemon(config) as running:
        running.search("the note with the number 77", "hybrid")
        query = [reindex(), "query", "the note with the number 77", *at]
        status = [reindex(), "status", *at]
        return [
            above_bare_python("`reindex query` through the daemon, CPU", query, context, 0.3),
            above_bare_python("`reindex status` through the daemon, CPU", status, context, 0.3),
        ]


def _project(context: Context, corpus: Corpus) -> Path:
    """A folder of about a thousand documents of prose and notes, made and indexed once."""
    folder = context.work / "daemon"
    config = folder / "config.toml"
    if not config.exists():
        with_daemon(make_project(folder))
        count = 100 if context.quick else 1000
        of_prose = list(itertools.islice(sorted(corpus.prose().glob("*.md")), count // 20))
        corpora.write_small_files(folder / "docs", count - len(of_prose))
        for path in of_prose:
            (folder / "docs" / path.name).write_bytes(path.read_bytes())
        with daemon(config):
            pass
    return config
