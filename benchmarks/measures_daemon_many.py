"""The daemon and very many files: made as fast as the machine can, there at its start, on another branch."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from harness import Context, Row, clean, make_project, median, reindex, run_child, shown, spread
from measures import Corpus
from running import Daemon, daemon, wait_for, with_daemon

TEXT = "The same few words in every file.\n"
FILES_A_FOLDER = 500


def many(context: Context, corpus: Corpus) -> list[Row]:
    """Files made as fast as possible; then as many again, and a start with all of them unchanged."""
    del corpus
    count = 2_000 if context.quick else 50_000
    config = with_daemon(make_project(context.work / "daemon-many"))
    docs = config.parent / "docs"
    (docs / "first.md").write_text(TEXT)
    times = context.times(5, 2)
    with_one = _starts(config, 1 + times)[1:]  # the first has a table to make
    with daemon(config) as running:
        row = _made(running, docs, count)
        _write(docs, range(count, 2 * count))
        wait_for(lambda: _documents(running) > 2 * count and running.is_quiet, every_s=0.5)
    starts = _starts(config, 1 + times)[1:]  # the first looks once more at files that were just written
    bare = run_child("scan", config=config, repeats=times)["bare_s"]
    above = [all_["cpu_s"] - one["cpu_s"] for all_, one in zip(starts, with_one, strict=True)]
    found = [mine / floor for mine, floor in zip(above, bare, strict=True)]
    walls = [median([each["wall_s"] for each in found]) for found in (starts, with_one)]
    shutil.rmtree(config.parent)
    return [
        row,
        Row(
            f"start with {2 * count:,} unchanged files, above one with one, over the bare scan, CPU",
            f"{median(above):.2f} s",
            f"{median(bare):.2f} s",
            median(found),
            " x",
            2,
            spread(found),
            f"until it is ready; bare: scandir and a stat of each. Wall: {shown(walls[0])} s, with one file"
            f" {shown(walls[1])} s",
            {"starts": starts, "with_one": with_one, "bare_s": bare},
        ),
    ]


def _made(running: Daemon, docs: Path, count: int) -> Row:
    cpu, started = running.cpu_s(), time.perf_counter()
    _write(docs, range(count))
    writing_s = time.perf_counter() - started
    took = wait_for(lambda: _documents(running) > count and running.is_quiet, started, every_s=0.5)
    used = running.cpu_s() - cpu
    overflows = running.get("/v1/status")["watching"]["overflows"]
    verified = _verify(running.config)
    wrong = verified["missing"] + verified["stale"] + verified["extra"]
    passes = [each for each in running.passes() if each["documents"]]
    return Row(
        f"{count:,} files created as fast as the machine can: documents missing, stale or extra",
        f"{wrong}",
        figure=wrong,
        limit=0,
        spread="(by `verify`)",
        note=f"written in {writing_s:.1f} s, all indexed {took:.1f} s after the first; {used:.1f} s of the"
        f" daemon's CPU; {overflows} overflows of the kernel's queue; {len(passes)} passes that wrote;"
        f" of one text, so that the model embeds {sum(each['embedded'] for each in passes)}",
        detail={"verify": verified, "seconds": took, "passes": passes},
    )


def _starts(config: Path, times: int) -> list[dict]:
    """Starts one after the other, with what each took until it was ready."""
    found = []
    for _ in range(times):
        time.sleep(2.2)  # files just written prove nothing by their stat
        with daemon(config) as running:
            found.append({"wall_s": running.ready_s, "cpu_s": running.ready_cpu_s})
            wait_for(lambda: running.is_quiet, every_s=0.1)
    return found


def checkout(context: Context, corpus: Corpus) -> list[Row]:
    """Two branches whose files all differ: from one to the other, and back."""
    del corpus
    count = 300 if context.quick else 5_000
    config = with_daemon(make_project(context.work / "daemon-checkout"))
    docs = config.parent / "docs"
    _git(docs, "init", "--quiet", "--initial-branch=one")
    _branch(docs, count, "one")
    _git(docs, "checkout", "--quiet", "-b", "two")
    _branch(docs, count, "two")
    with daemon(config) as running:
        _switch(running, docs, "one")  # now it has seen both
        running.passes()
        found = [_switch(running, docs, branch) for branch in ("two", "one")]
        passes = running.passes()
        verified = _verify(config)
    wrong = verified["missing"] + verified["stale"] + verified["extra"]
    embedded = sum(each["embedded"] for each in passes) + sum(sum(each["calls"]) for each in passes)
    return [
        Row(
            f"git checkout of {count:,} files and back: chunks embedded, and documents not as on disk",
            f"{embedded} and {wrong}",
            figure=embedded + wrong,
            limit=0,
            spread="(by `verify`)",
            note=f"indexed {' and '.join(f'{s:.1f} s' for s in found)} after the command began;"
            f" {sum(each['rows'] for each in passes):,} rows written in {len(passes)} passes",
            detail={"seconds": found, "passes": passes, "verify": verified},
        )
    ]


def _branch(docs: Path, count: int, name: str) -> None:
    for number in range(count):
        path = docs / f"part-{number // FILES_A_FOLDER:04d}" / f"{number:05d}.md"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# File {number % 500}\n\nIts text number {number % 500} on branch {name}.\n")
    _git(docs, "add", ".")
    _git(docs, "-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "--quiet", "-m", name)


def _switch(running: Daemon, docs: Path, branch: str) -> float:
    """Seconds until what the disk has is what is found: a word of the branch in the last file."""
    started = time.perf_counter()
    _git(docs, "checkout", "--quiet", branch)
    version = running.search("text number")["version"]
    wait_for(lambda: running.search("text number")["version"] > version or not running.is_quiet, started)
    return wait_for(lambda: running.is_quiet, started, every_s=0.05)


def _write(docs: Path, numbers: Iterable[int]) -> None:
    for number in numbers:
        folder = docs / f"many-{number // FILES_A_FOLDER:04d}"
        if number % FILES_A_FOLDER == 0:
            folder.mkdir()
        (folder / f"{number:06d}.md").write_text(TEXT)


def _documents(running: Daemon) -> int:
    return running.get("/v1/status")["documents"]["total"]


def _verify(config: Path) -> dict:
    done = subprocess.run(
        [reindex(), "verify", "--json", "--config", str(config)],
        capture_output=True,
        text=True,
        env=clean(),
        check=False,
    )
    if not done.stdout:
        raise RuntimeError(f"verify exited with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _git(docs: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(docs), *arguments], check=True, env=clean())
