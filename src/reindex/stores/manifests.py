"""What the files of a Lance table tell without LanceDB, whose import alone takes seconds."""

import contextlib
import os
import shutil
from pathlib import Path

TABLES = "lance"  # the folder of the tables inside the data directory
_VERSION_SPACE = 2**64 - 1  # Lance names manifests by descending numbers, so that the newest lists first
_HINT = "latest_version_hint.json"  # beside the manifests, written with each commit; Lance works without it


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


def remove_table(data_dir: Path, table: str) -> None:
    """Its files, all of them. Nothing happens where it is gone already."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(data_dir / table_folder(table))


def table_bytes(data_dir: Path, table: str) -> int:
    """The size of all its files, of every version."""
    return sum(size for size, _ in table_files(data_dir, table).values())


def prunable_versions(data_dir: Path, table: str, oldest_needed: int, margin_s: float) -> int:
    """How many versions are older than that one by more than the margin."""
    try:
        limit = (data_dir / manifest_path(table, oldest_needed)).stat().st_mtime - margin_s
    except FileNotFoundError:
        return 0
    folder = data_dir / table_folder(table) / "_versions"
    found = (folder / f"{_VERSION_SPACE - version}.manifest" for version in versions_on_disk(data_dir, table))
    return sum(path.stat().st_mtime < limit for path in found)


def table_files(data_dir: Path, table: str) -> dict[str, tuple[int, int]]:
    """Size in bytes and mtime in ns of all files of a table, by path relative to the data directory: where
    they are others, a file was changed, lost or added. Reads no content; Lance writes a file once.
    """
    found: dict[str, tuple[int, int]] = {}
    folders = [table_folder(table)]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(data_dir / folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_file(follow_symlinks=False) and entry.name != _HINT:
                stat = entry.stat(follow_symlinks=False)
                found[path] = (stat.st_size, stat.st_mtime_ns)
    return found


def tables_on_disk(data_dir: Path) -> list[str]:
    """The names of all tables, whole or not."""
    try:
        entries = list((data_dir / TABLES).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(entry.name.removesuffix(".lance") for entry in entries if entry.name.endswith(".lance"))
