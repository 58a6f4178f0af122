"""The real command line, whose daemon also writes what its passes did: a line of JSON for each into
$PASSES_LOG, with every call of the model since the pass before.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reindex.cli.main import main
from reindex.daemon import keeper
from reindex.embedders.beside import ModelProcess
from reindex.report import PassReport

_calls: list[int] = []
_sync_with = keeper.sync_with
_embed = ModelProcess.embed


def _counted(self: ModelProcess, texts: Sequence[str]) -> Any:
    _calls.append(len(texts))
    return _embed(self, texts)


def _told(*arguments: Any, **options: Any) -> PassReport:
    report = _sync_with(*arguments, **options)
    told = {
        "calls": list(_calls),
        "documents": report.documents.added + report.documents.changed + report.documents.deleted,
        "embedded": report.chunks.embedded,
        "rows": report.chunks.rows_written,
        "commits": report.commits,
        "version": report.version,
    }
    _calls.clear()
    with Path(os.environ["PASSES_LOG"]).open("a") as file:
        file.write(json.dumps(told) + "\n")
    return report


if __name__ == "__main__":
    keeper.sync_with = _told
    ModelProcess.embed = _counted
    main()
