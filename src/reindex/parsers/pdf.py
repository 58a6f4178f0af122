"""PDF by pdfium: the text of each page."""

import re
from threading import Lock
from typing import Any

from reindex.errors import ParseError
from reindex.model import Block, BlockKind
from reindex.parsers.decoding import encodable, normalise_lines
from reindex.parsers.lines import cut

_LOCK = Lock()  # pdfium keeps global state: two threads in it crash the process
_HYPHEN_AT_LINE_END = re.compile("[\ufffe\u00ad]\n?")


def parse(content: bytes) -> tuple[Block, ...]:
    """A page opens with a heading that has a title ("Page 3") and no text: it is where a hit was found,
    and a page inserted before it changes no chunk. Lines are those of the extracted text.
    """
    if not content:
        return ()
    with _LOCK:
        pages, has_images = _read(content)
    blocks: list[Block] = []
    line = 1
    for number, text in enumerate(pages, start=1):
        lines = text.split("\n")
        page = cut(lines, (), line)
        if page:
            first = page[0].line_start
            blocks.append(Block(BlockKind.HEADING, "", first, first, 6, f"Page {number}"))
        blocks.extend(page)
        line += len(lines)
    if not blocks and has_images:
        raise ParseError(
            "the PDF has pictures but no text: it is a scan",
            "run text recognition on it (ocrmypdf), or exclude it",
        )
    return tuple(blocks)


def _read(content: bytes) -> tuple[list[str], bool]:
    """The text of every page, and whether there is a picture on any (asked only when there is no text)."""
    import pypdfium2  # 100 ms and 8 MB of native code, paid by the first PDF
    from pypdfium2 import raw

    try:
        return _read_pages(pypdfium2.PdfDocument(content), raw.FPDF_PAGEOBJ_IMAGE)
    except pypdfium2.PdfiumError as error:
        raise _broken(str(error)) from error


def _read_pages(document: Any, image: int) -> tuple[list[str], bool]:
    try:
        pages = [_page_text(document[index]) for index in range(len(document))]
        if any(pages):
            return pages, False
        return pages, any(
            any(True for _ in document[index].get_objects(filter=[image])) for index in range(len(document))
        )
    finally:
        document.close()


def _page_text(page: Any) -> str:
    words = page.get_textpage()
    try:
        text = normalise_lines(encodable(words.get_text_range()))
    finally:
        words.close()
        page.close()
    return _HYPHEN_AT_LINE_END.sub("", text).strip("\n")


def _broken(cause: str) -> ParseError:
    if "password" in cause.lower():
        return ParseError("the PDF is encrypted", "save a copy without a password, or exclude it")
    return ParseError(f"broken PDF: {cause}", "open it in a viewer and save it again, or exclude it")
