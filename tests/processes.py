"""The command line as a process: by its real entry point, with a real model only where a test says so."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

LIMIT_S = 180.0  # of a wait: generous, because a slow machine is no failure
DOUBLE = Path(__file__).parent / "cli" / "reindex_with_double.py"
NOT_UTF8 = os.fsdecode(b"caf\xe9.md")
ODD_NAMES = (NOT_UTF8, 'say "hi".md', "two\nlines.md", "back\\slash $HOME 'q'.md", "日本語.md", " spaced .md")

CONFIG = """
[[sources]]
name = "docs"
path = "docs"

[chunking]
max_tokens = 32

[embedding]
window_chunks = 6
batch_tokens = 64
"""


def wait_until(is_so, what):
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited {LIMIT_S:.0f} s for {what}"
        time.sleep(0.001)


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self):
        """stdout is one JSON object and nothing else."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@dataclass
class Place:
    """A folder with config.toml and docs/, in which commands run."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, path, text):
        target = self.folder / "docs" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())

    def start(self, *arguments, real_model=False):
        command = [Path(sys.executable).parent / "reindex"] if real_model else [sys.executable, DOUBLE]
        return subprocess.Popen(
            [*command, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONWARNINGS": "", **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments, real_model=False, timeout_s=240):
        process = self.start(*arguments, real_model=real_model)
        try:
            out, err = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
        assert b"Traceback" not in err, err.decode(errors="replace")
        return Answer(
            process.returncode, out.decode("ascii" if "--json" in arguments else "utf-8"), err.decode()
        )
