"""What the files of a Lance table tell without LanceDB, whose import alone takes seconds."""

import hashlib
import os
from pathlib import Path

TABLES = "lance"  # the folder of the tables inside the data directory
_VERSION_SPACE = 2**64 - 1  # Lance names manifests by descending numbers, so that the newest lists first


def table_folder(table: str) -> str:
    """The folder of a table, relative to the data directory."""
    return f"{TABLES}/{table}.lance"


def manifest_path(table: str, version: int) -> str:
    """The manifest of a version of a table, relative to the data directory."""
    return f"{table_folder(table)}/_versions/{_VERSION_SPACE - version}.manifest"


def versions_on_disk(data_dir: Path, table: str) -> list[int]:
    """Every version that has a manifest, ascending; empty when the table is not there."""
    try:
        names = [entry.name for entry in (data_dir / table_folder(table) / "_versions").iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    stems = (name.removesuffix(".manifest") for name in names if name.endswith(".manifest"))
    return sorted(_VERSION_SPACE - int(stem) for stem in stems if stem.isdigit())


def table_stamp(data_dir: Path, table: str) -> str:
    """A digest of the names, sizes and times of all files of a table: another one means that a file was
    changed, lost or added. Reads no content; files of a Lance table are written once.
    """
    root = data_dir / table_folder(table)
    lines = []
    for folder, _, names in os.walk(root):
        for name in names:
            try:
                stat = (Path(folder) / name).stat()
            except FileNotFoundError:
                continue
            lines.append(f"{Path(folder).relative_to(root)}/{name}:{stat.st_size}:{stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def tables_on_disk(data_dir: Path) -> list[str]:
    """The names of all tables, whole or not."""
    try:
        entries = list((data_dir / TABLES).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(entry.name.removesuffix(".lance") for entry in entries if entry.name.endswith(".lance"))
