"""The Python API: open an index by its configuration and search it."""

import os
from pathlib import Path
from typing import Self

from reindex.app import App
from reindex.search import Reader, SearchMode, SearchResult
from reindex.settings_file import load_settings
from reindex.stores.snapshot import Filter


class Index:
    """A published index, for searching. It follows promotions by itself and needs no lock.

    The model is loaded with the first query that needs it, and kept.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @classmethod
    def open(cls, config: str | Path = "config.toml") -> Self:
        """Raises ConfigError for a configuration that is missing or wrong, NothingIndexedError when there is
        nothing to search yet.
        """
        loaded = load_settings(Path(config), environment=os.environ, cwd=Path.cwd(), overrides={})
        reader = App(loaded.settings, Path(config).resolve().parent).reader()
        reader.published()
        return cls(reader)

    def search(
        self,
        text: str,
        k: int = 10,
        *,
        mode: str = "hybrid",
        source: str | None = None,
        path_prefix: str | None = None,
    ) -> SearchResult:
        """The k best chunks, best first, wholly from one version. `mode` is hybrid, vector or text.

        Raises ModelError in vector mode when the model can't be had; hybrid then answers by text alone and
        says so in `degraded`.
        """
        return self._reader.search(text, k, SearchMode(mode), Filter(source, path_prefix))
