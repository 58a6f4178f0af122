"""Where the time of a pass goes: acts of the product, timed from outside, each without those inside it.

CPU time is that of the whole process, because LanceDB works in threads of its own: where acts run beside each
other it is counted in each of them.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from unittest import mock

from reindex import app, passes, pipeline, recovery, syncing, writer
from reindex.preparing import Preparer
from reindex.stores.cache import VectorCache
from reindex.stores.index import GenerationTable
from reindex.stores.job_rows import JobRows
from reindex.stores.ledger import Ledger

ACTS: dict[str, list[tuple[Any, str]]] = {
    "open ledger": [(Ledger, "open")],
    "open cache": [(VectorCache, "open")],
    "recover": [(recovery, "recover")],
    "observe": [(syncing, "observe")],
    "find changes": [(passes, "find_changes")],
    "remember": [(passes, "remember")],
    "open table": [(GenerationTable, "open")],
    "check rows": [(writer.Writer, "check_rows")],
    "load tokenizer": [(app.App, "preparer")],
    "prepare": [(Preparer, "prepare")],
    "embed": [(pipeline, "embed_missing")],
    "cache": [(VectorCache, "get"), (VectorCache, "put"), (VectorCache, "touch")],
    "job": [(JobRows, "enqueue"), (JobRows, "add_spend")],
    "delete rows": [(GenerationTable, "_delete")],
    "append rows": [(GenerationTable, "_append")],
    "record": [(Ledger, "record")],
    "publish": [(writer.Writer, "publish")],
    "statistics": [(GenerationTable, "statistics")],
    "vector index": [(GenerationTable, "build_vector_index")],
    "optimise": [(GenerationTable, "optimise")],
    "prune": [(GenerationTable, "prune")],
    "upkeep": [(passes, "maintain")],
    "record files": [(writer.Writer, "record_files")],
    "complete": [(syncing, "complete")],
    "pipeline": [(pipeline.Pipeline, "run")],
}


class Parts:
    """While entered, sums the seconds of each act of this process. What is not on the list is "rest"."""

    def __init__(self) -> None:
        self._wall_s: dict[str, float] = defaultdict(float)
        self._cpu_s: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._local = threading.local()
        self._stack = ExitStack()
        self.wall_s = self.cpu_s = 0.0

    def __enter__(self) -> Self:
        for name, places in ACTS.items():
            for owner, attribute in places:
                if hasattr(owner, attribute):
                    timed = self._timed(owner, attribute, name)
                    self._stack.enter_context(mock.patch.object(owner, attribute, timed))
        self._started = _now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall_s, cpu_s = _now()
        self.wall_s, self.cpu_s = wall_s - self._started[0], cpu_s - self._started[1]
        self._stack.close()

    def to_json(self) -> dict[str, object]:
        """Seconds of the whole, and by act; those of an act inside another are not counted twice."""
        wall, cpu = dict(self._wall_s), dict(self._cpu_s)
        wall["rest"] = self.wall_s - sum(wall.values())
        cpu["rest"] = self.cpu_s - sum(cpu.values())
        return {"wall_s": self.wall_s, "cpu_s": self.cpu_s, "wall": wall, "cpu": cpu}

    def _timed(self, owner: Any, attribute: str, name: str) -> Any:
        plain = owner.__dict__[attribute]
        is_static = isinstance(plain, staticmethod)
        call: Callable[..., Any] = plain.__func__ if is_static else plain

        def timed(*arguments: Any, **options: Any) -> Any:
            outer = getattr(self._local, "inside", (0.0, 0.0))
            self._local.inside = (0.0, 0.0)
            started = _now()
            try:
                return call(*arguments, **options)
            finally:
                ended, inside = _now(), self._local.inside
                wall_s, cpu_s = ended[0] - started[0], ended[1] - started[1]
                with self._lock:
                    self._wall_s[name] += wall_s - inside[0]
                    self._cpu_s[name] += cpu_s - inside[1]
                self._local.inside = (outer[0] + wall_s, outer[1] + cpu_s)

        return staticmethod(timed) if is_static else timed


def _now() -> tuple[float, float]:
    """Wall and CPU seconds."""
    return time.perf_counter(), time.process_time()
