"""What was last seen on disk: a stat, when it was taken, and the revision that was read then."""

import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from reindex.model import DocumentName, FileStat, Revision
from reindex.stores.sqlite import Database, Row

FileIdentity = tuple[int, int]
"""(device, inode): the same for all names of a file."""

Look = tuple[str, tuple[int, int, int, int, int], int, Revision]
"""A path, a stat as in `FileStat`, when it was taken, and the revision: what a `SeenFile` is. A look at
everything reads one for every file, and objects of their own would be most of its time."""

FILE_NAMES = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())
"""How `os.fsdecode` decodes: for where each document's name is decoded."""

_EVERYTHING = (b"", b"\xff" * 4097)  # no path is so long


@dataclass(frozen=True, slots=True)
class SeenFile:
    """The last look at a file."""

    stat: FileStat
    observed_ns: int
    revision: Revision


class FileRows:
    """Looks at files. They say nothing of what is indexed, so that they may be lost at any time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_source(self, source: str, paths: Iterable[str] | None = None) -> Iterator[Look]:
        """The last look at each file. With `paths` only at those, and at what lies below them."""
        for start, end in ranges_of(paths):
            for path, size_bytes, mtime_ns, ctime_ns, dev, ino, observed_ns, revision in self._database.each(
                "SELECT path, size_bytes, mtime_ns, ctime_ns, dev, ino, observed_ns, revision"
                " FROM files WHERE source = ? AND path >= ? AND path < ?",
                (source, start, end),
            ):
                if dev < 0 or ino < 0:
                    dev, ino = _unsigned(dev), _unsigned(ino)  # noqa: PLW2901 (one of them is rare)
                yield (
                    path.decode(*FILE_NAMES),
                    (size_bytes, mtime_ns, ctime_ns, dev, ino),
                    observed_ns,
                    revision,
                )

    def names_of(self, files: Collection[FileIdentity]) -> list[DocumentName]:
        """All names under which these files were seen. Reads all rows, once."""
        inodes = json.dumps([_signed(inode) for _, inode in files])
        return [
            DocumentName(row[0], os.fsdecode(row[1]))
            for row in self._database.rows(
                "SELECT source, path, dev, ino FROM files WHERE ino IN (SELECT value FROM json_each(?))",
                (inodes,),
            )
            if (_unsigned(row[2]), _unsigned(row[3])) in files
        ]

    def record(self, seen: Mapping[DocumentName, SeenFile], gone: Iterable[DocumentName]) -> None:
        """Remember new looks, and forget files that are gone."""
        with self._database.transaction():
            self._database.execute_many(
                "INSERT OR REPLACE INTO files"
                " (source, path, size_bytes, mtime_ns, ctime_ns, dev, ino, observed_ns, revision)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (_row(name, look) for name, look in seen.items()),
            )
            self._database.execute_many(
                "DELETE FROM files WHERE source = ? AND path = ?", (name_key(name) for name in gone)
            )

    def device(self, source: str) -> int | None:
        """The device a source's folder was on when its deletions were last believed."""
        row = self._database.one("SELECT device FROM sources WHERE name = ?", (source,))
        return None if row is None else _unsigned(row[0])

    def record_device(self, source: str, device: int) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO sources (name, device) VALUES (?, ?)", (source, _signed(device))
        )


def ranges_of(paths: Iterable[str] | None) -> list[tuple[bytes, bytes]]:
    """Ranges (start, end) of the column `path` that are all rows of these paths and of what lies below them;
    of everything, without paths.
    """
    if paths is None:
        return [_EVERYTHING]
    found: list[tuple[bytes, bytes]] = []
    for path in map(os.fsencode, paths):
        if not path:
            return [_EVERYTHING]
        found.append((path, path + b"\0"))  # no path holds a zero: itself alone
        found.append((path + b"/", path + b"0"))  # "0" follows "/"
    return found


def identity_of(stat: FileStat) -> FileIdentity:
    """Which file it is, by whatever name."""
    return stat.dev, stat.ino


def name_key(name: DocumentName) -> tuple[str, bytes]:
    """A document's name as the ledger's columns `source` and `path` have it."""
    return name.source, os.fsencode(name.path)


def _row(name: DocumentName, look: SeenFile) -> Row:
    stat = look.stat
    numbers = (stat.size_bytes, stat.mtime_ns, stat.ctime_ns, _signed(stat.dev), _signed(stat.ino))
    return (*name_key(name), *numbers, look.observed_ns, look.revision)


def _signed(number: int) -> int:
    """Device and inode numbers are unsigned 64-bit; SQLite's integers are signed."""
    return number if number < 2**63 else number - 2**64


def _unsigned(number: int) -> int:
    return number if number >= 0 else number + 2**64
