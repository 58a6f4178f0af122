"""The parser process: documents come in, their blocks go out, and it ends with its parent.

Started by `parsers.child`; every limit that the system can hold is set here, before the first document.
"""

import contextlib
import fcntl
import gc
import os
import resource
import signal
from dataclasses import dataclass
from typing import BinaryIO

from reindex.errors import ParseError
from reindex.parsers.frames import READY, REPLY, REQUEST, Outcome, blocks_to_bytes, words_to_bytes
from reindex.parsers.registry import parse_document

_GARBAGE_THRESHOLD = 100_000  # the default looks at a large document's objects so often that it takes a third
_OUT_OF_MEMORY_FIRST = "500"  # the system's memory killer should choose the parser before its parent


@dataclass(frozen=True, slots=True)
class _Limits:
    """As the parent's command line gives them."""

    lifeline: int  # the end of a pipe whose other end only the parent holds
    memory_bytes: int  # over what this process has at its start; 0: none
    reply_bytes_max: int


def main(arguments: list[str]) -> None:
    """Serve until the input ends."""
    limits = _Limits(*map(int, arguments))
    _end_with_parent(limits.lifeline)
    requests, replies = _own_pipes()
    _limit_resources(limits.memory_bytes)
    gc.set_threshold(_GARBAGE_THRESHOLD)
    gc.freeze()
    memory = _Memory()
    _send(replies, READY, Outcome.PARSED, memory.size_bytes(), b"")
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        number, alarm_s, path_length, content_length = REQUEST.unpack(head)
        path = os.fsdecode(requests.read(path_length))
        content = requests.read(content_length)
        if len(content) < content_length:
            return
        signal.setitimer(signal.ITIMER_REAL, alarm_s)  # ends this process also in native code
        outcome, answer = _parse(path, content, limits.reply_bytes_max)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(replies, number, outcome, memory.size_bytes(), answer)


def _parse(path: str, content: bytes, reply_bytes_max: int) -> tuple[Outcome, bytes]:
    try:
        answer = blocks_to_bytes(parse_document(path, content), reply_bytes_max)
    except ParseError as error:
        if isinstance(error.__cause__, MemoryError):
            return Outcome.OUT_OF_MEMORY, b""
        return Outcome.REFUSED, words_to_bytes(error.message, error.hint)
    except MemoryError:
        return Outcome.OUT_OF_MEMORY, b""
    return (Outcome.TOO_LONG, b"") if answer is None else (Outcome.PARSED, answer)


def _end_with_parent(lifeline: int) -> None:
    """The kernel kills this process when the parent's end of the lifeline closes, however the parent ended,
    whatever runs here. (A thread would wait for the interpreter, which a regular expression holds.)

    Where the kernel can't (it is Linux's), the end of the input and the alarm are left.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Input and output in new places: what a library prints or reads must not meet the parent's frames."""
    requests, replies = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return os.fdopen(requests, "rb", buffering=1 << 16), os.fdopen(replies, "wb", buffering=0)


def _limit_resources(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no cores of what hostile documents do
    with contextlib.suppress(OSError):  # Linux only
        with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 (pathlib costs 10 ms)
            file.write(_OUT_OF_MEMORY_FIRST)
        with open("/proc/self/statm") as file:  # noqa: PTH123
            limit = int(file.read().split()[0]) * resource.getpagesize() + memory_bytes
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if memory_bytes and (hard == resource.RLIM_INFINITY or limit < hard):
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class _Memory:
    """What this process holds now."""

    def __init__(self) -> None:
        self._statm = -1
        with contextlib.suppress(OSError):
            self._statm = os.open("/proc/self/statm", os.O_RDONLY)

    def size_bytes(self) -> int:
        """Resident; 0 where the system does not say."""
        if self._statm < 0:
            return 0
        return int(os.pread(self._statm, 128, 0).split()[1]) * resource.getpagesize()


def _send(replies: BinaryIO, number: int, outcome: Outcome, kept_bytes: int, answer: bytes) -> None:
    rest = memoryview(REPLY.pack(number, outcome, kept_bytes, len(answer)) + answer)
    while rest:
        rest = rest[replies.write(rest) :]
