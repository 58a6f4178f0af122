"""Jupyter notebooks: the cells' sources, and the first lines of what they printed."""

import json
from collections.abc import Iterator
from typing import Any

from reindex.errors import ParseError
from reindex.model import Block, BlockKind
from reindex.parsers import markdown
from reindex.parsers.decoding import decode, encodable, normalise_lines
from reindex.parsers.lines import Span, cut

_OUTPUT_LINES_MAX = 12
_OUTPUT_CHARS_MAX = 1200


def parse(content: bytes) -> tuple[Block, ...]:
    """Line numbers are those of the extracted text: one blank line between two cells."""
    text = decode(content)
    if not text.strip():
        return ()
    try:
        notebook = json.loads(text)
    except json.JSONDecodeError as error:
        raise ParseError(
            f"broken notebook: {error}", "open it in Jupyter, or look for merge conflict marks"
        ) from error
    blocks: list[Block] = []
    line = 1
    for kind, source in _pieces(notebook):
        lines = source.split("\n")
        if kind == "markdown":
            blocks.extend(markdown.parse_text(source, line))
        else:
            whole = BlockKind.PARAGRAPH if kind == "raw" else BlockKind.CODE
            blocks.extend(cut(lines, (Span(whole, 0, len(lines)),), line))
        line += len(lines) + 1
    return tuple(blocks)


def _pieces(notebook: Any) -> Iterator[tuple[str, str]]:
    """(cell type, text) of every cell, and of every printed output, in order."""
    for cell in _cells(notebook):
        kind = cell.get("cell_type")
        kind = "markdown" if kind == "heading" else kind
        yield (kind if kind in ("markdown", "raw") else "code"), _text(cell.get("source", cell.get("input")))
        outputs = cell.get("outputs")
        for output in outputs if isinstance(outputs, list) else ():
            if isinstance(output, dict) and (printed := _printed(output)):
                yield "code", printed


def _cells(notebook: Any) -> list[dict[str, Any]]:
    if not isinstance(notebook, dict):
        raise ParseError("broken notebook: not a JSON object", "open it in Jupyter and save it again")
    cells = notebook.get("cells")
    if cells is None:  # format 3 has them in worksheets
        sheets = notebook.get("worksheets") or []
        cells = [cell for sheet in sheets for cell in sheet.get("cells", ())]
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ParseError("broken notebook: its cells are no list", "open it in Jupyter and save it again")
    return cells


def _printed(output: dict[str, Any]) -> str:
    """The text of an output, kept short; pictures and HTML are left out."""
    data = output.get("data")
    plain = data.get("text/plain") if isinstance(data, dict) else None
    text = _text(output.get("text") or plain)[:_OUTPUT_CHARS_MAX]
    return "\n".join(text.split("\n")[:_OUTPUT_LINES_MAX]).strip("\n")


def _text(source: Any) -> str:
    """A cell's text: a string, or a list of its lines."""
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    return normalise_lines(encodable(source)) if isinstance(source, str) else ""
