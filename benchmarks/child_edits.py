"""Tasks about one large document that is edited, moved and copied, and about a first load that is killed."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from indexing import Project, cpu_s
from reindex.stores.manifests import versions_on_disk


def edits(config: str, large: str, repeats: int) -> dict:
    """What each kind of change to `large` costs: loaded by hashes, edited with the real, warm lane."""
    project = Project(config)
    path = project.docs / large
    original = path.read_bytes()
    project.use_hashes()
    loaded = project.sync()
    project.use(project.real_lane())
    steps = Steps(project)
    for number in range(repeats):
        steps.take("insert", lambda n=number: path.write_bytes(b"Inserted line %d.\n" % n + original))
        steps.take("revert", lambda: path.write_bytes(original))
    moved, copied = path.with_name("moved.md"), path.with_name("copied.md")
    steps.take("touch", lambda: os.utime(path))
    steps.take("rename", lambda: path.rename(moved))
    steps.take("copy", lambda: shutil.copyfile(moved, copied))
    steps.take("delete", moved.unlink)
    return {"chunks": loaded.chunks.total, "bytes": len(original), "steps": steps.found}


class Steps:
    """Changes one after the other, each followed by a pass, with what the pass did and took."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self.found: dict[str, list[dict]] = {}

    def take(self, name: str, change: Callable[[], object]) -> None:
        change()
        versions_before = self._version()
        wall, started = time.perf_counter(), cpu_s()
        report = self._project.sync()
        self.found.setdefault(name, []).append(
            {
                "seconds": time.perf_counter() - wall,
                "cpu_s": cpu_s() - started,
                "embedded": report.chunks.embedded,
                "rows": report.chunks.rows_written,
                "deleted": report.chunks.deleted,
                "commits": report.commits,
                "versions": self._version() - versions_before,
            }
        )

    def _version(self) -> int:
        """LanceDB's own count of commits, to compare with the report's."""
        data_dir = self._project.app.data_dir
        with self._project.app.ledger() as ledger:
            assert ledger is not None, "loaded before"
            table = ledger.generations.all()[-1].table
        return versions_on_disk(data_dir, table)[-1]


def first_load(config: str, data_dir: str, log: str, kill_at: int | None) -> dict:
    """A first load by hashes that logs each batch and, at batch `kill_at`, kills itself."""
    project = Project(config, data_dir)
    project.use_hashes(Path(log), kill_at)
    report = project.sync()
    return {"chunks": report.chunks.total, "embedded": report.chunks.embedded}
