"""What a child process of ours does with itself before its work: it ends with its parent, keeps the pipes to
it apart from what libraries print, and is the first to go when the machine runs out of memory.
"""

import contextlib
import fcntl
import os
import signal
from typing import BinaryIO

_OUT_OF_MEMORY_FIRST = "500"  # the system's memory killer should choose the child before its parent


def end_with_parent(lifeline: int) -> None:
    """The kernel kills this process when the parent's end of the lifeline closes, however the parent ended,
    whatever runs here. (A thread would wait for the interpreter, which a regular expression holds.)

    Where the kernel can't (it is Linux's), the end of the input is left.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)


def own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Input and output in new places: what a library prints or reads must not meet the parent's frames."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return os.fdopen(requests, "rb", buffering=1 << 16), os.fdopen(replies, "wb", buffering=0)


def go_first_without_memory() -> None:
    """Before the parent, whose stores are open."""
    with (
        contextlib.suppress(OSError),  # Linux only
        open("/proc/self/oom_score_adj", "w") as file,  # noqa: PTH123 (pathlib costs 10 ms)
    ):
        file.write(_OUT_OF_MEMORY_FIRST)


def send_all(replies: BinaryIO, content: bytes) -> None:
    """An unbuffered pipe may take a part only."""
    rest = memoryview(content)
    while rest:
        rest = rest[replies.write(rest) :]
