"""What the parser process and its parent say to each other, as bytes.

The child runs native code on hostile bytes, so what it sends is not believed: a fixed head, numbers, and one
text that they cut. Nothing in it can name code, as a pickle would, or become more than it is long.
"""

import os
import struct
from array import array
from collections.abc import Iterable
from enum import IntEnum

from reindex.model import Block, BlockKind

LIMITS = struct.Struct("<QQ")
"""The first that is sent: bytes of memory over what it has at its start (0: any), and of one reply."""

REQUEST = struct.Struct("<IdIQ")
"""The request's number, seconds until an alarm, the lengths of path and content in bytes; both follow."""

REPLY = struct.Struct("<IIQQ")
"""The request's number (0 says: ready), the outcome, the memory it keeps and the length of what follows, in
bytes.
"""

READY = 0
PATH_BYTES_MAX = 1 << 20
WORDS_BYTES_MAX = 1 << 14

_KINDS = tuple(BlockKind)
_KIND_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}
_COUNT = struct.Struct("<Q")
_NUMBERS = 6  # of a block: kind, first line, last line, level, and the lengths of text and title


class Outcome(IntEnum):
    """What became of a document."""

    PARSED = 0
    REFUSED = 1
    OUT_OF_MEMORY = 2
    TOO_LONG = 3


class FrameError(Exception):
    """What was sent is not what a parser process sends."""


def request_head(number: int, alarm_s: float, path: str, content: bytes) -> bytes:
    """All of a request but the content that follows it."""
    name = os.fsencode(path)
    return REQUEST.pack(number, alarm_s, len(name), len(content)) + name


def blocks_to_bytes(blocks: Iterable[Block], bytes_max: int) -> bytes | None:
    """The blocks, or None when they are longer than `bytes_max`."""
    numbers = array("I")
    texts: list[str] = []
    left = bytes_max - _COUNT.size  # none of the characters is shorter than a byte
    for block in blocks:
        left -= len(block.text) + len(block.title) + _NUMBERS * numbers.itemsize
        if left < 0:
            return None
        kind = _KIND_NUMBERS[block.kind]
        numbers.extend(
            (kind, block.line_start, block.line_end, block.level, len(block.text), len(block.title))
        )
        texts += (block.text, block.title)
    content = b"".join((_COUNT.pack(len(texts) // 2), numbers, "".join(texts).encode()))
    return content if len(content) <= bytes_max else None


def blocks_from_bytes(content: bytes | bytearray) -> tuple[Block, ...]:
    """The same blocks. Raises FrameError for anything else."""
    numbers, text = _parts(content)
    blocks = []
    at = 0
    values = iter(numbers)
    for kind, first, last, level, text_length, title_length in zip(*[values] * _NUMBERS, strict=True):
        title_at = at + text_length
        end = title_at + title_length
        if kind >= len(_KINDS) or not 1 <= first <= last or level > 6:
            raise FrameError("a block that can't be")
        blocks.append(Block(_KINDS[kind], text[at:title_at], first, last, level, text[title_at:end]))
        at = end
    if at != len(text):
        raise FrameError("blocks of another length than their text")
    return tuple(blocks)


def _parts(content: bytes | bytearray) -> tuple[list[int], str]:
    view = memoryview(content)
    if len(view) < _COUNT.size:
        raise FrameError("no number of blocks")
    (count,) = _COUNT.unpack_from(view)
    numbers = array("I")
    numbers_end = _COUNT.size + count * _NUMBERS * numbers.itemsize
    if numbers_end > len(view):
        raise FrameError("fewer blocks than announced")
    numbers.frombytes(view[_COUNT.size : numbers_end])
    try:
        return numbers.tolist(), str(view[numbers_end:], "utf-8")
    except UnicodeDecodeError as error:
        raise FrameError("a text that is not UTF-8") from error


def words_to_bytes(message: str, hint: str) -> bytes:
    """A refusal in words."""
    return f"{message[:2000]}\0{hint[:2000]}".encode("utf-8", "replace")


def words_from_bytes(content: bytes | bytearray) -> tuple[str, str]:
    """Message and hint, whatever came."""
    message, _, hint = content.decode("utf-8", "replace").partition("\0")
    return message, hint
