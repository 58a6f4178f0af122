"""Which parser reads which file, at which version, and the one place where a parser's failure is named."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module

from reindex.errors import ParseError
from reindex.model import Block, digest


@dataclass(frozen=True, slots=True, eq=False)
class _Format:
    """A parser (the name of its module here), the version of its code, and the distribution under it.

    Raise `version` whenever the module gives other blocks for the same bytes: every document of that
    format is parsed again then, and its unchanged chunks cost nothing.
    """

    module: str
    version: int
    distribution: str = ""

    def parser(self) -> Callable[[bytes], tuple[Block, ...]]:
        """Imported when the first document needs it: all of them together cost 40 ms."""
        parse: Callable[[bytes], tuple[Block, ...]] = import_module(f"reindex.parsers.{self.module}").parse
        return parse


_PLAIN = _Format("plain", 1)
_CODE = _Format("code", 1)
_FORMATS = {
    _PLAIN: "txt text log adoc org tex",
    _Format("markdown", 1, "markdown-it-py"): "md markdown mdx",
    _Format("rst", 1): "rst rest",
    _Format("html", 1): "html htm xhtml",
    _CODE: "py pyi js mjs cjs ts tsx jsx go rs java c h cc cpp hpp cs rb php sh bash sql toml yaml yml ini "
    "cfg json css kt swift lua pl r scala proto graphql tf",
    _Format("notebook", 1, "markdown-it-py"): "ipynb",
    _Format("table", 1): "csv tsv",
    _Format("pdf", 1, "pypdfium2"): "pdf",
    _Format("docx", 1, "mammoth"): "docx",
}
_CODE_NAMES = ("Makefile", "GNUmakefile", "Dockerfile", "Containerfile", "Justfile")
_PLAIN_NAMES = (
    *("Authors", "Changelog", "Changes", "Codeowners", "Contributing", "Contributors", "Copying", "History"),
    *("Install", "Licence", "License", "News", "Notice", "Readme", "Todo"),
)
_BY_SUFFIX = {f".{suffix}": form for form, suffixes in _FORMATS.items() for suffix in suffixes.split()}
_BY_NAME = {name.lower(): _CODE for name in _CODE_NAMES} | {name.lower(): _PLAIN for name in _PLAIN_NAMES}

KNOWN_SUFFIXES: frozenset[str] = frozenset(_BY_SUFFIX)
"""Lower case, with the dot."""

KNOWN_NAMES: frozenset[str] = frozenset(
    spelling for name in (*_CODE_NAMES, *_PLAIN_NAMES) for spelling in (name, name.lower(), name.upper())
)
"""Whole names of files without a suffix, in the spellings people use."""


def parser_version(path: str) -> str:
    """What reads this path: parser, version of its code, library with version. Another answer than the
    recorded one means that the document is parsed again. Imports no library; cheap for every document.
    """
    form = _BY_SUFFIX.get(path[path.rfind(".") :])  # most are found so
    return _version(form or _format(path))


def parsers_digest() -> bytes:
    """All that `parser_version` can say, of any path (32 bytes)."""
    versions = sorted((name, _version(form)) for name, form in {**_BY_SUFFIX, **_BY_NAME}.items())
    return digest(*(part.encode() for pair in versions for part in pair))


def parser_name(path: str) -> str:
    """What reads this path, in a word for messages."""
    return _format(path).module


def parse_document(path: str, content: bytes) -> tuple[Block, ...]:
    """The blocks of a document in reading order; none for an empty one. Raises nothing but ParseError."""
    form = _format(path)
    try:
        return form.parser()(content)
    except ParseError:
        raise
    except RecursionError as error:
        raise ParseError(
            f"nested too deeply for the {form.module} parser", "flatten it, or exclude it"
        ) from error
    except Exception as error:  # vendor code: whatever it raises, this file is at fault
        cause = f"{type(error).__name__}: {error}"[:500]
        raise ParseError(
            f"the {form.module} parser failed: {cause}", "open the file and save it again"
        ) from error


def _format(path: str) -> _Format:
    name = path.rpartition("/")[2]
    suffix = name.rpartition(".")[2]
    form = _BY_SUFFIX.get(f".{suffix.lower()}") if suffix != name else None
    return form or _BY_NAME.get(name.lower(), _PLAIN)


@cache
def _version(form: _Format) -> str:
    own = f"{form.module}/{form.version}"
    return f"{own}+{form.distribution}/{_library_version(form.distribution)}" if form.distribution else own


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
