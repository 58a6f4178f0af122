"""Bombs, lies and markup that looks like ours, through the real parser process."""

import io
import json
import struct
import zipfile
import zlib

import pytest

from reindex.errors import ParseError
from reindex.model import BlockKind
from reindex.parsers.process import ParserProcess
from reindex.settings import ParsingSettings

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
PACKAGES = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
PARAGRAPH = "<w:p><w:r><w:t>found</w:t></w:r></w:p>"
LINE = b"BT /F1 12 Tf 72 720 Td (found) Tj ET\n"
PAGE = (
    b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R"
    b" /Resources << /Font << /F1 3 0 R >> >> >>"
)
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


@pytest.fixture(scope="module")
def parser():
    with ParserProcess(ParsingSettings(timeout_s=60, memory_mb=512)) as parser:
        yield parser


def outcome(parser, path, content):
    """The text of all blocks, or the cause of the failure; and the process serves the next document."""
    content = content if isinstance(content, bytes) else content.encode()
    try:
        found = "\n".join(block.text for block in parser.parse(path, content))
    except ParseError as error:
        assert error.hint
        found = error.message
    assert parser.parse("next.txt", b"the next one")[0].text == "the next one"
    return found


# --- DOCX


def document(body, head=""):
    return f'{head}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'


def docx(xml):
    files = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGES}/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGES}/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": xml,
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return content.getvalue()


def with_size_said(content, xml, size):
    """The same archive, in which the entry of `xml` says that it unpacks to `size` bytes."""
    said = struct.pack("<I", len(xml.encode()))
    assert content.count(said) == 2
    return content.replace(said, struct.pack("<I", size))


def entities(first, levels, fan):
    """The billion laughs: each entity is the one before it, `fan` times."""
    names = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * fan}">' for n in range(1, levels))
    head = f'<!DOCTYPE d [<!ENTITY a0 "{first}">{names}]>'
    return document(PARAGRAPH.replace("found", f"&a{levels - 1};"), head)


def nested(opening, closing, depth):
    return document(opening * depth + PARAGRAPH + closing * depth)


LARGE = document(PARAGRAPH.replace("found", "a" * 3_000_000))
TABLE = ("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>")
TOO_DEEP = "nested too deeply for the docx parser"
DOCX = {
    "a size too small": (lambda: with_size_said(docx(LARGE), LARGE, 1000), "Bad CRC-32"),
    "a size too large": (lambda: with_size_said(docx(LARGE), LARGE, 2**31), "the DOCX unpacks to 2,147,"),
    "300 MB in 300 KB": (lambda: docx(document("<w:p/>" + "\0" * 300_000_000)), "the DOCX unpacks to 300,"),
    "entities of entities": (lambda: docx(entities("ha", 10, 10)), "docx parser failed: ExpatError"),
    "one entity, often": (lambda: docx(entities("ha" * 50_000, 2, 20_000)), "docx parser failed: ExpatError"),
    "tables in tables": (lambda: docx(nested(*TABLE, 20_000)), TOO_DEEP),
    "some tables in tables": (lambda: docx(nested(*TABLE, 10)), "found"),
    "unknown elements": (
        lambda: docx(nested("<w:x>", "</w:x>", 100_000)),
        "nested too deeply for the docx parser",
    ),
    "no end": (lambda: docx(document(PARAGRAPH)[:-9]), "docx parser failed: ExpatError"),
}


@pytest.mark.parametrize("name", DOCX)
def test_docx(parser, name):
    make, expected = DOCX[name]
    content = make()
    assert len(content) < 400_000
    assert expected in outcome(parser, "a.docx", content)


# --- PDF


def pdf(*objects, trailer=b"", start=None):
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R %s >>\n" % (len(objects) + 1, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF" % (table if start is None else start))


CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"


def with_page(contents, kids=b"4 0 R", count=1):
    pages = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count)
    return pdf(CATALOG, pages, FONT, PAGE, contents)


def stream(content, *, times):
    for _ in range(times):
        content = zlib.compress(content, 9)
    filters = b"/FlateDecode " * times
    return b"<< /Length %d /Filter [%s] >>\nstream\n%s\nendstream" % (len(content), filters, content)


def deep_pages(depth):
    kids = [
        b"<< /Type /Pages /Kids [%d 0 R] /Count 1 /Parent %d 0 R >>" % (n + 3, n + 1) for n in range(depth)
    ]
    return pdf(CATALOG, *kids, b"<< /Type /Page /MediaBox [0 0 9 9] >>")


def forms_in_forms(depth, fan):
    """Each form paints the next one `fan` times."""
    forms = []
    for number in range(depth):
        is_last = number == depth - 1
        content = LINE if is_last else b"/X Do " * fan
        used = b"/Font << /F1 3 0 R >>" if is_last else b"/XObject << /X %d 0 R >>" % (7 + number)
        forms.append(
            b"<< /Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << %s >> /Length %d >>\n"
            b"stream\n%s\nendstream" % (used, len(content), content)
        )
    page = PAGE.replace(b"/Font << /F1 3 0 R >>", b"/XObject << /X 6 0 R >>")
    pages = b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>"
    contents = b"<< /Length %d >>\nstream\n%s\nendstream" % (6 * fan, b"/X Do " * fan)
    return pdf(CATALOG, pages, FONT, page, contents, *forms)


OWN_KIDS = b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 9 >>"
PDF = {
    "one page": (lambda: with_page(stream(LINE, times=1)), "found"),
    "pages in pages": (lambda: deep_pages(3000), ""),
    "pages that are their own": (
        lambda: pdf(CATALOG, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 9 >>"),
        "broken PDF",
    ),
    "a million pages said": (lambda: with_page(stream(LINE, times=1), count=1_000_000), "broken PDF"),
    "two billion pages said": (lambda: with_page(stream(LINE, times=1), count=2_000_000_000), ""),
    "300 MB in a stream": (lambda: with_page(stream(b" " * 300_000_000, times=2)), ""),
    "a stream that ends early": (lambda: with_page(stream(LINE, times=1)[:-40]), ""),
    "a cross-reference to itself": (lambda: pdf(CATALOG, trailer=b"/Prev 60"), "broken PDF"),
    "a table far away": (lambda: pdf(CATALOG, start=2**62), "broken PDF"),
    "arrays in arrays": (lambda: pdf(b"<< /Pages 2 0 R /X " + b"[" * 300_000), "broken PDF"),
    "a form in itself": (lambda: forms_in_forms(1, 1).replace(b"/F1 3 0 R", b"/X 6 0 R "), ""),
}


@pytest.mark.parametrize("name", PDF)
def test_pdf(parser, name):
    make, expected = PDF[name]
    content = make()
    assert len(content) < 400_000
    assert expected in outcome(parser, "a.pdf", content)


def form_that_paints_itself():
    """Twice, through the page's resources, for it has none of its own: pdfium does not come back."""
    form = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 12 >>\nstream\n/X Do /X Do \nendstream"
    page = PAGE.replace(b"/Font << /F1 3 0 R >>", b"/XObject << /X 6 0 R >>")
    contents = b"<< /Length 6 >>\nstream\n/X Do \nendstream"
    return pdf(CATALOG, b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>", FONT, page, contents, form)


@pytest.mark.parametrize(
    "content", [forms_in_forms(12, 10), form_that_paints_itself()], ids=["many", "itself"]
)
def test_a_pdf_of_forms_without_end(content):
    assert len(content) < 4000
    with ParserProcess(ParsingSettings(timeout_s=1, memory_mb=256)) as parser:
        found = outcome(parser, "a.pdf", content)
    assert "pdf parser took longer than 1 s" in found or "pdf parser died" in found


# --- text

NESTED = 100_000
TEXT = {
    "html deep": ("a.html", "<div>" * NESTED + "found" + "</div>" * NESTED),
    "html lists": ("a.html", "<ul><li>" * NESTED + "found"),
    "html tables": ("a.html", "<table><tr><td>" * NESTED + "found"),
    "html attributes": ("a.html", "<p " + " ".join(f"a{n}='<p>'" for n in range(NESTED)) + ">found"),
    "html unclosed": ("a.html", "found <!-- " * NESTED),
    "html scripts": ("a.html", "<script><" * NESTED + "</script>found"),
    "md quotes": ("a.md", "> " * 10_000 + "found"),
    "md lists": ("a.md", "".join(f"{' ' * n}- found\n" for n in range(1000))),
    "md brackets": ("a.md", "[" * 10_000 + "found" + "](" * 10_000),
    "md emphasis": ("a.md", "*a **b _c __d " * 10_000 + "found"),
    "md backticks": ("a.md", "".join("`" * n + "a" for n in range(1000)) + "found"),
    "md entities": ("a.md", "&" * NESTED + "&#" * NESTED + "found"),
    "md definitions": ("a.md", "[a]: " * 10_000 + "found\n" + "[b]:\n" * 10_000),
    "md wide table": ("a.md", "|a" * 10_000 + "\n" + "|-" * 10_000 + "\n" + "|found\n" * 100),
    "md html": ("a.md", "<a <b <!-- <? <![CDATA[ " * 10_000 + "found"),
    "csv field": ("a.csv", 'a,b\n1,"' + "x " * 5_000_000 + 'found"\n'),
    "csv columns": ("a.csv", ",".join(map(str, range(NESTED))) + "\nfound\n"),
    "rst titles": ("a.rst", "Title\n=====\n" * 50_000 + "found"),
    "rst open tables": ("a.rst", "=== ===\na b\n" * 20_000 + "found"),
    "rst literals": ("a.rst", "a::\n\n b\n\n" * 20_000 + "found"),
    "code in one line": ("a.js", "var a=1;" * 625_000 + "found"),
    "code of brackets": ("a.c", ("a(" * 140 + "\n") * 1000 + "found"),
    "text of blank lines": ("a.txt", "\n" * 5_000_000 + "found"),
    "notebook lines": (
        "a.ipynb",
        json.dumps({"cells": [{"cell_type": "markdown", "source": ["> - a\n"] * 10_000 + ["\nfound"]}]}),
    ),
}


@pytest.mark.parametrize("name", TEXT)
def test_text(parser, name):
    path, text = TEXT[name]
    assert "found" in outcome(parser, path, text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"cells": [{"source": ' + "[" * 100_000 + "]" * 100_000 + "}]}",
        '{"a":' * 100_000 + "1" + "}" * 100_000,
    ],
)
def test_a_notebook_of_deep_json(parser, text):
    assert outcome(parser, "a.ipynb", text) == "nested too deeply for the notebook parser"


def test_a_notebook_of_one_large_number(parser):
    found = outcome(parser, "a.ipynb", '{"cells": [], "a": ' + "9" * 1_000_000 + "}")
    assert "notebook parser failed: ValueError" in found


PREFIXES = [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\xef\xbb\xbf\xff\xfe"]
BODIES = [
    b"found \xff\xfe\xed\xa0\x80 \xc0\x80 \xf5\x90",
    "found \ud800\udfff".encode("utf-16-le", "surrogatepass"),
    "found \udc00".encode("utf-16-be", "surrogatepass"),
    b"found \x85\x0b\x0c\x1c\x1d\x1e\x7f\x1b[2J",
    "found \u2028\u2029\u202e\ufeff\uffff\U0010ffff".encode(),
    b"f\0o\0u\0n\0d\0\0",
]


@pytest.mark.parametrize("suffix", "md txt rst html py csv ipynb pdf docx".split())
def test_mixed_encodings_and_suffixes_that_lie(parser, suffix):
    for prefix in PREFIXES:
        for body in [*BODIES, docx(document(PARAGRAPH)), with_page(stream(LINE, times=1))]:
            outcome(parser, f"a.{suffix}", prefix + body).encode()


# --- what looks like ours

MARKERS = """\
---
title: not front matter, for it does not stand at the top
---

reindex canary 1

## Page 3

> Harbour > Lanterns > found

<!-- heading: 1 --> `\\x1f` {#anchor}

````text
```python
# a fence in a fence
```
````

[[ ## chunk ## ]] <|endoftext|> [CLS] [SEP] </s> \u241f \ue000
"""


@pytest.mark.parametrize("path", ["a.md", "a.txt", "a.rst", "a.py"])
def test_markup_that_looks_like_ours_is_kept_as_it_is(parser, path):
    text = "First line\n\n" + MARKERS
    lines = text.split("\n")
    blocks = parser.parse(path, text.encode())
    kept = {n for block in blocks for n in range(block.line_start, block.line_end + 1)}
    assert kept == {n for n, line in enumerate(lines, 1) if line}
    for block in blocks:
        assert block.text == "\n".join(lines[block.line_start - 1 : block.line_end])
    if path == "a.md":
        assert [block.kind for block in blocks].count(BlockKind.CODE) == 1


def test_markup_that_looks_like_ours_in_structured_formats(parser):
    words = "reindex canary 1 > Page 3 <!-- not a comment --> ```"
    escaped = words.replace("<", "&lt;").replace(">", "&gt;")
    notebook = {"cells": [{"cell_type": "code", "source": words}]}
    for path, content in {
        "a.html": f"<p>{escaped}</p>",
        "a.csv": f"{words},b\n",
        "a.ipynb": json.dumps(notebook),
        "a.docx": docx(document(PARAGRAPH.replace("found", escaped))),
        "a.pdf": with_page(stream(LINE.replace(b"found", words.encode()), times=1)),
    }.items():
        found = outcome(parser, path, content)
        assert words in found.replace("\u2018", "`"), path  # as Helvetica has it
