"""Every format: what a small real document gives, and what a broken one says."""

import importlib.util
import io
import json
import subprocess
import sys
import time
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reindex.errors import ParseError
from reindex.model import BlockKind
from reindex.parsers.registry import KNOWN_NAMES, KNOWN_SUFFIXES, parse_document, parser_version

TEXT_FORMATS = ["a.md", "a.txt", "a.rst", "a.html", "a.py", "a.csv", "a.json", "Makefile"]


def parse(path, text):
    return parse_document(path, text if isinstance(text, bytes) else text.encode())


def kinds(blocks):
    return [(str(block.kind), block.text) for block in blocks]


def titles(blocks):
    return [(block.level, block.title) for block in blocks if block.kind is BlockKind.HEADING]


def lines(blocks):
    return [(block.line_start, block.line_end) for block in blocks]


def test_markdown():
    text = """---
title: x
---
# Hello `World` [a](b) *c*
one
two
- item

  more
- other

Setext
======

```py
code

# no heading
```

| a | b |
|---|---|
| 1 | 2 |

> quote

[ref]: http://example.org
<div>
html
</div>
"""
    blocks = parse("a.md", text)
    assert titles(blocks) == [(1, "Hello World a c"), (1, "Setext")]
    assert [str(block.kind) for block in blocks] == (
        "paragraph heading paragraph item item heading code table paragraph paragraph paragraph".split()
    )
    source = text.split("\n")
    for block in blocks:
        assert block.text == "\n".join(source[block.line_start - 1 : block.line_end])
    assert blocks[3].text == "- item\n\n  more"


@given(st.text(st.sampled_from("# -*>`|=\n\tab1.:[]<!~+"), max_size=200))
@pytest.mark.parametrize("path", ["a.md", "a.txt", "a.rst", "a.py"])
def test_line_formats_keep_every_line_once(path, text):
    blocks = parse(path, text)
    source = text.split("\n")
    seen = [number for block in blocks for number in range(block.line_start, block.line_end + 1)]
    assert len(seen) == len(set(seen))
    assert {n for n, line in enumerate(source, 1) if line and not line.isspace()} <= set(seen)
    assert all(block.text == "\n".join(source[block.line_start - 1 : block.line_end]) for block in blocks)


def test_plain_text():
    assert lines(parse("notes", "a\nb\n\n\nc\r\n\r\nd\re")) == [(1, 2), (5, 5), (7, 8)]
    assert kinds(parse("a.log", "\n x \n")) == [("paragraph", " x ")]


def test_restructured_text():
    text = """=====
Title
=====

Intro :ref:`there`::

    literal

    more

Section
-------

.. note:: Stay
   whole

   here

* item
  goes on
* other

=====  =====
a      b
=====  =====
1      2
=====  =====

Deep
~~~~
.. code-block:: python

   x = 1

Other
-----
end
"""
    blocks = parse("a.rst", text)
    assert titles(blocks) == [(1, "Title"), (2, "Section"), (3, "Deep"), (2, "Other")]
    assert ("code", "    literal\n\n    more") in kinds(blocks)
    assert ("paragraph", ".. note:: Stay\n   whole\n\n   here") in kinds(blocks)
    assert ("item", "* item\n  goes on") in kinds(blocks)
    assert ("code", ".. code-block:: python\n\n   x = 1") in kinds(blocks)
    assert [block.text.count("\n") for block in blocks if block.kind is BlockKind.TABLE] == [4]


def test_html():
    text = """<!DOCTYPE html>
<html><head><title>Caf&eacute;</title><style>p { }</style>
<script>var a = "<p>no</p>";</script></head>
<body><!-- a comment
of two lines --><h1>Big <em>news</em></h1>
<p>One
   two<br>three</p>
<ul><li>first</li><li><p>second</p></li></ul>
<pre>  x
    y</pre>
<table><tr><th>a</th><th>b</th></tr>
<tr><td>1 &lt; 2</td><td><p>3</p></td></tr></table>
1 < 2
</body></html>"""
    blocks = parse("a.html", text)
    assert kinds(blocks) == [
        ("heading", "Café"),
        ("heading", "Big news"),
        ("paragraph", "One\ntwo\nthree"),
        ("item", "first"),
        ("item", "second"),
        ("code", "  x\n    y"),
        ("table", "a | b"),
        ("table", "1 < 2 | 3"),
        ("paragraph", "1 < 2"),
    ]
    assert lines(blocks) == [(2, 2), (5, 5), (6, 7), (8, 8), (8, 8), (9, 10), (11, 11), (12, 12), (13, 13)]
    assert titles(blocks) == [(1, "Café"), (1, "Big news")]


def test_html_takes_the_declared_charset():
    markup = '<meta charset="shift_jis"><p>日本</p>'
    assert kinds(parse("a.html", markup.encode("shift_jis"))) == [("paragraph", "日本")]
    assert kinds(parse("a.html", b'<meta charset="no-such"><p>caf\xe9</p>')) == [("paragraph", "café")]


def test_source_code():
    text = '''import os
import sys


@decorated
class Reader(Base):
    """Reads."""

    # why
    def read(self):
        return 1

    async def close(self):
        pass
def last(): return 2
'''
    blocks = parse("a.py", text)
    assert titles(blocks) == [
        (1, "class Reader(Base)"),
        (2, "def read(self)"),
        (2, "async def close(self)"),
        (1, "def last(): return 2"),
    ]
    assert ("heading", "@decorated\nclass Reader(Base):") in kinds(blocks)
    assert ("heading", "    # why\n    def read(self):") in kinds(blocks)
    assert kinds(blocks)[0] == ("code", "import os\nimport sys")


@pytest.mark.parametrize(
    ("path", "line", "level"),
    [
        ("a.js", "export async function load(a) {", 1),
        ("a.ts", "export const load = async (a: string) => {", 1),
        ("a.ts", "  private names(): string[] {", 2),
        ("a.go", "func (s *Store) Get(key string) error {", 1),
        ("a.rs", "pub(crate) fn read(&self) -> u8 {", 1),
        ("a.rs", "impl<T> Store for Disk<T> {", 1),
        ("a.java", "    public static int size(List<String> a) {", 2),
        ("a.c", "static int read_all(const char *path, size_t n)", 1),
        ("a.cpp", "std::string Store::name() const {", 1),
        ("a.sh", "run_all() {", 1),
        ("a.sql", "CREATE TABLE IF NOT EXISTS documents (", 1),
        ("a.toml", "[tool.ruff]", 1),
        ("a.yaml", "services:", 1),
        ("a.r", "mean2 <- function(x) {", 1),
        ("Makefile", "check: lint test\n\truff check", 1),
        ("Dockerfile", "FROM python:3.12 AS build", 1),
        ("a.py", "x = 1", 0),
        ("a.py", "else:", 0),
        ("a.py", "        def deep(self):", 0),
        ("a.c", "return call(a);", 0),
        ("a.yaml", "name: value", 0),
        ("a.json", '  "type": "x",', 0),
    ],
)
def test_definitions_are_headings(path, line, level):
    assert parse(path, f"{line}\n")[0].level == level


def notebook(*cells):
    return json.dumps({"nbformat": 4, "cells": list(cells)})


def test_notebook():
    printed = {"output_type": "stream", "text": [f"line {number}\n" for number in range(100)]}
    picture = {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "<Figure>"}}
    text = notebook(
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "words"]},
        {"cell_type": "code", "source": "x = 1\n\ny = 2", "outputs": [printed, picture]},
        {"cell_type": "raw", "source": "as it is \ud800"},
    )
    blocks = parse("a.ipynb", text)
    assert kinds(blocks)[:3] == [("heading", "# Title"), ("paragraph", "words"), ("code", "x = 1\n\ny = 2")]
    assert blocks[3].text.startswith("line 0\nline 1\n")
    assert blocks[3].text.count("\n") == 11
    assert kinds(blocks)[4:] == [("code", "<Figure>"), ("paragraph", "as it is ?")]
    assert lines(blocks)[:3] == [(1, 1), (3, 3), (5, 7)]


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"cells": 3}', '{"cells": [3]}', "<<<<<<< HEAD\n{}", "[" * 200_000]
)
def test_broken_notebook(text):
    with pytest.raises(ParseError):
        parse("a.ipynb", text)


def test_table():
    blocks = parse("a.csv", 'name,city\nAda,"Lon\ndon"\n\nBob,\n')
    assert [block.text for block in blocks] == ["name; city", "name: Ada; city: Lon don", "name: Bob"]
    assert lines(blocks) == [(1, 1), (2, 3), (5, 5)]
    assert [block.text for block in parse("a.tsv", "a\tb, c\n1\t2, 3\n")] == ["a; b, c", "a: 1; b, c: 2, 3"]
    assert [block.text for block in parse("a.csv", "a;b;c\n1,5;2;3\n")][1] == "a: 1,5; b: 2; c: 3"
    assert [block.text for block in parse("a.csv", "1,2\n3,4\n")] == ["1; 2", "3; 4"]
    assert len(parse("a.csv", "a,b\n1," + "x" * 300_000)[1].text) > 300_000


def pdf(*pages, trailer=b""):
    """A PDF of one line per page, written by hand."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for text in pages:
        stream = b"BT /F1 12 Tf 72 720 Td (" + text.encode() + b") Tj ET" if text else b""
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    out += b"trailer << /Size %d /Root 1 0 R %s >>\n" % (len(objects) + 1, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF" % start)


def test_pdf():
    blocks = parse("a.pdf", pdf("Hello page one.", "", "Page three."))
    assert kinds(blocks) == [
        ("heading", ""),
        ("paragraph", "Hello page one."),
        ("heading", ""),
        ("paragraph", "Page three."),
    ]
    assert titles(blocks) == [(6, "Page 1"), (6, "Page 3")]
    assert lines(blocks) == [(1, 1), (1, 1), (3, 3), (3, 3)]


def test_broken_pdf():
    with pytest.raises(ParseError, match="broken PDF"):
        parse("a.pdf", b"%PDF-1.4 nothing")
    hashed = b"<" + b"41" * 32 + b">"
    lock = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O %s /U %s >> /ID [<00> <00>]" % (hashed, hashed)
    with pytest.raises(ParseError, match="encrypted"):
        parse("a.pdf", pdf("secret", trailer=lock))


def docx(body, name="word/document.xml"):
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    packages = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{packages}/content-types">'
        '<Default Extension="xml" ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{packages}/relationships">'
        f'<Relationship Id="r1" Type="{office}" Target="word/document.xml"/></Relationships>',
        name: f'<w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>',
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return content.getvalue()


def test_docx():
    heading = '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Report</w:t></w:r></w:p>'
    words = "<w:p><w:r><w:t>Ten &lt; eleven.</w:t></w:r></w:p>"
    cell = f"<w:tc>{words}</w:tc>"
    blocks = parse("a.docx", docx(f"{heading}{words}<w:tbl><w:tr>{cell}{cell}</w:tr></w:tbl>"))
    assert kinds(blocks) == [
        ("heading", "Report"),
        ("paragraph", "Ten < eleven."),
        ("table", "Ten < eleven. | Ten < eleven."),
    ]
    assert titles(blocks) == [(1, "Report")]
    assert blocks[0].line_end < blocks[1].line_start


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"no zip", "broken DOCX"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "encrypted DOCX"),
        (docx("")[:200], "broken DOCX"),
        (docx("<w:p>"), "docx parser failed"),
        (docx("", name="word/other.xml"), "docx parser failed"),
    ],
)
def test_broken_docx(content, cause):
    with pytest.raises(ParseError, match=cause):
        parse("a.docx", content)


@pytest.mark.parametrize("path", TEXT_FORMATS)
def test_encodings(path):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert "é日" in parse(path, "é日".encode(encoding))[0].text
    assert parse(path, b"caf\xe9 \x93quoted\x94 \x81")[0].text == "café “quoted” \ufffd"
    with pytest.raises(ParseError, match="binary"):
        parse(path, b"abc\0def")


@pytest.mark.parametrize("path", [*TEXT_FORMATS, "a.ipynb", "a.pdf", "a.docx"])
def test_an_empty_document_has_no_blocks(path):
    assert parse(path, b"") == ()


@given(st.binary(max_size=300))
@pytest.mark.parametrize("path", [*TEXT_FORMATS, "a.ipynb", "a.docx", "a.pdf"])
def test_any_bytes_give_blocks_or_a_parse_error(path, content):
    try:
        blocks = parse(path, content)
    except ParseError as error:
        assert error.message
        assert error.hint
    else:
        for block in blocks:
            block.text.encode()
            assert 1 <= block.line_start <= block.line_end


HOSTILE = {
    "comments": ("a.html", "<!--" * 50_000),
    "quotes": ("a.html", "<a b='" * 50_000),
    "brackets": ("a.html", "<" * 100_000),
    "declarations": ("a.html", "<?" * 30_000 + "<!" * 30_000 + "</" * 30_000),
    "nested divs": ("a.html", "<div>" * 50_000 + "x"),
    "entities": ("a.html", "&#" * 100_000),
    "nested quotes": ("a.md", "> " * 50_000 + "x"),
    "nested lists": ("a.md", "- " * 50_000),
    "links": ("a.md", "[" * 200_000),
    "pipes": ("a.md", "|a" * 5_000 + "\n" + "|-" * 5_000 + "\n" + "|\n" * 200),
    "tables": ("a.rst", "=== ===\n\nx\n\n" * 10_000),
    "adornments": ("a.rst", "====\n" * 50_000),
    "quote": ("a.csv", 'a,b\n"' + "x,y\n" * 100_000),
    "long lines": ("a.c", ("a b *" * 55 + "\n") * 2_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_take_linear_time(name):
    path, text = HOSTILE[name]
    started_s = time.process_time()
    parse(path, text)
    assert time.process_time() - started_s < 5  # it is a fraction of a second; quadratic would be minutes


def test_versions_name_the_parser_its_code_and_its_library():
    assert (
        parser_version("x/a.txt")
        == parser_version("LICENSE")
        == parser_version("unknown.suffix")
        == "plain/1"
    )
    name, _, library = parser_version("x/A.MD").partition("+")
    assert name == "markdown/1"
    assert library.startswith("markdown-it-py/4.")
    assert parser_version("a.pdf").startswith("pdf/1+pypdfium2/5.")
    assert parser_version("a.docx").startswith("docx/1+mammoth/1.")


def test_versions_import_no_library():
    code = """
import sys
from reindex.parsers.registry import KNOWN_SUFFIXES, parser_version
for suffix in KNOWN_SUFFIXES:
    parser_version("a" + suffix)
print([m for m in ("markdown_it", "pypdfium2", "mammoth", "importlib.metadata") if m in sys.modules])
"""
    package = importlib.util.find_spec("reindex").submodule_search_locations[0]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=package.rpartition("/")[0],
    )
    assert done.stdout.strip() == "[]"


def test_known_files():
    assert {
        ".md",
        ".txt",
        ".rst",
        ".html",
        ".py",
        ".ipynb",
        ".csv",
        ".pdf",
        ".docx",
        ".json",
    } <= KNOWN_SUFFIXES
    assert {"README", "LICENSE", "Makefile", "Dockerfile", "CHANGELOG"} <= KNOWN_NAMES
