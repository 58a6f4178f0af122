"""The processes of local models, one for each embedding space that is asked for."""

import threading
from collections.abc import Callable

from reindex.core.identity import Recipe
from reindex.embedders.beside import ModelProcess
from reindex.embedders.frames import Orders
from reindex.embedders.local import LocalOptions
from reindex.embedders.models import LocalModel


class ModelProcesses:
    """Embedders for recipes; generations of the same space share a process. Safe from any thread."""

    def __init__(
        self, find_model: Callable[[Recipe], LocalModel], options: LocalOptions, niceness: int
    ) -> None:
        """Starts nothing. `find_model` raises ModelError where a recipe's model is not to be had; `niceness`
        is what a process adds to that of this one (0: as urgent).
        """
        self._find_model = find_model
        self._options = options
        self._niceness = niceness
        self._lock = threading.Lock()
        self._processes: dict[bytes, ModelProcess] = {}
        self._is_closed = False

    def embedder(self, recipe: Recipe) -> ModelProcess:
        """The one for a recipe, for `App.embedder_for`. Raises ModelError, also when another model stands in
        the place of one that runs already.
        """
        model = self._find_model(recipe)
        with self._lock:
            key = recipe.space.fingerprint
            if key not in self._processes:
                options = self._options
                orders = Orders(
                    model, recipe.space, options.data_dir, options.backend, options.threads, self._niceness
                )
                self._processes[key] = ModelProcess(orders, options.say)
                if self._is_closed:
                    self._processes[key].close()
            return self._processes[key]

    def close_if_idle(self, now_monotonic: float, idle_s: float) -> int:
        """End those that were asked nothing for so long; the next texts start them again. How many ended."""
        return sum(process.close_if_idle(now_monotonic, idle_s) for process in self._all())

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that run."""
        return tuple(pid for process in self._all() if (pid := process.pid) is not None)

    def close(self) -> None:
        """End all of them for good, also at work: every `embed` raises EmbeddingError from now on."""
        self._is_closed = True
        for process in self._all():
            process.close()

    def _all(self) -> list[ModelProcess]:
        with self._lock:
            return list(self._processes.values())
