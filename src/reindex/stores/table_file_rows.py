"""What the files of the tables looked like when they were last known good."""

from collections.abc import Mapping

from reindex.stores.sqlite import Database

TableFiles = Mapping[str, tuple[int, int]]
"""Path relative to the data directory -> (size in bytes, mtime in ns)."""


class TableFileRows:
    """One row a file. Files of a Lance table are written once, so that few of them differ each time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def below(self, folder: str) -> dict[str, tuple[int, int]]:
        """The files of one table: those whose path begins with its folder and a slash."""
        rows = self._database.rows(
            "SELECT path, size_bytes, mtime_ns FROM table_files WHERE path >= ? AND path < ?",
            (f"{folder}/", f"{folder}0"),  # "0" is what comes after "/"
        )
        return {path: (size_bytes, mtime_ns) for path, size_bytes, mtime_ns in rows}

    def replace(self, before: TableFiles, now: TableFiles) -> None:
        """Make the rows, which are `before`, equal to `now`. Writes the differences."""
        with self._database.transaction():
            self._database.execute_many(
                "INSERT OR REPLACE INTO table_files (path, size_bytes, mtime_ns) VALUES (?, ?, ?)",
                [(path, *stat) for path, stat in now.items() if before.get(path) != stat],
            )
            self._database.execute_many(
                "DELETE FROM table_files WHERE path = ?", [(path,) for path in before if path not in now]
            )
