"""The last looks at files, as they were written and as a look at everything compares them."""

import os

from reindex.model import DocumentName, FileStat, Revision
from reindex.stores.file_rows import SeenFile
from reindex.stores.ledger import Ledger

REVISION = Revision(b"r" * 32)
STATS = [FileStat(1, 2, 3, 4, 5), FileStat(0, 2, 3, 4, 2**64 - 1), FileStat(0, 2, 3, 2**63, 2**63)]


def test_a_stat_is_read_back_equal_whatever_the_numbers_and_the_name(tmp_path):
    names = ["a.md", os.fsdecode(b"not-utf-8-\xff.md"), "below/ü.md"]
    seen = {
        DocumentName("docs", path): SeenFile(stat, 7, REVISION)
        for path, stat in zip(names, STATS, strict=True)
    }
    ledger = Ledger.open(tmp_path)
    reader = Ledger.open_for_reading(tmp_path)
    try:
        ledger.files.record(seen, ())
        for files in (ledger.files, reader.files):
            found = {path: look for path, *look in files.of_source("docs")}
            assert found == {path: [stat, 7, REVISION] for path, stat in zip(names, STATS, strict=True)}
            assert [look[0] for look in files.of_source("docs", ["below"])] == ["below/ü.md"]
    finally:
        ledger.close()
        reader.close()
