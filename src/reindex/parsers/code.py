"""Source code and configuration: groups between blank lines, under the definitions that open them."""

import re
from collections.abc import Iterator, Sequence

from reindex.model import Block, BlockKind
from reindex.parsers.decoding import decode
from reindex.parsers.lines import Span, cut, indent, is_blank

_LINE_CHARS_MAX = 300  # a longer line is data or minified: it defines nothing
_TITLE_CHARS_MAX = 120
_METHOD_INDENT_MAX = 4
_DEFINITION = re.compile(
    r"""(?:(?:export|default|pub(?:\([^)]*\))?|async|static|public|private|protected|internal|abstract|final
        |sealed|unsafe|const|constexpr|extern|inline|virtual|override|open|partial|data|suspend|local|readonly
        |declare|typedef|mut)\s+)*
    (?:class|def|fn|func|fun|function\*?|struct|enum|union|trait|impl|interface|type|namespace|module|mod|object
        |protocol|extension|record|macro_rules!|package|sub|constructor|init|get|set)\b\s*[\w$<(~"'*]""",
    re.VERBOSE,
)
_ASSIGNED = re.compile(  # const name = (...) =>, name <- function(
    r"(?:export\s+)?(?:default\s+)?(?:(?:const|let|var)\s+)?[\w$.]+\s*(?::[^=]{0,80})?(?:=|<-)\s*"
    r"(?:async\s*)?(?:function\b|\([^()]*\)\s*(?::[^=]{0,80})?=>|[\w$]+\s*=>|class\b)"
)
_MEMBER = re.compile(  # public static List<String> names(int count) {
    r"(?:(?:public|private|protected|internal|static|final|abstract|async|override|virtual|readonly)\s+)+"
    r"[\w<>\[\],.?: ]{0,120}\("
)
_C_FUNCTION = re.compile(r"[A-Za-z_][\w:<>,*&~ \t]*[ \t*&][\w:~]+\s*\([^;{}]*(?:\)[^;{}]*\{?|,)\s*$")
_SHELL = re.compile(r"[\w:-]+\s*\(\)\s*\{?\s*$")
_SQL = re.compile(
    r"(?:create|alter|drop)\s+(?:or\s+replace\s+|temp\w*\s+|unique\s+)*\w+\s+[\w\"`\[(]", re.IGNORECASE
)
_SECTION = re.compile(r"\[\[?[^\[\]]+\]\]?\s*(?:[#;].*)?$")
_YAML_KEY = re.compile(r"(?!(?:else|try|finally|except|default|then)\b)[\w.\"'/-]+\s*:\s*(?:#.*)?$")
_MAKE_TARGET = re.compile(r"[\w./%$(){}-]+(?:\s+[\w./%$(){}-]+)*\s*::?(?!=)(?:\s|$)")
_DOCKER_STAGE = re.compile(r"FROM\s+\S", re.IGNORECASE)
_LEADS = ("@", "#[", "///", "//!", "/**", " *", "#", "//", "--", "template")


def parse(content: bytes) -> tuple[Block, ...]:
    """Definitions at column 0 are headings of level 1, those one indentation deeper of level 2.

    A heading holds its line and the decorators and comments right above it. The rules are by line and
    the same for every language: a wrong guess costs a boundary, never text.
    """
    lines = decode(content).split("\n")
    return cut(lines, _spans(lines))


def _spans(lines: Sequence[str]) -> Iterator[Span]:
    start = -1  # of the run of lines that is gathered now
    for at, line in enumerate(lines):
        if is_blank(line):
            if start >= 0:
                yield Span(BlockKind.CODE, start, at)
            start = -1
            continue
        level = _level(line, lines[at + 1] if at + 1 < len(lines) else "")
        if level:
            lead = _lead(lines, at, start)
            if 0 <= start < lead:
                yield Span(BlockKind.CODE, start, lead)
            yield Span(BlockKind.HEADING, lead, at + 1, level, _title(line))
            start = -1
        elif start < 0:
            start = at
    if start >= 0:
        yield Span(BlockKind.CODE, start, len(lines))


def _lead(lines: Sequence[str], at: int, start: int) -> int:
    """The first of the decorators and comments right above line `at`, inside the gathered run."""
    margin = indent(lines[at])
    first = at
    while 0 <= start < first:
        above = lines[first - 1]
        if indent(above) not in (margin, margin + 1) or not above[margin:].startswith(_LEADS):
            break
        first -= 1
    return first


def _level(line: str, below: str) -> int:
    """1 or 2 when the line defines something, else 0."""
    depth = indent(line)
    if len(line) > _LINE_CHARS_MAX or depth > _METHOD_INDENT_MAX:
        return 0
    code = line[depth:]
    if depth:
        return 2 if _DEFINITION.match(code) or _MEMBER.match(code) else 0
    rules = (_DEFINITION, _ASSIGNED, _MEMBER, _SHELL, _SQL, _SECTION, _YAML_KEY, _DOCKER_STAGE)
    return (
        1 if any(rule.match(code) for rule in rules) or _is_c_function(code) or _is_target(code, below) else 0
    )


def _is_c_function(code: str) -> bool:
    words = code.split("(", 1)[0].split()
    return (
        len(words) > 1
        and words[0] not in ("return", "else", "new", "throw")
        and bool(_C_FUNCTION.match(code))
    )


def _is_target(code: str, below: str) -> bool:
    """A rule of a Makefile: only its recipe, which begins with a tab, tells it from `name: value`."""
    return below.startswith("\t") and bool(_MAKE_TARGET.match(code))


def _title(line: str) -> str:
    return " ".join(line.split()).rstrip("{:( ").rstrip()[:_TITLE_CHARS_MAX]
