"""The user's probe queries: questions with the documents that should be found, in TOML.

    [[probe]]
    query = "How long do we keep raw parcel scans?"
    documents = ["policies/data-retention.md", "docs:architecture/storage.md"]

or in short

    "How long do we keep raw parcel scans?" = ["policies/data-retention.md", "docs:architecture/storage.md"]

The name of the tables is free. A document is a path relative to its source, with the source's name before it
(`docs:` or `docs/`) where that is needed.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reindex.errors import ConfigError
from reindex.model import DocumentName
from reindex.stores.lance import displayed_path

PROBES_MAX = 10_000
_HINT = 'Write [[probe]] tables with query = "..." and documents = ["path", ...].'


@dataclass(frozen=True, slots=True)
class Probe:
    """A question, and how the file names the documents that answer it."""

    query: str
    documents: tuple[str, ...]


def read_probes(path: Path) -> list[Probe]:
    """The probes of a file, at least one. Raises ConfigError that names the file and what is wrong in it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"the probe file {path} can't be read: {error.strerror}", "Check [promotion] queries."
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the probe file {path} is no TOML: {error}", _HINT) from error
    found = list(_tables(content))
    if not found:
        raise ConfigError(f"the probe file {path} has no probes", _HINT)
    if len(found) > PROBES_MAX:
        raise ConfigError(f"the probe file {path} has {len(found)} probes; {PROBES_MAX} is the limit")
    return [_probe(path, number, table) for number, table in enumerate(found, start=1)]


def label(source: str, path: str) -> str:
    """How a document is named among answers: source and displayed path."""
    return f"{source}:{path}"


def documents_by_name(documents: Iterable[DocumentName]) -> dict[str, set[str]]:
    """The labels of the documents under every way to write them: the path, and source and path."""
    found: dict[str, set[str]] = {}
    for name in documents:
        path = displayed_path(name.path)
        for text in (path, label(name.source, path), f"{name.source}/{path}"):
            found.setdefault(text, set()).add(label(name.source, path))
    return found


def named_documents(probe: Probe, known: Mapping[str, set[str]]) -> set[str]:
    """The labels of those of the probe's documents that there are."""
    return {found for text in probe.documents for found in known.get(text, ())}


def _tables(content: Mapping[str, Any]) -> Iterator[Any]:
    """Every probe of the file, in the long form. What is a list of strings is the short form of one."""
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _tables(value)
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            yield from value
        else:
            yield {"query": name, "documents": value}


def _probe(path: Path, number: int, table: Any) -> Probe:
    where = f"probe {number} of {path}"
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table", _HINT)
    query = table.get("query")
    documents = table.get("documents", table.get("document"))
    documents = [documents] if isinstance(documents, str) else documents
    if not isinstance(query, str) or not query.strip():
        raise ConfigError(f"{where} has no query", _HINT)
    if (
        not isinstance(documents, list)
        or not documents
        or not all(isinstance(d, str) and d for d in documents)
    ):
        raise ConfigError(f"{where} ({query[:60]!r}) has no documents", _HINT)
    return Probe(query, tuple(documents))
