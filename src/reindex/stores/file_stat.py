"""Whether a file of the data directory is there, without mistaking one that may not be seen for none."""

import os
from pathlib import Path

from reindex.errors import DiskError


def stat_of(path: Path) -> os.stat_result | None:
    """None without such a file. Raises DiskError where that can't be told."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> DiskError:
    """What to say of it."""
    hint = "Mend its permissions."
    if isinstance(error, NotADirectoryError):
        hint = f"{path.parent} is to be a folder: name another by --data-dir, or move the file away."
    return DiskError(f"{path} can't be read: {error.strerror}", hint)
