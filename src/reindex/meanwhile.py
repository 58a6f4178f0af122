"""Asking something that takes its time in a thread of its own, beside whatever else is to be done."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from reindex.ports import PaidAnswer, PaidEmbedder

if TYPE_CHECKING:
    from reindex.vectors import Vectors

_STEP_S = 0.05

T = TypeVar("T")


def run_beside(call: Callable[[], T], meanwhile: Callable[[], None], *, abandons: bool = False) -> T:
    """What `call` returns or raises; `meanwhile` is called in this thread until then.

    An exception of `meanwhile`, or Ctrl-C, is raised when the call is over: it may write, and then nobody
    else may before that. One that only asks a server is abandoned (`abandons`), and no exit waits for it.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 (raised again where it is waited for)
            future.set_exception(error)

    Thread(target=run, name="beside", daemon=abandons).start()
    try:
        while not future.done():
            meanwhile()
            wait([future], _STEP_S)
    except BaseException:
        if not abandons:
            wait([future])
        raise
    return future.result()


class UnhurriedEmbedder:
    """A PaidEmbedder that asks another one in a thread. `meanwhile` must not raise: an answer that nobody
    waits for is paid for all the same.
    """

    def __init__(self, inner: PaidEmbedder, meanwhile: Callable[[], None]) -> None:
        self._inner = inner
        self._meanwhile = meanwhile

    def embed(self, texts: Sequence[str]) -> "Vectors":
        return run_beside(lambda: self._inner.embed(texts), self._meanwhile, abandons=True)

    def embed_partly(
        self,
        texts: Sequence[str],
        token_counts: Sequence[int],
        on_lost: Callable[[int, int], None],
        on_wrong: Callable[[int, int], None],
    ) -> PaidAnswer:
        """The last two are told in the thread that asks: the ledger is open in that one alone."""
        told: SimpleQueue[Callable[[], None]] = SimpleQueue()

        def tell() -> None:
            while not told.empty():
                told.get()()

        def step() -> None:
            tell()
            self._meanwhile()

        def ask() -> PaidAnswer:
            return self._inner.embed_partly(
                texts,
                token_counts,
                lambda count, tokens: told.put(lambda: on_lost(count, tokens)),
                lambda count, tokens: told.put(lambda: on_wrong(count, tokens)),
            )

        try:
            return run_beside(ask, step, abandons=True)
        finally:
            tell()
