"""Everything that one server has, put together."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

from reindex.dev_openai.batch_worker import BatchWorker
from reindex.dev_openai.batches import Batch, Batches
from reindex.dev_openai.bill import Bill
from reindex.dev_openai.embedder import Embedder
from reindex.dev_openai.faults import Faults
from reindex.dev_openai.files import Files
from reindex.dev_openai.limiter import Limiter
from reindex.dev_openai.options import Clock, Options


class Service:
    """The state of a server, for its routes and for tests. `folder`: an empty one, for the files."""

    def __init__(self, folder: Path, options: Options | None = None) -> None:
        self.options = options or Options()
        self.clock = Clock()
        self.faults = Faults()
        self.bill = Bill(self.options)
        self.embedder = Embedder(self.options)
        self.limiter = Limiter(self.clock, self.options)
        self.files = Files(folder, self.clock, self.options)
        self.batches = Batches(self.files, self.faults, self.clock, self.options)
        self.worker = BatchWorker(
            self.batches, self.files, self.embedder, self.bill, self.clock, self.options
        )
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()

    def count(self, route: str) -> None:
        """A request came."""
        with self._lock:
            self._requests[route] += 1

    def requests(self) -> Counter[str]:
        """How many requests came, by route."""
        with self._lock:
            return Counter(self._requests)

    def orphans(self) -> list[Batch]:
        """Batches that nobody cares for: still open, or with an output that was never fetched to its end."""
        return [batch for batch in self.batches.all() if batch.is_open or not self._is_fetched(batch)]

    def _is_fetched(self, batch: Batch) -> bool:
        file = next((file for file in self.files.all() if file.id == batch.output_file_id), None)
        return file is None or file.is_fetched
