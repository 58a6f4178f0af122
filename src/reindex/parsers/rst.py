"""reStructuredText by line rules of our own: titles, literal blocks, directives, lists, tables.

docutils is not used: it drops the directives and roles that it does not know (all of Sphinx's), and it
does not keep the raw lines of what it parsed. Here every line of the source is in exactly one block.
"""

import re
from bisect import bisect
from collections.abc import Sequence
from functools import cached_property

from reindex.model import Block, BlockKind
from reindex.parsers.decoding import decode
from reindex.parsers.lines import Span, cut, indent, is_blank

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1+\s*$")
_DIRECTIVE = re.compile(r"\.\. +(\||[\w:.+-]+::|_|\[)|\.\.\s*$|\.\. ")
_CODE = re.compile(
    r"\.\. +(code|code-block|sourcecode|literalinclude|parsed-literal|math|doctest|testcode)::"
)
_ITEM = re.compile(r"\s*([-*+•]|\(?(\d+|#|[a-zA-Z])[.)])\s+\S")
_SIMPLE_TABLE = re.compile(r"=+( +=+)+\s*$")
_GRID_TABLE = re.compile(r"\+[-=+]+\+\s*$")
_ROLE = re.compile(r":[\w:+.-]+:(?=`)|`+|\*+| *<[^<>]*>(?=`)|_+(?!\w)")


def parse(content: bytes) -> tuple[Block, ...]:
    """Sections take their level from the order in which the styles of their titles appear."""
    lines = decode(content).split("\n")
    return cut(lines, _Reader(lines).read())


class _Reader:
    """One pass over the lines, from the top; each rule says at which line its block ends."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._styles: list[str] = []

    def read(self) -> list[Span]:
        spans: list[Span] = []
        at = 0
        while at < len(self._lines):
            if is_blank(self._lines[at]):
                at += 1
                continue
            span = self._heading(at) or self._directive(at) or self._table(at) or self._item(at)
            span = span or self._paragraph(at)
            spans.append(span)
            at = span.end
        return spans

    def _heading(self, at: int) -> Span | None:
        over = self._adornment(at)
        if over and self._is_title(at + 1) and self._adornment(at + 2)[:1] == over[0]:
            return self._section(at, at + 1, at + 3, over[0] * 2)
        under = self._adornment(at + 1)
        if under and self._is_title(at) and len(under) >= min(4, len(self._lines[at].strip())):
            return self._section(at, at, at + 2, under[0])
        return None

    def _section(self, start: int, title_at: int, end: int, style: str) -> Span:
        if style not in self._styles:
            self._styles.append(style)
        level = min(self._styles.index(style) + 1, 6)
        title = " ".join(_ROLE.sub("", self._lines[title_at][:1000]).split())
        return Span(BlockKind.HEADING, start, end, level, title)

    def _adornment(self, at: int) -> str:
        """The line when it is one punctuation character repeated, else nothing."""
        if at >= len(self._lines) or len(self._lines[at]) > 500:
            return ""
        return self._lines[at].rstrip() if _ADORNMENT.match(self._lines[at]) else ""

    def _is_title(self, at: int) -> bool:
        return at < len(self._lines) and not is_blank(self._lines[at]) and not self._adornment(at)

    def _directive(self, at: int) -> Span | None:
        line = self._lines[at]
        if not _DIRECTIVE.match(line):
            return None
        kind = BlockKind.CODE if _CODE.match(line) else BlockKind.PARAGRAPH
        return Span(kind, at, self._indented_end(at + 1, 0))

    def _table(self, at: int) -> Span | None:
        line = self._lines[at][:500]
        if _GRID_TABLE.match(line):
            return Span(BlockKind.TABLE, at, self._filled_end(at))
        if not _SIMPLE_TABLE.match(line):
            return None
        closing = bisect(self._closing_borders, at)
        if closing < len(self._closing_borders):
            return Span(BlockKind.TABLE, at, self._closing_borders[closing] + 1)
        return Span(BlockKind.TABLE, at, self._filled_end(at))

    @cached_property
    def _closing_borders(self) -> list[int]:
        """The lines that can end a simple table: its border, before a blank line. Found once for all."""
        last = len(self._lines) - 1
        return [
            at
            for at, line in enumerate(self._lines)
            if line.startswith("=")
            and _SIMPLE_TABLE.match(line[:500])
            and (at == last or is_blank(self._lines[at + 1]))
        ]

    def _item(self, at: int) -> Span | None:
        line = self._lines[at]
        if not _ITEM.match(line[:500]):
            return None
        return Span(BlockKind.ITEM, at, self._indented_end(at + 1, indent(line)))

    def _paragraph(self, at: int) -> Span:
        if indent(self._lines[at]) and self._introduces_literal(at):
            return Span(BlockKind.CODE, at, self._indented_end(at + 1, 0))
        end = at + 1
        while end < len(self._lines) and not is_blank(self._lines[end]) and not self._heading_at(end):
            end += 1
        return Span(BlockKind.PARAGRAPH, at, end)

    def _heading_at(self, at: int) -> bool:
        return bool(self._adornment(at + 1)) and self._is_title(at) and is_blank(self._lines[at - 1])

    def _introduces_literal(self, at: int) -> bool:
        before = at - 1
        while before >= 0 and is_blank(self._lines[before]):
            before -= 1
        return before >= 0 and self._lines[before].rstrip().endswith("::")

    def _indented_end(self, at: int, margin: int) -> int:
        """The line after the last one that is indented more than `margin`, blank ones between included."""
        end = at
        while at < len(self._lines):
            if not is_blank(self._lines[at]):
                if indent(self._lines[at]) <= margin:
                    break
                end = at + 1
            at += 1
        return end

    def _filled_end(self, at: int) -> int:
        while at < len(self._lines) and not is_blank(self._lines[at]):
            at += 1
        return at
