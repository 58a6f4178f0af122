"""When documents that failed, and may do better, are tried again."""

import time

from reindex.model import DocumentName
from reindex.stores.failure_rows import Failure

RETRY_S = (5.0, 3600.0)  # of one document that failed and may do better, doubled each time


def retry_times(
    failures: dict[DocumentName, Failure], now: float, tried: dict[DocumentName, float]
) -> dict[DocumentName, float]:
    """When to look again at documents that may do better, by the clock that never jumps. One that was tried
    just now and left no trace (it is being written) has its time from `tried`.
    """
    least, most = RETRY_S
    steady = time.monotonic()
    found = {}
    for name, failure in failures.items():
        if not failure.permanent:
            pause_s = min(most, least * 2 ** min(failure.attempts - 1, 30))
            rest_s = max(0.0, failure.at + pause_s - now)
            rest_s = min(pause_s, rest_s)  # the wall clock may have been set back
            found[name] = max(steady + rest_s, tried.get(name, 0.0))
    return found
