"""A local model in a process of its own: what kills it, or fills the memory, ends nothing else."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from reindex.embedders.frames import (
    READY,
    REPLY,
    WORDS_BYTES_MAX,
    Orders,
    Outcome,
    orders_to_bytes,
    request,
    words_from_bytes,
)
from reindex.errors import EmbeddingError, ModelError
from reindex.processes.parent_side import Allowance, ChildDiedError, ChildProcess, TimeUpError

if TYPE_CHECKING:
    from reindex.vectors import Vectors

ATTEMPTS = 2  # the second in a new process: the first may have died of something else than these texts
START_LIMIT_S = 60.0  # an interpreter and its imports, on a machine with much else to do
LOAD_LIMIT_S = 600.0  # the first texts wait for the model; once in its life for its encoder to be written
ANSWER_LIMIT_S = 60.0
ANSWER_S_PER_BYTE = 0.005  # 200 bytes a second: a fiftieth of what the default model does on one busy core
WORKER = "reindex.embedders.worker"

_NONSENSE = "it sent what no model's process sends"
_NOT_AT_FAULT = "Nothing that is stored is at fault. Look for a lack of memory, then run it again."


class ModelProcess:
    """An Embedder of one space. The process is started by the first texts, serves one thread at a time,
    whichever it is, and may be closed from any.
    """

    def __init__(self, orders: Orders, say: Callable[[str], None] = lambda _: None) -> None:
        """Starts nothing yet. `say` is told what the model has to say, by the thread that asks."""
        self._orders = orders
        self._say = say
        self._lock = threading.Lock()
        self._child: _ModelChild | None = None
        self._used_at = time.monotonic()
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        child = self._child
        return child.pid if child is not None else None

    @property
    def is_closed(self) -> bool:
        """Whether it was ended for good."""
        return self._is_closed

    def embed(self, texts: Sequence[str]) -> "Vectors":
        """Unit vectors of shape (len(texts), dimensions), as LocalEmbedder makes them.

        Raises its ModelError and EmbeddingError, and EmbeddingError for a process that died twice, took too
        long, or can't be started.
        """
        with self._lock:
            try:
                return self._embed(texts)
            finally:
                self._used_at = time.monotonic()

    def close_if_idle(self, now_monotonic: float, idle_s: float) -> bool:
        """End the process if it was asked nothing for so long; the next texts start another. Did it end?"""
        if not self._lock.acquire(blocking=False):
            return False  # it is at work
        try:
            if self._child is None or now_monotonic - self._used_at < idle_s:
                return False
            self._stop()
            return True
        finally:
            self._lock.release()

    def close(self) -> None:
        """End it for good, also at work: that `embed`, and every later one, raises EmbeddingError."""
        self._is_closed = True
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:
            self._stop()

    def _embed(self, texts: Sequence[str]) -> "Vectors":
        cause = ""
        for _ in range(ATTEMPTS):
            if self._is_closed:
                break
            try:
                return self._embed_once(texts)
            except (ChildDiedError, OSError) as death:
                cause = str(death)
            except TimeUpError:
                message = f"the model's process did not answer to {len(texts)} texts in time"
                raise EmbeddingError(message, _NOT_AT_FAULT) from None
        if self._is_closed:
            raise EmbeddingError("the model's process was closed")
        raise EmbeddingError(f"the model's process died, in {ATTEMPTS} attempts: {cause}", _NOT_AT_FAULT)

    def _embed_once(self, texts: Sequence[str]) -> "Vectors":
        """Raises what tells of a process that is lost, too: then the next one is a new one."""
        is_usable = False
        try:
            if self._child is None:
                self._child = _ModelChild(self._orders)
            if self._is_closed:  # meanwhile: `close` may have come too early to see this one
                raise ChildDiedError("it was closed")
            vectors = self._child.ask(texts, self._say)
            is_usable = True
        except (EmbeddingError, ModelError):
            is_usable = True
            raise
        finally:
            if not is_usable or self._is_closed:
                self._stop()
        return vectors

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()


class _ModelChild:
    """One running process, and what is said to it. After ChildDiedError, TimeUpError or an interrupt it must
    be closed.
    """

    def __init__(self, orders: Orders) -> None:
        """Start it and wait until it is ready. Raises OSError, ChildDiedError and TimeUpError."""
        self._dimensions = orders.space.dimensions
        self._asked = READY
        self._has_answered = False
        self._process = ChildProcess(WORKER)
        self.close = self._process.close
        try:
            allowance = Allowance(START_LIMIT_S)
            self._process.send([orders_to_bytes(orders)], allowance)
            self._receive(0, allowance, lambda _: None)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()

    def ask(self, texts: Sequence[str], say: Callable[[str], None]) -> "Vectors":
        """Raises the child's EmbeddingError and ModelError as well."""
        self._asked += 1
        parts = request(self._asked, texts)
        limit_s = ANSWER_LIMIT_S if self._has_answered else LOAD_LIMIT_S
        allowance = Allowance(limit_s + ANSWER_S_PER_BYTE * len(parts[-1]))
        self._process.send(parts, allowance)
        vectors = self._receive(len(texts), allowance, say)
        self._has_answered = True
        return vectors

    def _receive(self, count: int, allowance: Allowance, say: Callable[[str], None]) -> "Vectors":
        content = bytearray()
        while True:
            self._process.read(content, REPLY.size, allowance)
            number, outcome, rows, columns, length = REPLY.unpack_from(content)
            is_known = number == self._asked and outcome in set(Outcome)
            if not is_known or length > max(WORDS_BYTES_MAX, 4 * count * self._dimensions):
                raise ChildDiedError(_NONSENSE)
            del content[: REPLY.size]
            self._process.read(content, length, allowance)
            answer = bytes(content[:length])
            del content[:length]
            if outcome == Outcome.SAID:
                say(words_from_bytes(answer)[0])
                continue
            if content:
                raise ChildDiedError(_NONSENSE)
            if outcome == Outcome.EMBEDDING_ERROR:
                raise EmbeddingError(*words_from_bytes(answer))
            if outcome == Outcome.MODEL_ERROR:
                raise ModelError(*words_from_bytes(answer))
            return self._vectors(answer, count, rows, columns)

    def _vectors(self, answer: bytes, count: int, rows: int, columns: int) -> "Vectors":
        from reindex.vectors import check_vectors, from_bytes

        is_right = rows == count and (columns == self._dimensions or not rows)
        if not is_right or len(answer) != 4 * rows * columns:
            raise ChildDiedError(_NONSENSE)
        vectors: Vectors = from_bytes([answer], self._dimensions)
        try:
            check_vectors(vectors, count)
        except EmbeddingError as error:
            raise ChildDiedError(error.message) from error
        return vectors
