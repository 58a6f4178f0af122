"""The published pointer: one small file that says which table, at which version, readers are to see."""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reindex.core.generations import Behind
from reindex.core.identity import Recipe
from reindex.errors import DiskError, NewerFormatError, StoreError
from reindex.stores.file_stat import stat_of, unreadable

POINTER_FORMAT = 1
_FILE = "published.json"


@dataclass(frozen=True, slots=True)
class Published:
    """What readers see: a table pinned at a version, and the recipe that made it.

    `manifest` is the path of that version's manifest, relative to the data directory: its absence tells of a
    deleted table without any help from LanceDB. `behind` is set after a rollback, until it has caught up.
    """

    generation: int
    table: str
    version: int
    manifest: str
    recipe: Recipe
    published_at: float
    behind: Behind | None = None


class Pointer:
    """Reads and atomically replaces the pointer file of a data directory."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / _FILE

    def read(self) -> Published | None:
        """None when nothing is published. Raises StoreError for a file that is no pointer."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unreadable(self._path, error) from error
        try:
            value = json.loads(content)
            if value["format"] > POINTER_FORMAT:
                raise NewerFormatError(
                    f"{self._path} has format {value['format']}; this reindex reads up to {POINTER_FORMAT}",
                    "Upgrade reindex.",
                )
            return _published(value)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self._path} is not a valid pointer: {error}",
                "Run `reindex sync`: it writes the pointer again from the ledger.",
            ) from error

    def stamp(self) -> tuple[int, int, int] | None:
        """Changes whenever the pointer does; None without a pointer. Costs one stat. Raises DiskError."""
        stat = stat_of(self._path)
        return None if stat is None else (stat.st_ino, stat.st_mtime_ns, stat.st_size)

    def write(self, published: Published) -> None:
        """Replace the pointer: temp file, fsync, rename, fsync of the folder. The fifth commit."""
        value: dict[str, object] = {
            "format": POINTER_FORMAT,
            "generation": published.generation,
            "table": published.table,
            "version": published.version,
            "manifest": published.manifest,
            "recipe": published.recipe.to_json(),
            "published_at": published.published_at,
        }
        if published.behind is not None:
            value["behind"] = asdict(published.behind)
        try:
            replace_file(self._path, json.dumps(value, indent=1).encode())
        except OSError as error:
            cause = "no space left on the disk" if error.errno == errno.ENOSPC else error.strerror
            raise DiskError(f"{self._path} can't be written: {cause}", "Mend that and run again.") from error


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader, or a crash, meets the old file or the new one whole."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _published(value: Mapping[str, Any]) -> Published:
    return Published(
        generation=int(value["generation"]),
        table=str(value["table"]),
        version=int(value["version"]),
        manifest=str(value["manifest"]),
        recipe=Recipe.from_json(value["recipe"]),
        published_at=float(value["published_at"]),
        behind=Behind(**value["behind"]) if "behind" in value else None,
    )
