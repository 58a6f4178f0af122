"""Tasks about one large document that is edited, moved and copied, and about a first load that is killed."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from indexing import Project, cpu_s
from reindex.stores.manifests import versions_on_disk

DAY_S = 86_400


def edits(config: str, large: str, repeats: int, encoder: str = "model") -> dict:
    """What each kind of change to `large` costs: loaded by hashes; edited with the real, warm lane, or
    (`encoder` "hash") by hashes too.
    """
    project = Project(config)
    path = project.docs / large
    original = path.read_bytes()
    project.use_hashes()
    loaded = project.sync()
    if encoder == "model":
        project.use(project.real_lane())
    steps = Steps(project)
    with project.app.ledger() as ledger:
        assert ledger is not None, "loaded before"
        recorded = {name.path: held.chunks for name, held in ledger.documents.all(1).items()}
    for number in range(repeats):
        moved, copied = path.with_name(f"moved-{number}.md"), path.with_name(f"copied-{number}.md")
        line = b"Inserted line %d.\n" % number
        days_ago = time.time() - (number + 1) * DAY_S
        steps.take("insert", lambda p=path, line=line: p.write_bytes(line + original))
        steps.take("revert", lambda p=path: p.write_bytes(original))
        steps.take("touch", lambda p=path, then=days_ago: os.utime(p, (then, then)))
        steps.take("rename", lambda p=path, to=moved: p.rename(to))
        steps.take("copy", lambda p=moved, to=copied: shutil.copyfile(p, to))
        steps.take("delete", copied.unlink)
        path = moved
    return {
        "chunks": loaded.chunks.total,
        "large_chunks": recorded[large],
        "bytes": len(original),
        "steps": steps.found,
    }


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
