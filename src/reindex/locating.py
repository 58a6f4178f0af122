"""Which document a person means by a path."""

import os
from collections.abc import Mapping
from pathlib import Path

from reindex.errors import ConfigError
from reindex.model import DocumentName


def locate(roots: Mapping[str, Path], argument: str) -> DocumentName:
    """The document of a path, given the folders of the sources by name. Looks at no document.

    The path may be absolute, relative to the folder one is in, relative to a source, or "source:path".
    Raises ConfigError when it belongs to no source.
    """
    prefix, _, rest = argument.partition(":")
    if prefix in roots and rest:
        return DocumentName(prefix, rest)
    try:
        absolute = Path(os.path.abspath(argument))  # noqa: PTH100 (resolve() would follow links)
    except FileNotFoundError:
        raise ConfigError("the current directory is gone", "Give an absolute path, or source:path.") from None
    resolved = Path(os.path.realpath(absolute.parent)) / absolute.name
    for source, given_root in roots.items():
        for root in (given_root, Path(os.path.realpath(given_root))):
            for path in (absolute, resolved):
                if path != root and path.is_relative_to(root):
                    return DocumentName(source, path.relative_to(root).as_posix())
    if not Path(argument).is_absolute():
        for source, root in roots.items():
            if len(roots) == 1 or os.path.lexists(root / argument):
                return DocumentName(source, Path(argument).as_posix())
    raise ConfigError(
        f"{argument} is in none of the sources ({', '.join(sorted(roots))})",
        "Give a path inside a source, or source:path.",
    )
