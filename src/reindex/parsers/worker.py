"""The parser process: documents come in, their blocks go out, and it ends with its parent.

Started by `parsers.child`; every limit that the system can hold is set here, before the first document.
"""

import contextlib
import gc
import os
import resource
import signal
from typing import BinaryIO

from reindex.errors import ParseError
from reindex.parsers.frames import LIMITS, READY, REPLY, REQUEST, Outcome, blocks_to_bytes, words_to_bytes
from reindex.parsers.registry import parse_document
from reindex.processes.child_side import end_with_parent, go_first_without_memory, own_pipes, send_all

_GARBAGE_THRESHOLD = 100_000  # the default looks at a large document's objects so often that it takes a third


def main(lifeline: int) -> None:
    """Serve until the input ends."""
    end_with_parent(lifeline)
    requests, replies = own_pipes()
    memory_bytes, reply_bytes_max = LIMITS.unpack(requests.read(LIMITS.size))
    go_first_without_memory()
    _limit_resources(memory_bytes)
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
        outcome, answer = _parse(path, content, reply_bytes_max)
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


def _limit_resources(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no cores of what hostile documents do
    with contextlib.suppress(OSError):  # Linux only
        with open("/proc/self/statm") as file:  # noqa: PTH123 (pathlib costs 10 ms)
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
    send_all(replies, REPLY.pack(number, outcome, kept_bytes, len(answer)) + answer)
