"""Who is who: embedding spaces and recipes, and the keys of texts, chunks and documents."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from reindex.model import DocumentName, EmbeddingKey, digest, framed

KEY_BYTES = 32
_KEY_LENGTH = KEY_BYTES.to_bytes(8, "little")  # as `framed` puts it before a key


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """Everything that decides a vector. Two texts are comparable only inside one space.

    `model_digest` is over the weights, the tokenizer and the pooling, never a path or a name.
    """

    provider: str
    model_digest: str
    dimensions: int
    normalised: bool
    precision: str
    document_prompt: str
    query_prompt: str

    @property
    def fingerprint(self) -> bytes:
        """32 bytes; equal exactly for equal spaces."""
        return digest(b"space", _canonical(asdict(self)))


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a generation is made: parsing and chunking settings, the chunk tokenizer, the embedding space.

    `model` is the setting that finds the model again; it is not part of the identity.
    """

    model: str
    space: EmbeddingSpace
    tokenizer_digest: str
    max_tokens: int
    overlap_tokens: int

    @property
    def fingerprint(self) -> bytes:
        """32 bytes; equal exactly for recipes that make the same rows."""
        return digest(
            b"recipe",
            self.space.fingerprint,
            self.tokenizer_digest.encode(),
            str(self.max_tokens).encode(),
            str(self.overlap_tokens).encode(),
        )

    @property
    def described(self) -> str:
        """In a few words, for a person."""
        space = self.space
        prompts = f", prompts {space.document_prompt!r} and {space.query_prompt!r}"
        return (
            f"{self.model}, {space.precision}, {space.dimensions} dimensions,"
            f" {self.max_tokens} tokens, {self.overlap_tokens} overlap"
            f"{prompts if space.document_prompt or space.query_prompt else ''}"
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Recipe":
        fields = dict(value)
        return Recipe(**{**fields, "space": EmbeddingSpace(**fields["space"])})


def embedding_key(space_fingerprint: bytes, text_sent: str) -> EmbeddingKey:
    """The key of the exact text that goes to the model, prompt included."""
    return EmbeddingKey(digest(space_fingerprint, text_sent.encode("utf-8", "surrogatepass")))


def document_id(name: DocumentName) -> str:
    """64 hex digits that name a document for good."""
    return digest(b"document", *_name_bytes(name)).hex()


def chunk_ids(name: DocumentName, keys: Iterable[EmbeddingKey]) -> list[str]:
    """64 hex digits for each key in order: sha256 of source, path, key and the how-manieth of that key.

    Neither offset nor position takes part, so that an edit at the top leaves the other rows alone.
    """
    seen: dict[EmbeddingKey, int] = {}
    ids = []
    begun = hashlib.sha256(framed(b"chunk", *_name_bytes(name)) + _KEY_LENGTH)  # the same for all of them
    for key in keys:
        assert len(key) == KEY_BYTES, "its length is hashed before"
        nth = seen.get(key, 0)
        seen[key] = nth + 1
        hasher = begun.copy()
        hasher.update(key + _framed_number(nth))
        ids.append(hasher.hexdigest())
    return ids


def pack_keys(keys: Iterable[EmbeddingKey]) -> bytes:
    return b"".join(keys)


def unpack_keys(packed: bytes) -> list[EmbeddingKey]:
    assert len(packed) % KEY_BYTES == 0, "packed keys are 32 bytes each"
    return [EmbeddingKey(packed[i : i + KEY_BYTES]) for i in range(0, len(packed), KEY_BYTES)]


@lru_cache(1024)
def _framed_number(number: int) -> bytes:
    return framed(str(number).encode())


def _name_bytes(name: DocumentName) -> tuple[bytes, bytes]:
    return name.source.encode(), name.path.encode("utf-8", "surrogateescape")


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":")).encode()
