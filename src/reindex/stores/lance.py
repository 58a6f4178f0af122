"""The door to LanceDB: its import, its schema, its errors. No other module names lancedb or pyarrow."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reindex.errors import DiskError, StoreError
from reindex.stores.light_import import import_lancedb
from reindex.stores.manifests import TABLES

ROW_ID = "row_id"
DOCUMENT = "document"
SOURCE = "source"
PATH = "path"
KEY = "embedding_key"
TEXT = "text"
VECTOR = "vector"
LAYOUT = "layout"

NEW_TABLE = {"new_table_data_storage_version": "2.1"}
"""From 2.2 on, a column with one value beside nulls is kept as a constant, and reading makes a copy of it for
every null: one document with a layout of 100 KB took 960 MB to read, and one of 560 KB could not be read.
"""

WRITER_CACHE_BYTES = 16 << 20
READER_CACHE_BYTES = 1 << 30
METADATA_CACHE_BYTES = 64 << 20
VERSIONS_PER_CONNECTION = 128
"""LanceDB's caches keep what was read of each version (45 KB of a small table, 80 KB at 100,000 rows) and of
each index that was replaced, until they are full, at a gigabyte: of no use after the next version. So a
reader connects anew after so many. What both share is read again then: 60 ms at 100,000 rows.
"""

# LanceDB reads it when it is imported, and any of our modules may be the first to do so. At its own "warn" it
# says a line for each empty part of a vector index, whenever a few rows are taken into a large one.
os.environ.setdefault("LANCEDB_LOG", "error")


_OS_ERROR = re.compile(r"os error (\d+)")
_OF_THE_PLACE = (  # error numbers, words of the same where Lance drops the number, what happened, what to do
    ({errno.ENOSPC, errno.EDQUOT, errno.EFBIG}, "No space left", "no space left on the disk",
     "Free some space and run again."),
    ({errno.EACCES, errno.EPERM, errno.EROFS}, "ermission denied", "the data directory can't be written",
     "Mend its permissions."),
    ({errno.EMFILE, errno.ENFILE}, "Too many open files", "too many open files",
     "Raise the limit (`ulimit -n`) and run again."),
    ({errno.EIO}, "Input/output error", "input/output error", "Check the disk and its cables."),
    ({errno.ENOMEM}, "Cannot allocate memory", "no memory left", "Free some memory and run again."),
)  # fmt: skip


class TableMissingError(StoreError):
    """A table, a version of it or one of its files is not on disk (any more)."""


def connect(data_dir: Path, cache_bytes: int) -> Any:
    """A LanceDB connection to the tables of a data directory. `cache_bytes` bounds its caches of indices
    and of metadata (which has a bound of its own, too); LanceDB lets them grow to gigabytes.
    """
    lancedb = import_lancedb()  # 0.5 to 1.4 CPU s: only when a table is really touched
    return lancedb.connect(data_dir / TABLES, session=_session(lancedb, cache_bytes))


async def connect_async(data_dir: Path, cache_bytes: int) -> Any:
    """The same by the API that is awaited."""
    lancedb = import_lancedb()
    return await lancedb.connect_async(data_dir / TABLES, session=_session(lancedb, cache_bytes))


def _session(lancedb: Any, cache_bytes: int) -> Any:
    return lancedb.Session(
        index_cache_size_bytes=cache_bytes, metadata_cache_size_bytes=min(cache_bytes, METADATA_CACHE_BYTES)
    )


def schema(dimensions: int) -> Any:
    """The Arrow schema of a generation's table.

    Two kinds of row: a chunk has key, text and vector; a document (its row_id is its document id) has the
    layout. They share a table so that one version holds both.
    """
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(ROW_ID, pa.string(), nullable=False),
            pa.field(DOCUMENT, pa.string(), nullable=False),
            pa.field(SOURCE, pa.string(), nullable=False),
            pa.field(PATH, pa.string(), nullable=False),
            pa.field(KEY, pa.string()),
            pa.field(TEXT, pa.string()),
            pa.field(VECTOR, pa.list_(pa.float32(), dimensions)),
            pa.field(LAYOUT, pa.binary()),
        ]
    )


@contextmanager
def clear_errors(what: str) -> Iterator[None]:
    """LanceDB's errors as ours. It raises RuntimeError, ValueError and OSError for all that goes wrong."""
    try:
        yield
    except Exception as error:
        is_panic = type(error).__name__ == "RustPanic"  # what damaged index files make of it at times
        if not is_panic and not isinstance(error, RuntimeError | ValueError | OSError):
            raise
        text = str(error)
        _raise_if_of_the_place(what, text, error)
        if any(mark in text for mark in ("was not found", "Not found", "no longer exists", "No such file")):
            raise TableMissingError(
                f"{what}: a file of the table is missing ({text[:200]})",
                "Run `reindex sync`: it makes the table again.",
            ) from error
        raise StoreError(f"{what}: {text[:500]}") from error


def _raise_if_of_the_place(what: str, text: str, error: Exception) -> None:
    """What the machine lacks is no damage: a table must not be given up for it."""
    found = _OS_ERROR.search(text)
    number = int(found[1]) if found else getattr(error, "errno", None)
    for numbers, words, cause, hint in _OF_THE_PLACE:
        if number in numbers or words in text:
            raise DiskError(f"{what}: {cause}", hint) from error


def displayed_path(path: str) -> str:
    """A path as valid UTF-8, its other bytes as escapes. For filters and display."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
