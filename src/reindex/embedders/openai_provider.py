"""A provider's lanes in one process: they share the account, the connections and the limits of rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from reindex.core.identity import Recipe
from reindex.embedders.openai_client import OpenAIConnection
from reindex.embedders.rate_limit import Stop, never
from reindex.settings import OpenAISettings

if TYPE_CHECKING:
    from reindex.embedders.openai_batch import OpenAIBatches
    from reindex.embedders.openai_realtime import OpenAIEmbedder


class OpenAIProvider:
    """By the settings and the environment ($OPENAI_API_KEY). Imports and asks nothing before it has to."""

    def __init__(self, settings: OpenAISettings, environment: Mapping[str, str], stop: Stop = never) -> None:
        """Raises AccountError without a key, where one is needed. `stop` ends what waits."""
        self._connection = OpenAIConnection(settings, environment)
        self._stop = stop
        self._documents: dict[bytes, OpenAIEmbedder] = {}

    def embedder(self, recipe: Recipe) -> OpenAIEmbedder:
        """For the documents of a recipe."""
        from reindex.embedders.openai_realtime import OpenAIEmbedder

        key = recipe.space.fingerprint
        if key not in self._documents:
            self._documents[key] = OpenAIEmbedder(
                self._connection, recipe.model, recipe.space.dimensions, stop=self._stop
            )
        return self._documents[key]

    def query_embedder(self, recipe: Recipe, on_usage: Callable[[int, int], None]) -> OpenAIEmbedder:
        """For queries: somebody waits. `on_usage` is told of texts and tokens."""
        from reindex.embedders.openai_realtime import OpenAIEmbedder, Patience

        return OpenAIEmbedder(
            self._connection,
            recipe.model,
            recipe.space.dimensions,
            patience=Patience.for_queries(self._connection.settings),
            on_usage=on_usage,
        )

    def batches(self) -> OpenAIBatches:
        """The Batch API of the same account."""
        from reindex.embedders.openai_batch import OpenAIBatches

        return OpenAIBatches(self._connection)

    def dimensions(self, model: str) -> int:
        """Of a model that nobody knows: of the canary's vector. Raises EmbeddingError."""
        from reindex.embedders.openai_realtime import OpenAIEmbedder

        found: int = OpenAIEmbedder(self._connection, model, 0).canary().vectors.shape[1]
        return found

    def close(self) -> None:
        """End its connections."""
        self._connection.close()
