"""The words of the product as values: documents, revisions, chunks, vectors, generations."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, NewType

Revision = NewType("Revision", bytes)
"""sha256 of a document's bytes (32 bytes)."""

EmbeddingKey = NewType("EmbeddingKey", bytes)
"""sha256(space fingerprint, exact text sent) (32 bytes): what a vector is filed under."""

DAY_S = 86_400
"""The vector cache counts its use in days."""


class DocumentName(NamedTuple):
    """A document: one file of one source.

    `path` is relative to the source's folder, with `/`; bytes that are not UTF-8 are surrogate-escaped
    (`os.fsencode` gives them back).

    (A named tuple, because every pass looks each document up and sorts them: to make, hash and compare a
    frozen dataclass takes several times as long.)
    """

    source: str
    path: str

    def __str__(self) -> str:
        return f"{self.source}:{self.path}"


Places = Mapping[str, frozenset[str]]
"""Source -> paths relative to its folder: files, and folders with all below them. `WHOLE` is all of it."""

WHOLE = frozenset({""})


def lies_in(name: DocumentName, places: Places) -> bool:
    """Whether a document stands at one of the places, or below."""
    paths = places.get(name.source, frozenset())
    if not paths or "" in paths or name.path in paths:
        return bool(paths)
    above = name.path.rpartition("/")[0]
    while above and above not in paths:
        above = above.rpartition("/")[0]
    return bool(above)


def outermost(paths: Iterable[str]) -> frozenset[str]:
    """These places without those that lie in others."""
    kept: list[str] = []
    for path in sorted(set(paths), key=lambda path: path.replace("/", "\0")):  # what is below follows it
        if path == "":
            return WHOLE
        if not (kept and path.startswith(kept[-1] + "/")):
            kept.append(path)
    return frozenset(kept)


class FileStat(NamedTuple):
    """What lstat says of a regular file. Compared for equality only, never for newer-than.

    (A named tuple, because a scan makes one for each file: a frozen dataclass takes three times as long.)
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    dev: int
    ino: int


class BlockKind(StrEnum):
    """What a parser found. A chunk never starts in the middle of a block that fits in it."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    CODE = "code"
    TABLE = "table"
    ITEM = "item"


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a document in reading order: `text` is what a reader sees, at lines `line_start..line_end`
    (from 1, both included). `level` is 1 (strongest) to 6 for headings, 0 for all else. `title` is a
    heading's words without markup.
    """

    kind: BlockKind
    text: str
    line_start: int
    line_end: int
    level: int = 0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document: the exact text to embed, where it stands, and under which headings.

    `tokens` is its size by the model's own tokenizer, special tokens and prompt not included.
    """

    text: str
    line_start: int
    line_end: int
    headings: tuple[str, ...]
    tokens: int


def digest(*parts: bytes) -> bytes:
    """sha256 over framed parts (32 bytes)."""
    return hashlib.sha256(framed(*parts)).digest()


def framed(*parts: bytes) -> bytes:
    """The parts, each after its length, so that no two different lists of parts meet."""
    return b"".join(piece for part in parts for piece in (len(part).to_bytes(8, "little"), part))
