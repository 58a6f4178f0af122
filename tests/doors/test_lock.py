"""One writer, by a lock that dies with its process."""

import os
import signal
import subprocess
import sys

import pytest

from reindex.errors import LockedError, StoreError
from reindex.stores.lock import writer_lock

HOLDER = """
import sys, signal
from pathlib import Path
from reindex.stores.lock import writer_lock
with writer_lock(Path(sys.argv[1]), "sync", 1.0):
    print("held", flush=True)
    signal.pause()
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_writer_is_told_who_has_it(tmp_path, holder):
    with pytest.raises(LockedError, match=rf"process {holder.pid} \(reindex sync\)"):
        with writer_lock(tmp_path, "gc", 2.0):
            pass


def test_a_killed_holder_leaves_no_lock(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with writer_lock(tmp_path, "sync", 2.0):
        assert f'"pid": {os.getpid()}' in (tmp_path / "lock").read_text()


def test_a_folder_that_can_not_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="can't be written"):
        with writer_lock(tmp_path / "file" / "index", "sync", 1.0):
            pass
