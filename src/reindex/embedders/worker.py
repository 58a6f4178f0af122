"""The model's process: texts come in, their vectors go out, and it ends with its parent.

Started by `embedders.beside`.
"""

import os
from collections.abc import Callable
from typing import BinaryIO

from reindex.embedders.frames import (
    ORDERS,
    READY,
    REPLY,
    REQUEST,
    Orders,
    Outcome,
    orders_from_bytes,
    texts_from_bytes,
    words_to_bytes,
)
from reindex.embedders.local import LocalEmbedder, LocalOptions
from reindex.errors import ModelError, ReindexError
from reindex.ports import Embedder
from reindex.processes.child_side import end_with_parent, go_first_without_memory, own_pipes, send_all
from reindex.vectors import to_bytes

_LENGTH_BYTES = 4


def main(lifeline: int) -> None:
    """Serve until the input ends."""
    serve(lifeline, _embedder)


def serve(lifeline: int, make_embedder: Callable[[Orders, Callable[[str], None]], Embedder]) -> None:
    """The same with the embedder that is made by the orders; what it says goes to the parent."""
    end_with_parent(lifeline)
    requests, replies = own_pipes()
    go_first_without_memory()
    orders = orders_from_bytes(requests.read(*ORDERS.unpack(requests.read(ORDERS.size))))
    os.nice(orders.niceness)
    number = READY
    embedder = make_embedder(
        orders, lambda words: _send(replies, number, Outcome.SAID, words_to_bytes(words))
    )
    _send(replies, READY, Outcome.VECTORS, b"")
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        number, count, length = REQUEST.unpack(head)
        lengths = requests.read(count * _LENGTH_BYTES)
        content = requests.read(length)
        if len(content) < length:
            return
        _answer(replies, number, embedder, texts_from_bytes(lengths, content))


def _embedder(orders: Orders, say: Callable[[str], None]) -> Embedder:
    options = LocalOptions(orders.data_dir, orders.backend, orders.threads, say)
    return LocalEmbedder(orders.model, orders.space, options)


def _answer(replies: BinaryIO, number: int, embedder: Embedder, texts: list[str]) -> None:
    try:
        vectors = embedder.embed(texts)
    except ReindexError as error:
        is_model = isinstance(error, ModelError)
        outcome = Outcome.MODEL_ERROR if is_model else Outcome.EMBEDDING_ERROR
        _send(replies, number, outcome, words_to_bytes(error.message, error.hint))
    else:
        rows, columns = vectors.shape
        _send(replies, number, Outcome.VECTORS, to_bytes(vectors), rows, columns)


def _send(
    replies: BinaryIO, number: int, outcome: Outcome, content: bytes, rows: int = 0, columns: int = 0
) -> None:
    send_all(replies, REPLY.pack(number, outcome, rows, columns, len(content)) + content)
