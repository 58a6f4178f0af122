"""What a scan and a read say of files and folders that may not be read."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest

import reindex.sources.files as files_module

SOURCE_CODE = str(pathlib.Path(files_module.__file__).parents[2])


AS_NOBODY = """
import json, os, sys
from pathlib import Path
from reindex.sources.files import FileSource
root = Path(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
files = FileSource(name="docs", root=root, include=[], exclude=[], max_file_mb=1, data_dir=root / ".reindex",
                   known_suffixes=frozenset({".md"}))
def outcome(act, *arguments):
    try:
        return repr(act(*arguments))
    except OSError as error:
        return type(error).__name__
scan = files.scan()
print(json.dumps({
    "state": scan.root_state, "reason": scan.root_reason, "files": sorted(scan.files),
    "unreadable": sorted([p.path, p.is_directory, p.reason] for p in scan.unreadable),
    "read": outcome(files.read, "unreadable.md"), "stat": outcome(files.stat, "closed/a.md"),
    "explain": outcome(files.explain, "closed/a.md"),
}))
"""


def as_nobody(root):
    process = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(root)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE_CODE},
        timeout=30,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture
def public_folder():
    """Like tmp_path, but in a place where an unprivileged user may look."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="reindex-test-"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=True)
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_what_cannot_be_read_is_reported_and_nothing_else_suffers(public_folder):
    for path in ("good.md", "unreadable.md", "closed/a.md", "listed/a.md", "rules/a.md", "rules/.gitignore"):
        (public_folder / path).parent.mkdir(exist_ok=True)
        (public_folder / path).write_text("x")
    (public_folder / "unreadable.md").chmod(0)
    (public_folder / "rules" / ".gitignore").chmod(0)
    (public_folder / "closed").chmod(0)
    (public_folder / "listed").chmod(0o744)  # names can be listed, but nothing looked at
    seen = as_nobody(public_folder)
    assert (seen["state"], seen["files"]) == ("ok", ["good.md", "unreadable.md"])
    assert seen["unreadable"] == [
        ["closed", True, "Permission denied"],
        ["listed/a.md", False, "Permission denied"],
        ["rules", True, ".gitignore can't be read: Permission denied"],
    ]
    assert (seen["read"], seen["stat"], seen["explain"]) == ("PermissionError",) * 3
    (public_folder / "closed").chmod(0o755)
    assert "closed/a.md" in as_nobody(public_folder)["files"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become nobody")
def test_a_root_that_cannot_be_read(public_folder):
    public_folder.chmod(0)
    seen = as_nobody(public_folder)
    assert (seen["state"], seen["reason"], seen["files"]) == ("unreadable", "Permission denied", [])
    public_folder.chmod(0o755)
    (public_folder / ".gitignore").write_text("x")
    (public_folder / ".gitignore").chmod(0)
    seen = as_nobody(public_folder)
    assert (seen["state"], seen["files"]) == ("unreadable", [])
    assert ".gitignore can't be read" in seen["reason"]
