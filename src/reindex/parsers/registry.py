"""Which parser reads which file, at which version, and the one place where a parser's failure is named."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from reindex.errors import ParseError
from reindex.model import Block
from reindex.parsers import code, docx, html, markdown, notebook, pdf, plain, rst, table


@dataclass(frozen=True, slots=True)
class _Format:
    """A parser, the version of its code, and the library under it (its distribution's name)."""

    name: str
    parse: Callable[[bytes], tuple[Block, ...]]
    version: int
    library: str = ""


_PLAIN = _Format("text", plain.parse, plain.VERSION)
_MARKDOWN = _Format("markdown", markdown.parse, markdown.VERSION, "markdown-it-py")
_RST = _Format("rst", rst.parse, rst.VERSION)
_HTML = _Format("html", html.parse, html.VERSION)
_CODE = _Format("code", code.parse, code.VERSION)
_NOTEBOOK = _Format("notebook", notebook.parse, notebook.VERSION, "markdown-it-py")
_TABLE = _Format("table", table.parse, table.VERSION)
_PDF = _Format("pdf", pdf.parse, pdf.VERSION, "pypdfium2")
_DOCX = _Format("docx", docx.parse, docx.VERSION, "mammoth")

_SUFFIXES: dict[_Format, str] = {
    _PLAIN: "txt text log adoc org tex",
    _MARKDOWN: "md markdown mdx",
    _RST: "rst rest",
    _HTML: "html htm xhtml",
    _CODE: "py pyi js mjs cjs ts tsx jsx go rs java c h cc cpp hpp cs rb php sh bash sql toml yaml yml ini cfg "
    "json css kt swift lua pl r scala proto graphql tf",
    _NOTEBOOK: "ipynb",
    _TABLE: "csv tsv",
    _PDF: "pdf",
    _DOCX: "docx",
}
_BY_SUFFIX = {f".{suffix}": form for form, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}
_BY_NAME = {
    "makefile": _CODE,
    "gnumakefile": _CODE,
    "dockerfile": _CODE,
    "containerfile": _CODE,
    "justfile": _CODE,
    **dict.fromkeys(
        [
            "readme",
            "license",
            "licence",
            "copying",
            "notice",
            "changelog",
            "changes",
            "news",
            "authors",
            "contributors",
            "contributing",
            "codeowners",
            "install",
            "todo",
            "history",
        ],
        _PLAIN,
    ),
}

KNOWN_SUFFIXES: frozenset[str] = frozenset(_BY_SUFFIX)
"""Lower case, with the dot."""

KNOWN_NAMES: frozenset[str] = frozenset(
    spelling
    for name in _BY_NAME
    for spelling in (
        name,
        name.upper(),
        name.capitalize(),
        name.replace("makefile", "Makefile").replace("gnu", "GNU"),
    )
)
"""Whole names of files without a suffix, in the spellings people use."""


def parser_version(path: str) -> str:
    """What reads this path: parser, version of its code, library with version. Another answer than the
    recorded one means that the document is parsed again. Imports no library; cheap for every document.
    """
    return _version(_format(path))


def parse_document(path: str, content: bytes) -> tuple[Block, ...]:
    """The blocks of a document in reading order; none for an empty one. Raises ParseError and nothing else."""
    form = _format(path)
    try:
        return form.parse(content)
    except ParseError:
        raise
    except Exception as error:  # vendor code: whatever it raises, this file is at fault
        cause = f"{type(error).__name__}: {error}"[:500]
        raise ParseError(
            f"the {form.name} parser failed: {cause}", "open the file and save it again"
        ) from error


def _format(path: str) -> _Format:
    name = path.rpartition("/")[2]
    suffix = name.rpartition(".")[2]
    form = _BY_SUFFIX.get(f".{suffix.lower()}") if suffix != name else None
    return form or _BY_NAME.get(name.lower(), _PLAIN)


@cache
def _version(form: _Format) -> str:
    own = f"{form.name}/{form.version}"
    return f"{own}+{form.library}/{_library_version(form.library)}" if form.library else own


@cache
def _library_version(distribution: str) -> str:
    """From the names of the installed `.dist-info` folders: importlib.metadata costs 20 ms."""
    prefix = distribution.replace("-", "_") + "-"
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 - names only, quickly
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info") and name.lower().startswith(prefix):
                return name[len(prefix) : -len(".dist-info")]
    from importlib.metadata import version  # an unusual installation: the slow way

    return version(distribution)
