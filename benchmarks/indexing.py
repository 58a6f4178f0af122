"""Inside a child: an App over a project, and an embedder that stands in where no model is measured."""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reindex.app import App
from reindex.core.identity import Recipe
from reindex.embedders.catalog import ModelCatalog, recipe_for
from reindex.ports import Embedder
from reindex.preparing import Preparer
from reindex.report import PassReport
from reindex.settings_file import load_settings
from reindex.syncing import sync


class Silent:
    """Progress that nobody watches. Warnings go to stderr."""

    def phase(self, name: str, total: int, unit: str) -> None: ...
    def advance(self, amount: int) -> None: ...
    def planned(self, documents: int) -> None: ...
    def waiting(self) -> None: ...
    def count(self, *, documents: int, chunks: int) -> None: ...
    def warn(self, message: str) -> None:
        print(message, file=sys.stderr)

    def close(self) -> None: ...


class HashEmbedder:
    """Vectors from the texts' hashes: no model, no meaning, always the same. Counts its own CPU.

    `log` gets a line for each batch with the digests of its texts; after `kill_at` batches (from 0) this
    process is killed, with the batch embedded and nothing of it stored.
    """

    def __init__(self, dimensions: int, log: Path | None = None, kill_at: int | None = None) -> None:
        self._dimensions = dimensions
        self._log = log
        self._kill_at = kill_at
        self.batches = 0
        self.cpu_s = 0.0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        started = time.thread_time()
        size = 4 * self._dimensions
        bits = b"".join(hashlib.shake_256(text.encode("utf-8", "replace")).digest(size) for text in texts)
        vectors = np.frombuffer(bits, dtype="<u4").reshape(len(texts), -1).astype(np.float32) - 2.0**31
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if self._log is not None:
            with self._log.open("a") as file:
                digests = (hashlib.sha256(text.encode("utf-8", "replace")).hexdigest() for text in texts)
                file.write(" ".join(digests) + "\n")
        if self._kill_at == self.batches:
            os.kill(os.getpid(), signal.SIGKILL)
        self.batches += 1
        self.cpu_s += time.thread_time() - started
        return vectors


class Project:
    """A config.toml with its App; every sync goes to `embedder` if there is one, else to the real lane."""

    def __init__(
        self,
        config: str | Path,
        data_dir: str = ".reindex",
        threads: int = 0,
        backend: str = "auto",
        precision: str = "fp32",
    ) -> None:
        path = Path(config)
        overrides = {
            "data_dir": path.parent / data_dir,
            "embedding.threads": threads,
            "embedding.backend": backend,
            "embedding.precision": precision,
        }
        loaded = load_settings(path, environment={}, cwd=path.parent, overrides=overrides)
        self.app = App(loaded.settings, path.parent)
        self.docs = path.parent / "docs"

    @property
    def recipe(self) -> Recipe:
        return recipe_for(self.app.settings, ModelCatalog(self.app.base_dir))

    def use(self, embedder: Embedder | None) -> None:
        self.app.embedder_for = None if embedder is None else lambda _: embedder

    def use_hashes(self, log: Path | None = None, kill_at: int | None = None) -> HashEmbedder:
        embedder = HashEmbedder(self.recipe.space.dimensions, log, kill_at)
        self.use(embedder)
        return embedder

    def real_lane(self) -> Embedder:
        """The lane that the settings ask for, loaded and warm."""
        self.app.embedder_for = None
        embedder = self.app.embedder(self.recipe, ModelCatalog(self.app.base_dir))
        embedder.embed(["One call, so that the model is loaded and warm."])
        return embedder

    def preparer(self) -> Preparer:
        return self.app.preparer(self.recipe, ModelCatalog(self.app.base_dir), self.app.sources())

    def sync(self, *, accept_deletes: bool = False) -> PassReport:
        report = sync(self.app, Silent(), accept_deletes=accept_deletes)
        if report.failures:
            raise RuntimeError(f"documents failed: {report.failures}")
        return report


def warm_stores(work: Path) -> None:
    """One sync of one small document elsewhere, so that everything is imported."""
    folder = work / "warm"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "one.md").write_text("# One\n\nA small document.\n")
    config = folder / "config.toml"
    config.write_text('data_dir = ".reindex"\n\n[[sources]]\nname = "docs"\npath = "docs"\n')
    project = Project(config)
    project.use_hashes()
    project.sync()


def cpu_s() -> float:
    """User and system time of this process, all threads."""
    return time.process_time()


def peak_rss_mb() -> float:
    """The most memory that this process has held (ru_maxrss would begin with its parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in /proc/self/status")
