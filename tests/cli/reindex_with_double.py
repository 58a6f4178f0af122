"""The real command line with a model that is none (`logging_model`), so that a run takes no ten seconds of
imports. $MODEL_PROCESS: the daemon has it in processes of its own, as it has a real one.

$WEDGED_AFTER_S is after how long without progress the daemon is taken for stuck. $CLOCK_AHEAD names a file:
by so many seconds is the wall clock ahead. $BUSY_TIMEOUT_S is how long a locked database is waited for.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from logging_model import LoggingModel
from reindex.app import App
from reindex.cli.main import main
from reindex.clock import SystemClock
from reindex.daemon import condition
from reindex.embedders import beside
from reindex.stores import sqlite, sqlite_reading


def ahead_s():
    try:
        return float(Path(os.environ["CLOCK_AHEAD"]).read_text())
    except FileNotFoundError:
        return 0.0


beside.WORKER = "logging_worker"
if "MODEL_PROCESS" not in os.environ or "run" not in sys.argv:
    App.embedder = lambda self, recipe, *_: LoggingModel(recipe.space.dimensions)
if "WEDGED_AFTER_S" in os.environ:
    condition.WEDGED_AFTER_S = float(os.environ["WEDGED_AFTER_S"])
if "BUSY_TIMEOUT_S" in os.environ:
    sqlite.BUSY_TIMEOUT_S = sqlite_reading.BUSY_TIMEOUT_S = float(os.environ["BUSY_TIMEOUT_S"])
if "CLOCK_AHEAD" in os.environ:
    SystemClock.now = lambda _: time.time() + ahead_s()
    SystemClock.now_ns = lambda _: time.time_ns() + int(1e9 * ahead_s())
if __name__ == "__main__":
    main()
