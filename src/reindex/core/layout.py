"""What shifts inside a document (order, lines, headings, revision), kept once beside its chunks."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reindex.core.identity import chunk_ids, pack_keys, unpack_keys
from reindex.model import Chunk, DocumentName, EmbeddingKey, Revision

LAYOUT_FORMAT = 1
_COMPACT = json.JSONEncoder(separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a chunk stands: lines from 1, both included, and the headings above it, outermost first."""

    line_start: int
    line_end: int
    headings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DocumentPlaces:
    """Where the chunks of a document stand, by their ids."""

    name: DocumentName
    of_chunk: Mapping[str, Place]


@dataclass(frozen=True, slots=True)
class DocumentLayout:
    """A document as its row in the table tells it. `keys` and `places` are in reading order."""

    name: DocumentName
    revision: Revision
    parser: str
    tokens: int
    indexed_at: float
    keys: tuple[EmbeddingKey, ...]
    places: tuple[Place, ...]

    def chunk_ids(self) -> list[str]:
        """The ids of this document's chunk rows, in reading order."""
        return chunk_ids(self.name, self.keys)

    def by_chunk(self) -> DocumentPlaces:
        """What hits need of it."""
        return DocumentPlaces(self.name, dict(zip(self.chunk_ids(), self.places, strict=True)))


def layout_of(
    name: DocumentName,
    revision: Revision,
    parser: str,
    chunks: Sequence[Chunk],
    keys: Sequence[EmbeddingKey],
    indexed_at: float,
) -> DocumentLayout:
    """The layout of a document that was just chunked; a key for each chunk."""
    assert len(chunks) == len(keys), "a key for each chunk"
    places = tuple(Place(chunk.line_start, chunk.line_end, chunk.headings) for chunk in chunks)
    tokens = sum(chunk.tokens for chunk in chunks)
    return DocumentLayout(name, revision, parser, tokens, indexed_at, tuple(keys), places)


def encode_layout(layout: DocumentLayout) -> bytes:
    """JSON in ASCII; each heading path is written once."""
    paths: dict[tuple[str, ...], int] = {}
    places = [
        [place.line_start, place.line_end, paths.setdefault(place.headings, len(paths))]
        for place in layout.places
    ]
    value = {
        "format": LAYOUT_FORMAT,
        "source": layout.name.source,
        "path": layout.name.path,
        "revision": layout.revision.hex(),
        "parser": layout.parser,
        "tokens": layout.tokens,
        "indexed_at": layout.indexed_at,
        "keys": base64.b64encode(pack_keys(layout.keys)).decode("ascii"),
        "headings": [list(path) for path in paths],
        "places": places,
    }
    return _COMPACT.encode(value).encode("ascii")


def decode_layout(encoded: bytes) -> DocumentLayout:
    """The inverse of `encode_layout`. Raises ValueError or KeyError for anything else."""
    value = json.loads(encoded)
    headings = [tuple(path) for path in value["headings"]]
    return DocumentLayout(
        name=DocumentName(value["source"], value["path"]),
        revision=Revision(bytes.fromhex(value["revision"])),
        parser=value["parser"],
        tokens=value["tokens"],
        indexed_at=value["indexed_at"],
        keys=tuple(unpack_keys(base64.b64decode(value["keys"]))),
        places=tuple(Place(start, end, headings[path]) for start, end, path in value["places"]),
    )
