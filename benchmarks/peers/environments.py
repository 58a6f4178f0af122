"""An environment for each peer below `benchmarks/.envs`, made when it is first needed.

A peer that can't be installed is a reason, never an exception: its rows say it.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
ENVIRONMENTS = BENCHMARKS / ".envs"
TORCH = "torch==2.13.0"  # first and alone: any other request for it may fetch gigabytes of GPU libraries
_LIMIT_S = 1200


@dataclass(frozen=True)
class Environment:
    """`python` is None when there is none, and `reason` says why. `took_s` is what making it took, once."""

    name: str
    python: Path | None
    took_s: float = 0.0
    reason: str = ""


def environment(requirements: Path, *, with_torch: bool) -> Environment:
    """The environment with exactly these requirements, made anew when they changed."""
    name = requirements.stem
    folder = ENVIRONMENTS / name
    wanted = {"digest": _digest(requirements), "python": sys.version.split()[0]}
    made = _made(folder)
    if all(made.get(key) == value for key, value in wanted.items()):
        return Environment(name, folder / "bin" / "python", made["took_s"])
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    try:
        _install(folder, requirements, with_torch=with_torch)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        return Environment(name, None, time.monotonic() - started, _said(error))
    took_s = round(time.monotonic() - started, 1)
    (folder / "made.json").write_text(json.dumps(wanted | {"took_s": took_s}))
    return Environment(name, folder / "bin" / "python", took_s)


def _install(folder: Path, requirements: Path, *, with_torch: bool) -> None:
    """Wheels come from pip's cache when another environment has fetched them before."""
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if with_torch:
        _run([*pip, TORCH])
    _run([*pip, "--requirement", str(requirements), *([TORCH] if with_torch else [])])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=_LIMIT_S)


def _said(error: Exception) -> str:
    """The last line of what pip said."""
    said = getattr(error, "stderr", None) or str(error)
    return (said if isinstance(said, str) else said.decode()).strip().splitlines()[-1][:300]


def _made(folder: Path) -> dict:
    try:
        return json.loads((folder / "made.json").read_text())
    except (OSError, ValueError):
        return {}


def _digest(requirements: Path) -> str:
    return hashlib.sha256(requirements.read_bytes()).hexdigest()
