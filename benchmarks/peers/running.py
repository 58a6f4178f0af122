"""Running peers: which there are, a task of one in a fresh process, and cells of those that broke."""

import json
import signal
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from harness import PEERS as NAMES
from harness import Cell, clean, progress
from peers.environments import Environment, environment

__all__ = ["NAMES", "Turns", "command", "installed", "run_peer"]
_HERE = Path(__file__).resolve().parent
_LIMIT_S = 900


@cache
def installed(name: str) -> Environment:
    """Made on first use."""
    progress(f"  the environment of {name} ...")
    return environment(_HERE / f"{name.lower()}.txt", with_torch=True)


def command(name: str, task: str, arguments: dict[str, object]) -> list[str]:
    script = _HERE / f"{name.lower()}_peer.py"
    return [str(installed(name).python), str(script), task, json.dumps(arguments, default=str)]


def run_peer(name: str, task: str, threads: int = 1, *, dies: bool = False, **arguments: object) -> dict:
    """One task in a fresh process; the object that it prints last. `dies`: it is to kill itself.

    Raises RuntimeError when it fails, and when it takes longer than a quarter of an hour.
    """
    environment_of = clean() | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    try:
        done = subprocess.run(
            command(name, task, arguments),
            capture_output=True,
            text=True,
            env=environment_of,
            check=False,
            timeout=_LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{task}: not done after {_LIMIT_S} s") from error
    if dies and done.returncode == -signal.SIGKILL:
        return {}
    if done.returncode != 0 or dies:
        said = (done.stderr.strip().splitlines() or [""])[-1]
        raise RuntimeError(f"{task}: exit {done.returncode} {said[:200]}")
    return json.loads(done.stdout.splitlines()[-1])


class Turns:
    """What each peer came to. One that is not there, or that failed, is left alone from then on."""

    def __init__(self) -> None:
        self.found: dict[str, list[dict]] = {name: [] for name in NAMES}
        self._broken: dict[str, str] = {}

    def take(self, name: str, measure: Callable[[], dict]) -> None:
        if name in self._broken:
            return
        if installed(name).python is None:
            self._broken[name] = f"not installed: {installed(name).reason}"
            return
        try:
            self.found[name].append(measure())
        except (RuntimeError, AssertionError, OSError, ValueError, KeyError) as error:
            self._broken[name] = f"failed: {error}"
        if name in self._broken:
            progress(f"  {name} {self._broken[name]}")

    def cells(self, cell: Callable[[list[dict]], Cell]) -> dict[str, Cell]:
        return {name: self._cell(name, cell) for name in NAMES}

    def _cell(self, name: str, cell: Callable[[list[dict]], Cell]) -> Cell:
        broken = self._broken.get(name)
        return Cell(broken[:120]) if broken else cell(self.found[name])
