"""The vector cache: what a text embeds to, filed under its embedding key and checked both ways."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from reindex.model import EmbeddingKey
from reindex.stores.sqlite import CorruptDatabaseError, Database, open_writable, set_aside
from reindex.stores.sqlite_reading import open_readable

if TYPE_CHECKING:
    from reindex.vectors import Vector, Vectors

FILE = "cache.sqlite"
_ROWS_PER_STATEMENT = 2_000  # far below SQLite's limit on variables, 32,766 since before strict tables
_CHECKSUM_BYTES = 8
_PAGE_BYTES = 32_768  # a vector has kilobytes: few pages to log and to copy, with little room lost in each
_COMPLETE = 0x72656478  # kept in the file itself, so that a crash right after its making is seen

MIGRATIONS = (
    """
CREATE TABLE vectors (
    key BLOB PRIMARY KEY NOT NULL,
    vector BLOB NOT NULL,   -- float32, little endian
    checksum BLOB NOT NULL, -- first 8 bytes of sha256(key, vector)
    used_day INTEGER NOT NULL -- days since the epoch; what the size limit evicts by
) STRICT;
CREATE INDEX vectors_by_day ON vectors (used_day)
""",
    # The newest generation when the vector was made; 0: not known. (An added column keeps no comment.)
    """
ALTER TABLE vectors ADD COLUMN newest_generation INTEGER NOT NULL DEFAULT 0
""",
)


class VectorCache:
    """Bulk get and put of vectors. A row that fails its check counts as missing and is reported."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.rejected = 0

    @staticmethod
    def open(data_dir: Path, now: float) -> VectorCache:
        """Open for writing; made if absent. A damaged file is set aside."""
        path = data_dir / FILE
        try:
            database = open_writable(path, MIGRATIONS, page_bytes=_PAGE_BYTES)
        except CorruptDatabaseError:
            set_aside(path, int(now))
            database = open_writable(path, MIGRATIONS, page_bytes=_PAGE_BYTES)
        return VectorCache(database)

    @staticmethod
    def open_existing(data_dir: Path) -> VectorCache | None:
        """Open for writing without the lock: only a cache that is there, and nothing is mended."""
        path = data_dir / FILE
        return VectorCache(open_writable(path, MIGRATIONS, page_bytes=_PAGE_BYTES)) if path.exists() else None

    @staticmethod
    def open_for_reading(data_dir: Path) -> VectorCache | None:
        """None when there is no cache, or none that can be read. Writes nothing."""
        try:
            database = open_readable(data_dir / FILE, MIGRATIONS)
        except CorruptDatabaseError:
            return None
        return VectorCache(database) if database is not None else None

    def close(self) -> None:
        self._database.close()

    @property
    def is_complete(self) -> bool:
        """Whether this file was told that it has all that the index has. A new one was not."""
        return self._database.one("PRAGMA application_id") == (_COMPLETE,)

    def mark_complete(self) -> None:
        """It was filled from the index, or there is no index to fill it from."""
        self._database.execute(f"PRAGMA application_id = {_COMPLETE}")

    def present(self, keys: Sequence[EmbeddingKey], *, since_generation: int = 0) -> set[EmbeddingKey]:
        """Those keys that have a row, made since that generation was begun. Reads no vector."""
        found: set[EmbeddingKey] = set()
        for part in _parts(keys):
            marks = ",".join("?" * len(part))
            condition = f"key IN ({marks})"
            if since_generation:
                condition += f" AND newest_generation >= {since_generation:d}"
            rows = self._database.rows(f"SELECT key FROM vectors WHERE {condition}", part)  # noqa: S608 (placeholders only)
            found.update(EmbeddingKey(row[0]) for row in rows)
        return found

    def get(
        self,
        keys: Sequence[EmbeddingKey],
        dimensions: int,
        *,
        since_generation: int = 0,
        used_on: int | None = None,
    ) -> dict[EmbeddingKey, Vector]:
        """The vectors of those keys that are here and sound, each of shape (dimensions,); only those that
        were made since that generation was begun. It is noted that they were `used_on` that day.

        Rows that fail their check are left out and counted in `rejected`.
        """
        from reindex.vectors import from_bytes

        found: dict[EmbeddingKey, Vector] = {}
        not_noted: list[EmbeddingKey] = []
        for part in _parts(keys):
            condition = f"key IN ({','.join('?' * len(part))})"
            if since_generation:  # no word of that column else: a cache of version 1 can be read
                condition += f" AND newest_generation >= {since_generation:d}"
            rows = self._database.rows(
                f"SELECT key, vector, checksum, used_day FROM vectors WHERE {condition}",  # noqa: S608
                part,
            )
            sound = [row for row in rows if _is_sound(row[0], row[1], row[2], dimensions)]
            self.rejected += len(rows) - len(sound)
            matrix = from_bytes([row[1] for row in sound], dimensions)
            found.update(zip([row[0] for row in sound], matrix, strict=True))
            if used_on is not None:
                not_noted += [row[0] for row in sound if row[3] < used_on]
        if used_on is not None and not_noted:  # mostly none: a day has many reads
            self.touch(not_noted, used_on)
        return found

    def put(
        self, keys: Sequence[EmbeddingKey], vectors: Vectors, day: int, *, newest_generation: int = 0
    ) -> None:
        """File the vectors under their keys, in one transaction: the second commit. `newest_generation` is
        the highest number in the ledger when they were made by the model; 0: they were made some time before.

        Raises EmbeddingError, and files nothing, when one of them is not a finite unit vector.
        """
        from reindex.vectors import check_vectors, views

        check_vectors(vectors, len(keys))
        found = sorted(zip(keys, views(vectors), strict=True), key=itemgetter(0))  # page by page of the index
        rows = ((key, blob, _checksum(key, blob), day, newest_generation) for key, blob in found)
        self._database.execute_many(
            "INSERT INTO vectors (key, vector, checksum, used_day, newest_generation) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET"
            " vector = excluded.vector, checksum = excluded.checksum, used_day = excluded.used_day,"
            " newest_generation = excluded.newest_generation",
            rows,
        )

    def touch(self, keys: Sequence[EmbeddingKey], day: int) -> None:
        """Note that these keys were used on that day, for the size limit."""
        with self._database.transaction():
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                self._database.execute(
                    f"UPDATE vectors SET used_day = ? WHERE used_day < ? AND key IN ({marks})",  # noqa: S608
                    (day, day, *part),
                )

    def count(self) -> int:
        row = self._database.one("SELECT count(*) FROM vectors")
        assert row is not None
        return int(row[0])

    def evict(self, size_bytes_max: int, keep: set[EmbeddingKey]) -> int:
        """Remove the least recently used rows above the limit, never one of `keep`; return how many."""
        doomed = []
        with self._database.transaction():
            rows = self._database.rows("SELECT key, length(vector) FROM vectors ORDER BY used_day, key")
            excess = sum(size for _, size in rows) - size_bytes_max
            for key, size in rows:
                if excess <= 0:
                    break
                if EmbeddingKey(key) not in keep:
                    doomed.append((key,))
                    excess -= size
            self._database.execute_many("DELETE FROM vectors WHERE key = ?", doomed)
        return len(doomed)


def _is_sound(key: bytes, blob: bytes, checksum: bytes, dimensions: int) -> bool:
    return len(blob) == 4 * dimensions and _checksum(key, blob) == checksum


def _checksum(key: bytes, blob: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(key)
    digest.update(blob)
    return digest.digest()[:_CHECKSUM_BYTES]


def _parts(keys: Sequence[EmbeddingKey]) -> Iterator[Sequence[EmbeddingKey]]:
    for start in range(0, len(keys), _ROWS_PER_STATEMENT):
        yield keys[start : start + _ROWS_PER_STATEMENT]
