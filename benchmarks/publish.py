"""What a run is shown as: a page of tables, a plot, and the README's part between its two marks."""

import json
import subprocess
import sys
from pathlib import Path

from harness import HERE, PEERS, Cell, Row, markdown, progress, table
from peers.environments import environment

PLOT = Path("benchmarks") / "figures.svg"  # what the README shows
BEGIN, END = "<!-- figures: written by `make bench-publish` -->", "<!-- end of figures -->"
OF_A_RUN = ("command", "at", "took_s", "load_average_before", "load_average_after")
_COLUMNS = ("figure of", "reindex", "bare", "figure", "aim", "spread", "met", "`--only`")


def page(about: dict, rows: list[Row]) -> str:
    notes = "".join(f"- {row.name}: {row.note}\n" for row in rows if row.note)
    return f"""\
{machine(about)}

{markdown(rows)}

One row again: `python benchmarks/run.py --only NAME`, with `--quick` if this was.

{notes}"""


def machine(about: dict) -> str:
    listed = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    runs = "\n".join(_run(run) for run in (about, *about.get("added", [])))
    return f"{runs}\n{about['processor']}, {about['cores']} cores; Python {about['python']}, {listed}."


def _run(run: dict) -> str:
    return (
        f"`{run['command']}` on {run['at']}: {run['took_s']} s, load average {run['load_average_before']}"
        f" before and {run['load_average_after']} after."
    )


def draw(results: Path, target: Path) -> bool:
    """The plot of a run, by matplotlib in an environment of its own. Says why when there is none."""
    drawer = environment(HERE / "plot.txt", with_torch=False)
    if drawer.python is None:
        progress(f"no plot: {drawer.reason}")
        return False
    done = subprocess.run(
        [str(drawer.python), str(HERE / "plot.py"), str(results), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        progress(f"no plot: {done.stderr[-1000:]}")
    return done.returncode == 0


def read(results: Path) -> tuple[dict, list[Row]]:
    """What was written of a run: the machine, and its rows."""
    about = json.loads(results.read_text())
    return about, [_row(found) for found in about.pop("rows")]


def publish(results: Path, repository: Path) -> int:
    """The last full run into README.md and its plot beside it: nobody edits figures by hand."""
    if not results.exists():
        print("there is no full run yet: `make bench` first", file=sys.stderr)
        return 1
    about, rows = read(results)
    readme = repository / "README.md"
    before, mark, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        print(f"README.md has no {BEGIN} and {END}", file=sys.stderr)
        return 1
    if not draw(results, repository / PLOT):
        return 1
    readme.write_text(f"{before}{BEGIN}\n{_figures(about, rows)}{END}{after}")
    return 0


def _figures(about: dict, rows: list[Row]) -> str:
    alone = [row.cells() for row in rows if not row.peers]
    beside = [row.peer_cells() for row in rows if row.peers]
    columns = ("the same documents", "reindex", *PEERS, "`--only`")
    peers = f"\n{table(columns, beside)}\n" if beside else ""
    return f"""\
{machine(about)}

![figures beside floors and peers]({PLOT.as_posix()})

{table(_COLUMNS, alone)}
{peers}"""


def _row(found: dict) -> Row:
    peers = {name: Cell(**cell) for name, cell in found["peers"].items()}
    return Row(**{key: value for key, value in found.items() if key not in {"met", "peers"}}, peers=peers)
