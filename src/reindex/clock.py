"""The real clock."""

import time


class SystemClock:
    """Wall-clock time of this machine."""

    def now(self) -> float:
        return time.time()

    def now_ns(self) -> int:
        return time.time_ns()
