"""What every measurement shares: rows and how they are shown, child processes and their CPU time.

Nothing here or in `run.py` imports reindex or numpy: what is measured runs in fresh children.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHILD = HERE / "child.py"
COLUMNS = ("figure of", "ours", "floor", "figure", "target", "spread", "met", "--only")
PEERS = ("LangChain", "LlamaIndex", "CocoIndex")
PEER_COLUMNS = ("figure of", "reindex", *PEERS, "--only")


@dataclass(frozen=True)
class Context:
    """What a measurement may use. `work` is a scratch folder of its own, `results` stays."""

    quick: bool
    work: Path
    results: Path
    corpus: Path | None
    cranfield: Path
    history: Path
    repeats: int | None
    threads: int

    def times(self, full: int, quick: int) -> int:
        return self.repeats or (quick if self.quick else full)


@dataclass(frozen=True)
class Cell:
    """What a peer came to: as it is shown, and as a number for the plot."""

    shown: str
    figure: float | None = None


@dataclass
class Row:
    """One line of a table. `figure` is to be at most `limit`; None for either: nothing to meet.

    With `peers`, a line of the second table: `ours` and each peer's cell, side by side.
    """

    name: str
    ours: str = ""
    floor: str = ""
    figure: float | None = None
    unit: str = ""
    limit: float | None = None
    spread: str = ""
    note: str = ""
    detail: dict[str, object] = field(default_factory=dict)
    only: str = ""
    peers: dict[str, Cell] = field(default_factory=dict)

    @property
    def met(self) -> str:
        if self.figure is None or self.limit is None:
            return "-"
        return "yes" if self.figure <= self.limit else "NO"

    def cells(self) -> tuple[str, ...]:
        figure = "-" if self.figure is None else f"{shown(self.figure)}{self.unit}"
        target = "-" if self.limit is None else f"<= {shown(self.limit)}{self.unit}"
        return (
            self.name,
            self.ours or "-",
            self.floor or "-",
            figure,
            target,
            self.spread or "-",
            self.met,
            self.only,
        )

    def peer_cells(self) -> tuple[str, ...]:
        found = (self.peers.get(name, Cell("-")).shown for name in PEERS)
        return (self.name, self.ours or "-", *found, self.only)

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"met": self.met}


def shown(value: float) -> str:
    """A number with the digits that matter."""
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.01 else f"{value:.4f}"


def spread(values: Sequence[float]) -> str:
    """Least and greatest of the repeats, and how many there were."""
    return f"{shown(min(values))}..{shown(max(values))} (n={len(values)})"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def measured(values: Sequence[float], unit: str = "") -> Cell:
    """A median with its spread, as a peer's cell."""
    middle = median(values)
    same = min(values) == max(values)
    around = f"n={len(values)}" if same else f"{shown(min(values))}..{shown(max(values))}, n={len(values)}"
    return Cell(f"{shown(middle)}{unit} ({around})", middle)


def markdown(rows: Sequence[Row]) -> str:
    """Two tables: against floors and targets, and against peers."""
    alone = [row.cells() for row in rows if not row.peers]
    beside = [row.peer_cells() for row in rows if row.peers]
    tables = [(COLUMNS, alone), (PEER_COLUMNS, beside)]
    return "\n\n".join(table(columns, cells) for columns, cells in tables if cells)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def run_child(task: str, **arguments: object) -> dict:
    """Run one task of child.py in a fresh process and return the object that it prints last."""
    given = json.dumps(arguments, default=str)
    threads = arguments.get("threads")
    environment = clean() | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    done = subprocess.run(
        [sys.executable, str(CHILD), task, given],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"child {task} exited with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def clean() -> dict[str, str]:
    """The environment without settings of reindex, with nothing fetched from a hub, and with compiled modules
    on all sides.
    """
    left_out = ("REINDEX_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(left_out)}
    return kept | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def cpu_of(command: Sequence[str], cwd: Path) -> float:
    """User and system CPU seconds of one process and what it waited for. Raises if it fails."""
    process = subprocess.Popen(
        command, cwd=cwd, env=clean(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    stderr = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited with {process.returncode}: {stderr.decode()[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def interleaved(times: int, *measure: Callable[[], float]) -> list[list[float]]:
    """Each measurement `times` times, taking turns, so that a busy minute hits all alike."""
    found: list[list[float]] = [[] for _ in measure]
    for _ in range(times):
        for values, once in zip(found, measure, strict=True):
            values.append(once())
    return found


def bare_python() -> list[str]:
    return [sys.executable, "-c", "pass"]


def ratios(ours: Sequence[dict], floor: Sequence[dict], key: str) -> list[float]:
    """Of each repeat, ours over its own floor."""
    return [mine[key] / under[key] for mine, under in zip(ours, floor, strict=True)]


def reindex() -> str:
    """The command of the same environment."""
    return str(Path(sys.executable).with_name("reindex"))


def make_project(folder: Path) -> Path:
    """A folder with a config.toml of defaults over its `docs`; returns the config's path."""
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    config = folder / "config.toml"
    config.write_text('data_dir = ".reindex"\n\n[[sources]]\nname = "docs"\npath = "docs"\n')
    return config


def progress(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
