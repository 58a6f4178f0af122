"""Whether a file's stat can be trusted to change when its content does."""

from reindex.model import FileStat

RACY_WINDOW_NS = 2_000_000_000
"""For this long a later write can leave the stat as it was: it may fall into the tick in which the file was
read. A tick is 4 ms on common kernels, and 2 s on the coarsest file system in use (FAT)."""


def is_racy(stat: FileStat, observed_ns: int) -> bool:
    """Whether a file seen as `stat` at the wall clock's `observed_ns` must be compared by content next time.

    Git's racy rule: an entry that is not clearly older than its observation proves nothing, nor does
    one from the future.
    """
    oldest_ns = observed_ns - RACY_WINDOW_NS
    return stat.mtime_ns > oldest_ns or stat.ctime_ns > oldest_ns
