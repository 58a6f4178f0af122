"""Sources that a look at all of their files found to be exactly as a generation holds them."""

from reindex.stores.sqlite import Database


class SettledRows:
    """Digests of the files that were found then.

    Whatever writes to a source's looks or documents forgets its digest in the same transaction, by triggers.
    So a digest that is there says: rows of looks and documents are as they were then; and where the disk is
    as it was then too, to compare them would come to nothing again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, generation: int, code: bytes) -> dict[str, bytes]:
        """Source -> digest of its files, all of which this generation holds, parsed by this code."""
        return dict(
            self._database.rows(
                "SELECT source, digest FROM settled WHERE generation = ? AND code = ?", (generation, code)
            )
        )

    def record(self, source: str, generation: int, code: bytes, digest: bytes) -> None:
        """In the transaction that wrote the looks of which this is the digest, and after them."""
        self._database.execute(
            "INSERT OR REPLACE INTO settled (source, generation, code, digest) VALUES (?, ?, ?, ?)",
            (source, generation, code, digest),
        )
