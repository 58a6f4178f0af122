"""One running parser process: started, asked within a time, and killed."""

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass

from reindex.parsers.frames import PATH_BYTES_MAX, READY, REPLY, WORDS_BYTES_MAX, Outcome, request_head

START_LIMIT_S = 60.0
END_LIMIT_S = 5.0
_SLICE_S = 1.0
_READ_BYTES = 1 << 16  # what a pipe holds
_NONSENSE = "it sent what no parser process sends"
_OUTCOMES = frozenset(Outcome)
_BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[4:]; from reindex.parsers.worker import main; main(sys.argv[1:4])"
)


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """What the process may take. `reply_bytes_max` bounds what comes out of one document."""

    memory_mb: int
    reply_bytes_max: int


class ChildDiedError(Exception):
    """The process ended, or said what it should never say. The message is the cause."""


class TimeUpError(Exception):
    """The process did not answer in time."""


class ParserChild:
    """A child process with pipes to it. Not for two threads at a time, except `kill`."""

    def __init__(self, limits: ParserLimits) -> None:
        """Start it and wait until it is ready. Raises OSError, ChildDiedError and TimeUpError."""
        self._limits = limits
        self._asked = READY
        self.kept_bytes = 0  # of memory, by its last answer
        self._process, lifeline = _start(limits)
        self.close = weakref.finalize(self, _end, self._process, lifeline)
        """Kill it, and leave nothing of it. Happens also when this object, or this process, goes."""
        try:
            for descriptor in self._pipes():
                os.set_blocking(descriptor, False)
            self._writable, self._readable = map(_poll, self._pipes(), (select.POLLOUT, select.POLLIN))
            self._receive(_Allowance(START_LIMIT_S))
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, path: str, content: bytes, timeout_s: float) -> tuple[Outcome, bytearray]:
        """Send a document, wait for the answer. Raises ChildDiedError and TimeUpError.

        After any exception it must be closed: the answer may still come.
        """
        self._asked += 1
        allowance = _Allowance(timeout_s)
        head = request_head(self._asked, 2 * timeout_s + END_LIMIT_S, path[-PATH_BYTES_MAX:], content)
        self._send([head, content], allowance)
        return self._receive(allowance)

    def kill(self) -> None:
        """Whatever it does, at once. Another thread that waits for its answer gets ChildDiedError."""
        self._process.kill()

    def _pipes(self) -> tuple[int, int]:
        """Its input and its output."""
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        return self._process.stdin.fileno(), self._process.stdout.fileno()

    def _send(self, parts: list[bytes], allowance: "_Allowance") -> None:
        descriptor, _ = self._pipes()
        rest = [memoryview(part) for part in parts]
        try:
            while rest:
                try:
                    written = os.writev(descriptor, rest)
                except BlockingIOError:
                    allowance.wait(self._writable)
                    continue
                while rest and written >= len(rest[0]):
                    written -= len(rest.pop(0))
                if rest:
                    rest[0] = rest[0][written:]
        except BrokenPipeError:
            raise ChildDiedError(self._cause_of_death()) from None

    def _receive(self, allowance: "_Allowance") -> tuple[Outcome, bytearray]:
        answer = self._read(bytearray(), REPLY.size, allowance)
        number, outcome, self.kept_bytes, length = REPLY.unpack_from(answer)
        length_max = max(self._limits.reply_bytes_max, WORDS_BYTES_MAX)
        if number != self._asked or outcome not in _OUTCOMES or length > length_max:
            raise ChildDiedError(_NONSENSE)
        del answer[: REPLY.size]
        if len(self._read(answer, length, allowance)) > length:
            raise ChildDiedError(_NONSENSE)
        return Outcome(outcome), answer

    def _read(self, content: bytearray, length: int, allowance: "_Allowance") -> bytearray:
        """`content`, and what comes after it, until it is so long."""
        _, descriptor = self._pipes()
        while len(content) < length:
            allowance.wait(self._readable)
            part = os.read(descriptor, _READ_BYTES)
            if not part:
                raise ChildDiedError(self._cause_of_death())
            content += part
        return content

    def _cause_of_death(self) -> str:
        """Its pipes are closed: it is dead, or good for nothing."""
        try:
            code = self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            return "it closed its pipes"
        if code >= 0:
            return f"it ended with code {code}"
        with contextlib.suppress(ValueError):
            return f"it died of {signal.Signals(-code).name}"
        return f"it died of signal {-code}"


class _Allowance:
    """Time to wait, in slices: while we ourselves are stopped (Ctrl-Z, sleep), one passes at most."""

    def __init__(self, limit_s: float) -> None:
        self._left_s = limit_s

    def wait(self, poll: select.poll) -> None:
        """Until the pipe is ready or closed. Raises TimeUpError when nothing is left."""
        while self._left_s > 0:
            begun_s = time.monotonic()
            slice_s = min(_SLICE_S, self._left_s)
            is_ready = poll.poll(math.ceil(slice_s * 1000))
            self._left_s -= min(time.monotonic() - begun_s, slice_s)
            if is_ready:
                return
        raise TimeUpError


def _poll(descriptor: int, event: int) -> select.poll:
    poll = select.poll()
    poll.register(descriptor, event)
    return poll


def _start(limits: ParserLimits) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the end of the lifeline that it dies with.

    Without `site` and the user's PYTHON* variables: the child takes the module path as it is here.
    """
    theirs, ours = os.pipe()
    arguments = (theirs, limits.memory_mb << 20, limits.reply_bytes_max)
    path = (os.path.abspath(folder) for folder in sys.path)  # noqa: PTH100 (pathlib refuses some)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited, until the child ignores it
    try:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, *map(str, arguments), *path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            pass_fds=(theirs,),
            cwd="/",
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(theirs)
    return process, ours


def _end(process: subprocess.Popen[bytes], lifeline: int) -> None:
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_LIMIT_S)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    os.close(lifeline)
