"""One running parser process: started, asked within a time, and killed."""

from dataclasses import dataclass

from reindex.parsers.frames import (
    LIMITS,
    PATH_BYTES_MAX,
    READY,
    REPLY,
    WORDS_BYTES_MAX,
    Outcome,
    request_head,
)
from reindex.processes.parent_side import END_LIMIT_S, Allowance, ChildDiedError, ChildProcess

START_LIMIT_S = 60.0
_NONSENSE = "it sent what no parser process sends"
_OUTCOMES = frozenset(Outcome)


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """What the process may take. `reply_bytes_max` bounds what comes out of one document."""

    memory_mb: int
    reply_bytes_max: int


class ParserChild:
    """A parser process and what is said to it. Not for two threads at a time, except `kill`."""

    def __init__(self, limits: ParserLimits) -> None:
        """Start it and wait until it is ready. Raises OSError, ChildDiedError and TimeUpError."""
        self._limits = limits
        self._asked = READY
        self.kept_bytes = 0  # of memory, by its last answer
        self._process = ChildProcess("reindex.parsers.worker")
        try:
            allowance = Allowance(START_LIMIT_S)
            self._process.send([LIMITS.pack(limits.memory_mb << 20, limits.reply_bytes_max)], allowance)
            self._receive(allowance)
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
        allowance = Allowance(timeout_s)
        head = request_head(self._asked, 2 * timeout_s + END_LIMIT_S, path[-PATH_BYTES_MAX:], content)
        self._process.send([head, content], allowance)
        return self._receive(allowance)

    def kill(self) -> None:
        """Whatever it does, at once. Another thread that waits for its answer gets ChildDiedError."""
        self._process.kill()

    def close(self) -> None:
        """Kill it, and leave nothing of it."""
        self._process.close()

    def _receive(self, allowance: Allowance) -> tuple[Outcome, bytearray]:
        answer = self._process.read(bytearray(), REPLY.size, allowance)
        number, outcome, self.kept_bytes, length = REPLY.unpack_from(answer)
        length_max = max(self._limits.reply_bytes_max, WORDS_BYTES_MAX)
        if number != self._asked or outcome not in _OUTCOMES or length > length_max:
            raise ChildDiedError(_NONSENSE)
        del answer[: REPLY.size]
        if len(self._process.read(answer, length, allowance)) > length:
            raise ChildDiedError(_NONSENSE)
        return Outcome(outcome), answer
