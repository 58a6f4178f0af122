"""The daemon's models, each in a process of its own: those that embed documents give way to all else, those
that embed queries are as urgent as whoever waits.
"""

import time
import weakref

from reindex.app import App
from reindex.core.identity import Recipe
from reindex.embedders.pool import ModelProcesses
from reindex.ports import Embedder

BACKGROUND_NICENESS = 10
LEFT_IDLE_S = 5.0  # processes by a configuration that was replaced may still be at work


class Models:
    """Processes for the configuration that holds, and the last ones of those before."""

    def __init__(self, app: App) -> None:
        """Starts nothing."""
        self._left: weakref.WeakSet[ModelProcesses] = weakref.WeakSet()  # until nobody works with them
        self._take(app)

    def take_over(self, app: App) -> None:
        """Go on by another configuration: new processes, with the next text."""
        self._left |= {self._documents, self._queries}
        self._take(app)

    def query_embedder(self, recipe: Recipe) -> Embedder:
        """What makes a recipe's query vectors. Raises ModelError."""
        return self._queries.embedder(recipe)

    def close_if_idle(self, idle_s: float) -> None:
        """End what nobody has asked for so long."""
        now = time.monotonic()
        for pool in (self._documents, self._queries):
            pool.close_if_idle(now, idle_s)
        for pool in list(self._left):
            pool.close_if_idle(now, min(LEFT_IDLE_S, idle_s))

    def close(self) -> None:
        """End all, also at work."""
        for pool in (self._documents, self._queries, *self._left):
            pool.close()

    def _take(self, app: App) -> None:
        self._documents = app.model_processes(BACKGROUND_NICENESS)
        self._queries = app.model_processes(0)
        if app.embedder_for is None:
            app.embedder_for = self._documents.embedder
