"""The kernel's own limits, and mounts: each in a namespace of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "namespaced.py"
NAMESPACE = ("unshare", "-Urm")
CASES = ("few_watches", "no_instance", "unmounted", "mounted_over", "mounted_elsewhere", "overlaid")


def can_have_namespaces():
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_have_namespaces(), reason="this machine allows no namespaces of users")
@pytest.mark.parametrize("case", CASES)
def test_in_a_namespace(case, tmp_path):
    process = subprocess.run(
        [*NAMESPACE, sys.executable, str(SCRIPT), case, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if "wrong fs type" in process.stderr or "permission denied" in process.stderr.lower():
        pytest.skip(f"this machine can't mount here: {process.stderr[-200:]}")
    assert process.stdout.endswith("as it should be\n"), process.stderr
