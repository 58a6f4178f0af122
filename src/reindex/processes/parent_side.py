"""A child process as its parent sees it: started, spoken with through pipes within a time, and killed."""

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence

END_LIMIT_S = 5.0
_SLICE_S = 1.0
_READ_BYTES = 1 << 16  # what a pipe holds
_BOOTSTRAP = (
    "import sys; sys.path[:] = sys.argv[3:]; from importlib import import_module;"
    " import_module(sys.argv[1]).main(int(sys.argv[2]))"
)


class ChildDiedError(Exception):
    """The process ended, or said what it should never say. The message is the cause."""


class TimeUpError(Exception):
    """The process did not answer in time."""


class ChildProcess:
    """A module's `main(lifeline)` in an interpreter of its own, with pipes to it.

    Not for two threads at a time, except `kill`.
    """

    def __init__(self, module: str) -> None:
        """Start it. Raises OSError."""
        self._process, lifeline = _start(module)
        self.close = weakref.finalize(self, _end, self._process, lifeline)
        """Kill it, and leave nothing of it. Happens also when this object, or this process, goes."""
        try:
            for descriptor in self._pipes():
                os.set_blocking(descriptor, False)
            self._writable, self._readable = map(_poll, self._pipes(), (select.POLLOUT, select.POLLIN))
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """Whatever it does, at once. Another thread that waits for its answer gets ChildDiedError."""
        self._process.kill()

    def send(self, parts: Sequence[bytes], allowance: "Allowance") -> None:
        """All of the parts. Raises ChildDiedError and TimeUpError."""
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

    def read(self, content: bytearray, length: int, allowance: "Allowance") -> bytearray:
        """`content`, and what comes after it, until it is at least so long. Raises as `send` does."""
        _, descriptor = self._pipes()
        while len(content) < length:
            allowance.wait(self._readable)
            part = os.read(descriptor, _READ_BYTES)
            if not part:
                raise ChildDiedError(self._cause_of_death())
            content += part
        return content

    def _pipes(self) -> tuple[int, int]:
        """Its input and its output."""
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        return self._process.stdin.fileno(), self._process.stdout.fileno()

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


class Allowance:
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


def _start(module: str) -> tuple[subprocess.Popen[bytes], int]:
    """The process, and the end of the lifeline that it dies with.

    Without `site` and the user's PYTHON* variables: the child takes the module path as it is here.
    """
    theirs, ours = os.pipe()
    path = (os.path.abspath(folder) for folder in sys.path)  # noqa: PTH100 (pathlib refuses some)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited, until the child ignores it
    try:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, module, str(theirs), *path],
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
