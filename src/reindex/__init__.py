"""reindex keeps embedding indexes of folders of documents fresh, whole and searchable."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = ["Hit", "Index", "SearchResult", "__version__"]

if TYPE_CHECKING:
    from reindex.api import Index
    from reindex.search import Hit, SearchResult


def __getattr__(name: str) -> object:
    """Load the public names on first use: the command line imports this package for every command."""
    if name == "Index":
        from reindex.api import Index

        return Index
    if name in {"Hit", "SearchResult"}:
        from reindex import search

        return getattr(search, name)
    raise AttributeError(f"module 'reindex' has no attribute {name!r}")
