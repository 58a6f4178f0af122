"""Word documents: mammoth turns them into HTML, and the HTML parser reads that."""

import io
import zipfile
from typing import Any

from reindex.errors import ParseError
from reindex.model import Block
from reindex.parsers import html

_UNPACKED_BYTES_MAX = 256 * 1024 * 1024  # more is a zip bomb: documents are 10 to 100 times smaller
_OLE_MARK = b"\xd0\xcf\x11\xe0"  # an encrypted .docx and an old .doc look the same from outside


def parse(content: bytes) -> tuple[Block, ...]:
    """Headings, paragraphs, lists and tables; lines are those of the extracted text."""
    if not content:
        return ()
    _check(content)
    import mammoth  # 150 ms, paid by the first Word document

    result = mammoth.convert_to_html(
        io.BytesIO(content), convert_image=mammoth.images.img_element(_no_picture), id_prefix=""
    )
    return html.parse_text(_one_block_a_line(result.value))


def _check(content: bytes) -> None:
    """Raises ParseError unless this is a zip that holds a Word document of a size we unpack."""
    if content.startswith(_OLE_MARK):
        raise ParseError("an encrypted DOCX, or an old DOC", "save it as DOCX without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size_bytes = sum(entry.file_size for entry in archive.infolist())
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ParseError(f"broken DOCX: {error}", "open it in a word processor and save it again") from error
    if size_bytes > _UNPACKED_BYTES_MAX:
        raise ParseError(f"the DOCX unpacks to {size_bytes:,} bytes", "exclude it")
    if "[Content_Types].xml" not in names:
        raise ParseError("broken DOCX: no Word document in the archive", "is it another kind of zip file?")


def _no_picture(_image: Any) -> dict[str, str]:
    """Pictures are not read: mammoth would put them into the HTML as base64."""
    return {"src": ""}


def _one_block_a_line(markup: str) -> str:
    """What mammoth writes is one line: breaks after blocks give line numbers to what it extracted."""
    for tag in ("p", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6"):
        markup = markup.replace(f"</{tag}>", f"</{tag}>\n")
    return markup
