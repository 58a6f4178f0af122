"""What is slow to import is imported by what needs it: the rest of a command's time is its own."""

import json
import subprocess
import sys

import pytest

from processes import LIMIT_S

HEAVY = ["lancedb", "numpy", "openai", "onnxruntime", "pyarrow", "pydantic_core", "tokenizers", "torch"]
CODE = (
    "import atexit, json, sys\n"
    "from reindex.cli.main import main\n"
    f"found = lambda: [name for name in {HEAVY} if name in sys.modules]\n"
    "atexit.register(lambda: print('modules', json.dumps(found()), file=sys.stderr))\n"
    "main()\n"
)


@pytest.mark.parametrize("command", [["sync"], ["status"], ["plan"], ["jobs", "list"]], ids=" ".join)
def test_a_command_that_has_nothing_to_do_imports_nothing_for_it(tmp_path, command):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\nlanterns\n")
    (tmp_path / "config.toml").write_text('[[sources]]\nname = "docs"\npath = "docs"\n')
    assert _run(tmp_path, "sync")[0] == 0
    code, imported = _run(tmp_path, *command)
    assert (code, imported) == (0, [])


def _run(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    marked = [line for line in done.stderr.splitlines() if line.startswith("modules ")]
    return done.returncode, json.loads(marked[-1].removeprefix("modules "))
