"""Markdown (CommonMark with tables and front matter): the raw lines of every block."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from reindex.model import Block, BlockKind
from reindex.parsers.decoding import decode
from reindex.parsers.lines import Span, cut

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_FRONT_MATTER_LINES_MAX = 500
_KINDS = {
    "fence": BlockKind.CODE,
    "code_block": BlockKind.CODE,
    "table_open": BlockKind.TABLE,
    "list_item_open": BlockKind.ITEM,
}
_LINK = re.compile(r"!?\[([^\[\]]*)\](?:\([^()]*\)|\[[^\[\]]*\])")
_MARKUP = re.compile(r"<[^<>]*>|[*`]+|\\(?=[!-/:-@\[-`{-~])|(?<!\w)_+|_+(?!\w)|\s*\{#[\w-]+\}\s*$")


def parse(content: bytes) -> tuple[Block, ...]:
    """Headings, paragraphs, fences, tables, and the items of lists, each with all of its lines."""
    return parse_text(decode(content))


def parse_text(text: str, first_line: int = 1) -> tuple[Block, ...]:
    """The same for text that is decoded already; `first_line` is the number of its first line."""
    lines = text.split("\n")
    body = _front_matter_end(lines)
    spans: list[Span] = [Span(BlockKind.PARAGRAPH, 0, body)] if body else []
    tokens = _engine().parse("\n".join(lines[body:]))
    spans.extend(_spans(tokens, body))
    return cut(lines, spans, first_line)


def plain_title(source: str) -> str:
    """A heading's words without the markup of emphasis, code, links, anchors and tags."""
    return " ".join(_MARKUP.sub("", _LINK.sub(r"\1", source[:1000])).split())


def _spans(tokens: Sequence["Token"], offset: int) -> Iterator[Span]:
    """Blocks at the top level; a list gives one for each of its items, with all that is nested in it."""
    for index, token in enumerate(tokens):
        in_list = token.level == 1 and token.type == "list_item_open"
        if token.map is None or token.nesting < 0 or not (token.level == 0 or in_list):
            continue
        if token.type in ("bullet_list_open", "ordered_list_open"):
            continue
        start, end = token.map[0] + offset, token.map[1] + offset
        if token.type == "heading_open":
            title = plain_title(tokens[index + 1].content)
            yield Span(BlockKind.HEADING, start, end, int(token.tag[1:]), title)
        else:
            yield Span(_KINDS.get(token.type, BlockKind.PARAGRAPH), start, end)


def _front_matter_end(lines: Sequence[str]) -> int:
    """The line after the front matter (YAML between `---` lines at the very top), or 0."""
    if lines[0].rstrip() != "---":
        return 0
    for index, line in enumerate(lines[1:_FRONT_MATTER_LINES_MAX], start=1):
        if line.rstrip() in ("---", "..."):
            return index + 1
    return 0


@cache
def _engine() -> "MarkdownIt":
    """Block rules only: inline text and link definitions stay as they are written."""
    from markdown_it import MarkdownIt  # 40 ms, paid by the first Markdown document

    engine = MarkdownIt("commonmark").enable("table").disable("reference")
    engine.core.ruler.enableOnly(["normalize", "block"])
    return engine
