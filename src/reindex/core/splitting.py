"""Texts that are too large for one chunk, cut where it hurts least: lines, sentences, words, tokens."""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from reindex.core.tokens import Tokenizer
from reindex.model import BlockKind

CHARS_PER_TOKEN_MAX = 24
"""A piece has at most this many characters per token of the limit: to WordPiece, any word of more than
100 characters is a single unknown token, and a chunk of five million characters would fit."""

_WINDOW_CHARS = 1 << 15
_RUNS_PER_ROOM = 8
_HASHED_CHARS = 24
_SENTENCE_END = re.compile(r"[.!?…:;]['\")\]*_]*\s+|[。！？；]")
_SENTENCE_ENDS = tuple(".!?…:;。！？；|")


class Cut(IntEnum):
    """What a cut right before a piece goes through, from the best to the worst."""

    BLOCK = 0
    PARAGRAPH = 1  # a blank line inside a block
    LINE = 2  # between lines of code or a table, or where a line of prose ends a sentence
    SENTENCE = 3
    WRAP = 4  # a line of prose that goes on in the next one
    WORD = 5


@dataclass(frozen=True, slots=True)
class Slice:
    """`text[start:end]`, what it counts, and what a cut before it goes through."""

    start: int
    end: int
    tokens: int
    cut: Cut


def split(text: str, kind: BlockKind, room: int, tokenizer: Tokenizer) -> list[Slice]:
    """Slices of at most `room` tokens that hold all of the text but the white space between them."""
    slices: list[Slice] = []
    for line in _counted(text, list(_lines(text, kind)), room, tokenizer):
        if _fits(line, room):
            slices.append(line)
            continue
        for sentence in _counted(text, list(_sentences(text, line)), room, tokenizer):
            if _fits(sentence, room):
                slices.append(sentence)
            else:
                slices.extend(_checked(text, list(_words(text, sentence, room, tokenizer)), room, tokenizer))
    return slices


def _fits(piece: Slice, room: int) -> bool:
    return piece.tokens <= room


def _counted(text: str, slices: Sequence[Slice], room: int, tokenizer: Tokenizer) -> Iterator[Slice]:
    counts = count_fitting([text[piece.start : piece.end] for piece in slices], room, tokenizer)
    for piece, tokens in zip(slices, counts, strict=True):
        yield Slice(piece.start, piece.end, tokens, piece.cut)


def count_fitting(texts: Sequence[str], room: int, tokenizer: Tokenizer) -> list[int]:
    """Tokens of each text; one with more characters than may fit is not read, and counts as too many."""
    cap = room * CHARS_PER_TOKEN_MAX
    counts = iter(tokenizer.count([text for text in texts if len(text) <= cap]))
    return [next(counts) if len(text) <= cap else len(text) for text in texts]


def _lines(text: str, kind: BlockKind) -> Iterator[Slice]:
    """The lines that are not blank, with their indentation."""
    wrapped = kind in (BlockKind.PARAGRAPH, BlockKind.ITEM)
    cut = Cut.BLOCK
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end].rstrip()
        if line:
            yield Slice(at, at + len(line), 0, cut)
            cut = Cut.LINE if not wrapped or line.endswith(_SENTENCE_ENDS) else Cut.WRAP
        else:
            cut = Cut.PARAGRAPH
        at = end + 1


def _sentences(text: str, line: Slice) -> Iterator[Slice]:
    start = line.start
    cut = line.cut
    for match in _SENTENCE_END.finditer(text, line.start, line.end):
        end = match.start() + len(match[0].rstrip())
        if text[start:end].strip():
            yield Slice(start, end, 0, cut)
            start, cut = match.end(), Cut.SENTENCE
    if text[start : line.end].strip():
        yield Slice(start, line.end, 0, cut)


def _words(text: str, sentence: Slice, room: int, tokenizer: Tokenizer) -> Iterator[Slice]:
    """Short runs of words, to be packed. The tokenizer sees windows: memory stays bounded."""
    at = sentence.start
    cut = sentence.cut
    while at < sentence.end:
        limit = min(at + _WINDOW_CHARS, sentence.end)
        if limit < sentence.end:
            space = max(text.rfind(" ", at + _WINDOW_CHARS // 2, limit), text.rfind("\t", at, limit))
            limit = space + 1 if space > at else limit
        spans = tokenizer.spans(text[at:limit])
        bounds = [at, *(at + spans[index][0] for index in _word_cuts(text, at, spans, room)), limit]
        for start, end in pairwise(bounds):
            for piece in _capped(text, start, end, room):
                yield Slice(*piece, 0, cut)
                cut = Cut.WORD
        at = limit


def _word_cuts(text: str, base: int, spans: Sequence[tuple[int, int]], room: int) -> Iterator[int]:
    """Indices of the tokens that open a new run: where the following text has the least hash, so that
    the same words are cut at the same places wherever they stand.
    """
    start = 0
    most = max(1, room // _RUNS_PER_ROOM)
    while len(spans) - start > most:
        ahead = range(start + max(1, most // 2), start + most + 1)
        whole = [index for index in ahead if spans[index][0] >= spans[index - 1][1]] or ahead
        gaps = [index for index in whole if spans[index][0] > spans[index - 1][1]] or whole
        start = min(gaps, key=lambda index: (_weight(text, base + spans[index][0]), -index))
        yield start


def _weight(text: str, at: int) -> int:
    return zlib.crc32(text[at : at + _HASHED_CHARS].encode("utf-8", "replace"))


def _capped(text: str, start: int, end: int, room: int) -> Iterator[tuple[int, int]]:
    """The span without white space at its ends, in steps that the limit of characters allows."""
    step = room * CHARS_PER_TOKEN_MAX
    for at in range(start, end, step):
        piece = text[at : min(at + step, end)]
        bare = piece.strip()
        if bare:
            first = at + piece.find(bare[0]) if piece[0].isspace() else at
            yield first, first + len(bare)


def _checked(text: str, slices: Sequence[Slice], room: int, tokenizer: Tokenizer) -> list[Slice]:
    """The slices with their own counts; a piece of a word may count more alone, and is halved then."""
    done: list[Slice] = []
    for piece in _counted(text, slices, room, tokenizer):
        if piece.tokens <= room or piece.end - piece.start < 2:
            done.append(piece)
            continue
        middle = (piece.start + piece.end) // 2
        halves = [
            Slice(first, last, 0, cut)
            for at, end, cut in ((piece.start, middle, piece.cut), (middle, piece.end, Cut.WORD))
            for first, last in _capped(text, at, end, room)
        ]
        done.extend(_checked(text, halves, room, tokenizer))  # depth: log2 of a piece's characters
    return done
