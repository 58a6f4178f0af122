"""Blocks cut out of a list of lines: what the parsers of line-oriented formats share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from reindex.model import Block, BlockKind


@dataclass(frozen=True, slots=True)
class Span:
    """Lines `start` up to, not including, `end` (from 0), and what they are."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0
    title: str = ""


def cut(lines: Sequence[str], spans: Iterable[Span], first_line: int = 1) -> tuple[Block, ...]:
    """The raw lines of each span as a block; lines that no span claims become paragraphs.

    `spans` are in order. Blank lines at a span's ends are left out, so every line that is not blank is
    in exactly one block. `first_line` is the number of `lines[0]` in the document.
    """
    blocks: list[Block] = []
    at = 0
    for span in spans:
        start, end = max(span.start, at), min(span.end, len(lines))
        for gap in paragraphs(lines, at, start):
            _append(blocks, lines, gap, first_line)
        _append(blocks, lines, Span(span.kind, start, end, span.level, span.title), first_line)
        at = max(at, end)
    for gap in paragraphs(lines, at, len(lines)):
        _append(blocks, lines, gap, first_line)
    return tuple(blocks)


def paragraphs(
    lines: Sequence[str], start: int, end: int, kind: BlockKind = BlockKind.PARAGRAPH
) -> Iterator[Span]:
    """The runs of lines that are not blank."""
    first = -1
    for index in range(start, end):
        blank = not lines[index] or lines[index].isspace()
        if blank and first >= 0:
            yield Span(kind, first, index)
            first = -1
        elif not blank and first < 0:
            first = index
    if first >= 0:
        yield Span(kind, first, end)


def indent(line: str) -> int:
    """How many spaces or tabs open the line."""
    return len(line) - len(line.lstrip(" \t"))


def is_blank(line: str) -> bool:
    """Nothing in it that can be read."""
    return not line or line.isspace()


def _append(blocks: list[Block], lines: Sequence[str], span: Span, first_line: int) -> None:
    start, end = span.start, span.end
    while start < end and is_blank(lines[start]):
        start += 1
    while start < end and is_blank(lines[end - 1]):
        end -= 1
    if start < end:
        text = "\n".join(lines[start:end])
        title = span.title if span.kind is BlockKind.HEADING else ""
        blocks.append(Block(span.kind, text, first_line + start, first_line + end - 1, span.level, title))
