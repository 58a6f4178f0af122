"""What the chunker asks of a tokenizer, and the sizes it keeps to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

CHUNKER_VERSION = 1
"""Raised with every change of the chunker's cuts: documents that an older one cut are cut again."""


class Tokenizer(Protocol):
    """How a model counts. Special tokens are never included."""

    @property
    def additive(self) -> bool:
        """Whether texts joined by white space have exactly the sum of their tokens (WordPiece: yes)."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token stands in the text: first character, and the one after the last."""


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """The sizes of chunks in tokens.

    `max_tokens` is the room for text (special tokens and prompt are taken off already); `overlap_tokens`
    is how much of a chunk's end the next one may repeat, inside that room and up to half of it.
    """

    max_tokens: int
    overlap_tokens: int = 0
