"""The store's own name, in a file of its own: with it, batches at a provider are found again when the ledger
is lost.
"""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from reindex.errors import StoreError
from reindex.stores.pointer import replace_file

FILE = "store.json"


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """`submissions` counts batches that were ever about to be created: a ledger that knows of fewer was lost,
    or is from a backup. `submitted_at` is when the last of them was: a list that lags may not have it yet.
    """

    store: str
    submissions: int = 0
    submitted_at: float = 0.0


def read_identity(data_dir: Path) -> StoreIdentity | None:
    """None when it was never needed. Raises StoreError."""
    path = data_dir / FILE
    try:
        value = json.loads(path.read_bytes())
        return StoreIdentity(
            str(value["store"]), int(value["submissions"]), float(value.get("submitted_at", 0.0))
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise StoreError(
            f"{path} can't be read: {error}",
            "It names this store at the provider; put it back from a backup, or remove it: batches that are"
            " under way are then not found again, and may be paid twice.",
        ) from error


def make_identity(data_dir: Path) -> StoreIdentity:
    """What it is, made if it was never needed before."""
    found = read_identity(data_dir)
    if found is None:
        found = StoreIdentity(secrets.token_hex(8))
        write_identity(data_dir, found)
    return found


def write_identity(data_dir: Path, identity: StoreIdentity) -> None:
    """Replace the file, durably."""
    replace_file(data_dir / FILE, json.dumps(asdict(identity)).encode())
