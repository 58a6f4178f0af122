"""From a document's blocks to its chunks: the same text gives the same chunks, wherever it stands."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from reindex.core.packing import Piece, pack
from reindex.core.splitting import CHARS_PER_TOKEN_MAX, Cut, Slice, count_fitting, split
from reindex.core.tokens import CHUNKER_VERSION, ChunkLimits, Tokenizer
from reindex.model import Block, BlockKind, Chunk

__all__ = ["CHUNKER_VERSION", "ChunkLimits", "Tokenizer", "chunk_document"]

_JOIN_TOKENS_MAX = 2  # what a line end between two pieces may count for tokenizers that see white space


def chunk_document(blocks: Sequence[Block], tokenizer: Tokenizer, limits: ChunkLimits) -> tuple[Chunk, ...]:
    """The chunks in reading order, none over `limits.max_tokens` by the tokenizer's own count.

    A chunk's text is the raw text of its blocks, joined as in the source. Line numbers and heading paths
    are reported, and decide nothing. Time is linear in the text.
    """
    overlap_tokens = min(limits.overlap_tokens, limits.max_tokens // 2)
    room = limits.max_tokens - overlap_tokens
    join = 0 if tokenizer.additive else _JOIN_TOKENS_MAX
    pieces = _Cutter(tokenizer, room, join).cut(blocks)
    drafts = [_Draft(pieces, first, last) for first, last in pack(pieces, room + join)]
    drafts = _counted(drafts, tokenizer, room)
    if overlap_tokens:
        drafts = _overlapped(drafts, tokenizer, ChunkLimits(limits.max_tokens, overlap_tokens))
    return tuple(draft.chunk() for draft in drafts if draft.text)


class _Cutter:
    """Turns blocks into pieces that fit, each with its place under the headings."""

    def __init__(self, tokenizer: Tokenizer, room: int, join: int) -> None:
        self._tokenizer = tokenizer
        self._room = room
        self._join = join
        self._pieces: list[Piece] = []
        self._path: list[tuple[int, str]] = []  # level and title of the headings that are open
        self._headings: tuple[str, ...] = ()
        self._opening = 0  # size of the headings right before: what follows them must fit beside them

    def cut(self, blocks: Sequence[Block]) -> list[Piece]:
        texts = [block.text for block in blocks]
        counts = count_fitting(texts, self._room, self._tokenizer)  # the only count of most text
        line_before = -1
        for block, tokens in zip(blocks, counts, strict=True):
            level = min(max(block.level, 1), 6) if block.kind is BlockKind.HEADING else 0
            if level:
                self._enter(level, block.title)
            glue = "\n" if block.line_start <= line_before + 1 else "\n\n"
            self._add(block, level, tokens, glue)
            line_before = block.line_end
        return self._pieces

    def _enter(self, level: int, title: str) -> None:
        while self._path and self._path[-1][0] >= level:
            self._path.pop()
        self._path.append((level, title))
        self._headings = tuple(title for _, title in self._path if title)

    def _add(self, block: Block, level: int, tokens: int, glue: str) -> None:
        room = self._room - self._opening
        whole = Slice(0, len(block.text), tokens, Cut.BLOCK)
        fits = tokens <= room and len(block.text) <= room * CHARS_PER_TOKEN_MAX
        slices = [whole] if fits else split(block.text, block.kind, room, self._tokenizer)
        end, line = 0, block.line_start
        for index, piece in enumerate(slices):
            between = block.text[end : piece.start]
            text = block.text[piece.start : piece.end]
            first = line + between.count("\n")
            line = first + text.count("\n")
            end = piece.end
            is_last = index == len(slices) - 1
            self._pieces.append(
                Piece(
                    text,
                    glue=between if index else glue,
                    tokens=piece.tokens,
                    size=max(1, piece.tokens + self._join, -(-len(text) // CHARS_PER_TOKEN_MAX)),
                    cut=piece.cut if index else Cut.BLOCK,
                    level=0 if index else level,
                    depth=self._path[-1][0] if self._path else 0,
                    line_start=min(first, block.line_end),
                    line_end=block.line_end if is_last else min(line, block.line_end),
                    headings=self._headings,
                )
            )
        opening = self._opening + self._pieces[-1].size if level and self._pieces else 0
        self._opening = opening if opening <= self._room // 2 else 0


@dataclass(frozen=True, slots=True)
class _Draft:
    """A chunk to be: pieces `first` up to `last`, after an overlap that repeats the end of the one before."""

    pieces: Sequence[Piece]
    first: int
    last: int
    tokens: int = 0
    overlap: str = ""
    overlap_line: int = 0

    @property
    def text(self) -> str:
        parts: list[str] = [self.overlap] if self.overlap else []
        for piece in self.pieces[self.first : self.last]:
            if piece.text:
                if parts:
                    parts.append(piece.glue)
                parts.append(piece.text)
        return "".join(parts)

    @property
    def is_sum(self) -> bool:
        """Whether the pieces' tokens add up when the tokenizer is additive: white space parts them all."""
        return all(piece.glue for piece in self.pieces[self.first + 1 : self.last])

    def chunk(self) -> Chunk:
        head, tail = self.pieces[self.first], self.pieces[self.last - 1]
        named = self.first  # the last of the headings that open the chunk says where it is
        while named + 1 < self.last and head.level and self.pieces[named + 1].level:
            named += 1
        headings = self.pieces[named].headings
        return Chunk(self.text, self.overlap_line or head.line_start, tail.line_end, headings, self.tokens)


def _counted(drafts: list[_Draft], tokenizer: Tokenizer, room: int) -> list[_Draft]:
    """The drafts with their tokens; those whose joined text counts more than their pieces are divided."""
    asked = [
        index
        for index, draft in enumerate(drafts)
        if draft.last - draft.first > 1 and not (tokenizer.additive and draft.is_sum)
    ]
    counts = tokenizer.count([drafts[index].text for index in asked])
    exact = dict(zip(asked, counts, strict=True))
    done: list[_Draft] = []
    for index, draft in enumerate(drafts):
        total = sum(piece.tokens for piece in draft.pieces[draft.first : draft.last])
        tokens = exact.get(index, total)
        if tokens <= room or draft.last - draft.first == 1:
            done.append(replace(draft, tokens=tokens))
        else:
            done.extend(_counted(_halves(draft), tokenizer, room))  # depth: log2 of a chunk's pieces
    return done


def _halves(draft: _Draft) -> list[_Draft]:
    """Divided near the middle, at the best cut there, not behind a heading."""
    pieces, first, last = draft.pieces, draft.first, draft.last
    quarter = (last - first) // 4
    cut_at = min(
        range(first + 1 + quarter, max(last - quarter, first + 2 + quarter)),
        key=lambda at: (pieces[at - 1].level > 0, pieces[at].cut, abs(2 * at - first - last)),
    )
    return [_Draft(pieces, first, cut_at), _Draft(pieces, cut_at, last)]


def _overlapped(drafts: list[_Draft], tokenizer: Tokenizer, limits: ChunkLimits) -> list[_Draft]:
    """Every chunk that does not open a section begins with the end of the one before."""
    done = drafts[:1]
    for before, draft in pairwise(drafts):
        overlap, line = ("", 0)
        if not draft.pieces[draft.first].level:
            overlap, line = _tail(before, tokenizer, limits.overlap_tokens)
        longer = replace(draft, overlap=overlap, overlap_line=line)
        tokens = tokenizer.count([longer.text])[0] if overlap else draft.tokens
        done.append(replace(longer, tokens=tokens) if overlap and tokens <= limits.max_tokens else draft)
    return done


def _tail(draft: _Draft, tokenizer: Tokenizer, overlap_tokens: int) -> tuple[str, int]:
    """The last whole pieces, else sentences, of at most `overlap_tokens`, and the line they begin at."""
    start = draft.last
    left = overlap_tokens
    while start > draft.first:
        piece = draft.pieces[start - 1]
        if piece.level or piece.size > left or piece.cut is Cut.WORD:
            break
        left -= piece.size
        start -= 1
    if start < draft.last:
        return replace(draft, first=start, overlap="").text, draft.pieces[start].line_start
    last = draft.pieces[draft.last - 1]
    at = _last_sentences(last, tokenizer, overlap_tokens)
    return last.text[at:], min(last.line_start + last.text.count("\n", 0, at), last.line_end)


def _last_sentences(piece: Piece, tokenizer: Tokenizer, overlap_tokens: int) -> int:
    """Where in the piece the sentences begin that fit: its end if none does."""
    start = len(piece.text)
    if piece.level:
        return start
    for sentence in reversed(split(piece.text, BlockKind.PARAGRAPH, overlap_tokens, tokenizer)):
        if sentence.cut is Cut.WORD or sentence.tokens > overlap_tokens:
            break
        overlap_tokens -= sentence.tokens
        start = sentence.start
    return start
