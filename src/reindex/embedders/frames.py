"""What a model's process and its parent say to each other, as bytes.

A reply is not believed further than numbers and lengths go: nothing in it can name code.
"""

import json
import struct
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path

from reindex.core.identity import EmbeddingSpace
from reindex.embedders.models import LocalModel

ORDERS = struct.Struct("<Q")
"""How many bytes of orders follow: the first that is sent."""

REQUEST = struct.Struct("<IIQ")
"""The request's number, how many texts, and their bytes. Their lengths, each a u32, and the texts follow."""

REPLY = struct.Struct("<IIIIQ")
"""The request's number (0 says: ready), the outcome, rows and columns, and the bytes that follow."""

READY = 0
WORDS_BYTES_MAX = 1 << 14


class Outcome(IntEnum):
    """What a reply is."""

    VECTORS = 0
    SAID = 1  # something for the user; the answer follows
    EMBEDDING_ERROR = 2
    MODEL_ERROR = 3


@dataclass(frozen=True, slots=True)
class Orders:
    """What the process is to run, and how. It can't be told by a callable as LocalOptions has one."""

    model: LocalModel
    space: EmbeddingSpace
    data_dir: Path
    backend: str
    threads: int
    niceness: int


def orders_to_bytes(orders: Orders) -> bytes:
    """With their length before them."""
    value = asdict(orders)
    value["data_dir"] = str(orders.data_dir)
    value["model"]["directory"] = str(orders.model.directory)
    content = json.dumps(value).encode("ascii")
    return ORDERS.pack(len(content)) + content


def orders_from_bytes(content: bytes) -> Orders:
    """The inverse, without the length."""
    value = json.loads(content)
    model = value["model"] | {"directory": Path(value["model"]["directory"])}
    return Orders(
        **value
        | {
            "model": LocalModel(**model),
            "space": EmbeddingSpace(**value["space"]),
            "data_dir": Path(value["data_dir"]),
        }
    )


def request(number: int, texts: Sequence[str]) -> list[bytes]:
    """A request in parts. Lone surrogates pass: the model is to say what it thinks of them."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    lengths = array("I", map(len, encoded))
    content = b"".join(encoded)
    return [REQUEST.pack(number, len(encoded), len(content)) + lengths.tobytes(), content]


def texts_from_bytes(lengths: bytes, content: bytes) -> list[str]:
    """The texts of a request."""
    texts = []
    at = 0
    for length in memoryview(lengths).cast("I"):
        texts.append(content[at : at + length].decode("utf-8", "surrogatepass"))
        at += length
    return texts


def words_to_bytes(message: str, hint: str = "") -> bytes:
    """A failure, or something said, in words."""
    return f"{message[:2000]}\0{hint[:2000]}".encode("utf-8", "replace")


def words_from_bytes(content: bytes | bytearray) -> tuple[str, str]:
    """Message and hint, whatever came."""
    message, _, hint = content.decode("utf-8", "replace").partition("\0")
    return message, hint
