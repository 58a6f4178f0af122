"""Which document a person means by a path."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from reindex.errors import ConfigError
from reindex.model import DocumentName


def locate(roots: Mapping[str, Path], argument: str) -> DocumentName:
    """The document of a path, given the folders of the sources by name. Looks at no document.

    The path may be absolute, relative to the folder one is in, relative to a source, "source:path", or
    "source/path", as a hit of a query is shown: the first of these that is there. A source's folder is the
    path ".". Raises ConfigError when it belongs to no source.
    """
    prefix, _, rest = argument.partition(":")
    if prefix in roots and rest:
        return DocumentName(prefix, rest)
    try:
        absolute = Path(os.path.abspath(argument))  # noqa: PTH100 (resolve() would follow links)
    except FileNotFoundError:
        raise ConfigError("the current directory is gone", "Give an absolute path, or source:path.") from None
    meanings = [*_under(roots, absolute), *_relative(roots, argument)]
    there = (name for name in meanings if os.path.lexists(roots[name.source] / name.path))
    for name in (*there, *meanings):
        return name
    raise ConfigError(
        f"{argument} is in none of the sources ({', '.join(sorted(roots))})",
        "Give a path inside a source, or source:path.",
    )


def _under(roots: Mapping[str, Path], absolute: Path) -> list[DocumentName]:
    """The document of an absolute path, if it is one."""
    resolved = Path(os.path.realpath(absolute.parent)) / absolute.name
    for source, given_root in roots.items():
        for root in (given_root, Path(os.path.realpath(given_root))):
            for path in (absolute, resolved):
                if path.is_relative_to(root):
                    return [DocumentName(source, path.relative_to(root).as_posix())]
    return []


def _relative(roots: Mapping[str, Path], argument: str) -> Iterator[DocumentName]:
    """What a path stands for as a query prints it, and relative to a source: the likelier first."""
    source, _, path = argument.partition("/")
    if source in roots and path:
        yield DocumentName(source, path)
    if not Path(argument).is_absolute():
        for source, root in roots.items():
            if len(roots) == 1 or os.path.lexists(root / argument):
                yield DocumentName(source, Path(argument).as_posix())
