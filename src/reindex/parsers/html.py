"""HTML by the standard library's tokenizer, which neither recurses nor minds broken markup."""

import re
from html.parser import HTMLParser

from reindex.model import Block, BlockKind
from reindex.parsers.decoding import decode, encodable

_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_DROPPED = frozenset({"script", "style", "template", "noscript", "svg", "iframe", "object"})
_HEAD_END = frozenset(
    {"body", "main", "article", "section", "div", "p", "header", "nav", "table", "ul", "ol"}
)
_BLOCKS = frozenset(
    {
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
    }
    | {
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "head",
        "header",
        "hr",
        "html",
        "legend",
    }
    | {"li", "main", "nav", "ol", "option", "p", "pre", "section", "select", "summary", "table", "tbody"}
    | {"textarea", "tfoot", "thead", "title", "tr", "ul"}
    | _HEADINGS.keys()
)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]{2,40})", re.IGNORECASE)
_XML_CHARSET = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w-]{2,40})", re.IGNORECASE)
_HIDDEN = re.compile(r"<!--|<(script|style)\b(?![^<>]{0,4096}/>)", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script[^<>]{0,100}>", re.IGNORECASE)
_STYLE_END = re.compile(r"</style[^<>]{0,100}>", re.IGNORECASE)
_DECLARATION = re.compile(r"<[!?][^<>]{0,8192}+>")
_NO_TAG = re.compile(r"""<(?!/?[a-zA-Z](?>[^<>"']++|"[^"]{0,4096}+"|'[^']{0,4096}+'|["']){0,2000}+>)""")


def parse(content: bytes) -> tuple[Block, ...]:
    """The text a browser would show, block by block; a table's row is `a | b`."""
    return parse_text(decode(content, _declared(content)))


def parse_text(text: str) -> tuple[Block, ...]:
    """The same for text that is decoded already."""
    reader = _Reader()
    reader.feed(_tamed(text))
    reader.close()
    reader.end_block()
    return tuple(reader.blocks)


def _tamed(text: str) -> str:
    """The markup without comments, scripts, styles and declarations, each line where it was; a `<` that
    opens no tag becomes text. What is left takes the standard parser linear time: in Python 3.11 an
    unclosed comment or quote sends it to the end of the text again and again.
    """
    parts: list[str] = []
    at = 0
    while opening := _HIDDEN.search(text, at):
        end = _hidden_end(text, opening)
        if end < 0:  # an unclosed comment is text, so that nothing is lost
            break
        parts += (text[at : opening.start()], "\n" * text.count("\n", opening.start(), end))
        at = end
    parts.append(text[at:])
    shown = "".join(parts).replace("<![CDATA[", "").replace("]]>", "")
    shown = _DECLARATION.sub(lambda found: "\n" * found[0].count("\n"), shown)
    return _NO_TAG.sub("&lt;", shown)


def _hidden_end(text: str, opening: re.Match[str]) -> int:
    """The end of a comment, script or style, or -1; a script that is not closed runs to the end."""
    if opening[1] is None:
        end = text.find("-->", opening.end())
        return end + 3 if end >= 0 else -1
    closing = _SCRIPT_END if opening[1].lower() == "script" else _STYLE_END
    found = closing.search(text, opening.end())
    return found.end() if found else len(text)


def _declared(content: bytes) -> str:
    found = _XML_CHARSET.match(content[:1024]) or _CHARSET.search(content[:4096])
    return found[1].decode("ascii") if found else ""


class _Reader(HTMLParser):
    """Gathers text until a block starts or ends."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[Block] = []
        self._parts: list[str] = []
        self._line_start = 0
        self._line_end = 0
        self._tag = ""  # what the gathered text is: a key of _HEADINGS, "li", "pre", "tr", "title" or ""
        self._dropped = ""  # the tag whose content is left out now, and how deep it is nested
        self._dropped_depth = 0
        self._in_head = False
        self._pre_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if self._skips(tag):
            return
        if tag in _DROPPED:
            self._dropped, self._dropped_depth = tag, 1
        elif tag == "br":
            self._parts.append("\n")
        elif tag in ("td", "th"):
            if self._parts and self._tag == "tr":
                self._parts.append(" | ")
        elif tag in _BLOCKS:
            self._open(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _DROPPED:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            if tag == self._dropped:
                self._dropped_depth -= 1
                self._dropped = self._dropped if self._dropped_depth else ""
        elif tag == "head":
            self.end_block()
            self._in_head = False
        elif tag in _BLOCKS and not (tag == "p" and self._tag == "tr"):
            self.end_block()
            if tag == "pre":
                self._pre_depth = max(0, self._pre_depth - 1)

    def handle_data(self, data: str) -> None:
        if self._dropped or (self._in_head and self._tag != "title"):
            return
        if not self._parts or not self._line_start:
            lead = len(data) - len(data.lstrip())
            if lead == len(data):
                if self._parts:
                    self._parts.append(data)
                return
            self._line_start = self.getpos()[0] + data.count("\n", 0, lead)
            if not self._pre_depth:
                data = data[lead:]
                lead = 0
            self._line_end = self._line_start + data.rstrip().count("\n", lead)
        elif not data.isspace():
            self._line_end = self.getpos()[0] + data.rstrip().count("\n")
        self._parts.append(data)

    def end_block(self) -> None:
        """What was gathered becomes a block, unless there is nothing to read in it."""
        text = self._text()
        if text:
            end = max(self._line_start, self._line_end)
            level = _HEADINGS.get(self._tag, 1 if self._tag == "title" else 0)
            title = " ".join(text.split())[:1000] if level else ""
            self.blocks.append(Block(self._kind(), text, self._line_start, end, level, title))
        self._parts.clear()
        self._line_start = 0
        self._tag = ""

    def _skips(self, tag: str) -> bool:
        if self._dropped:
            self._dropped_depth += tag == self._dropped
            return True
        if self._in_head and tag in _HEAD_END:
            self._in_head = False
        return False

    def _open(self, tag: str) -> None:
        if self._tag == "tr" and tag in ("p", "div"):  # inside a cell
            self._parts.append(" ")
            return
        if self._tag == "li" and tag in ("p", "div") and not self._line_start:
            return
        self.end_block()
        self._tag = tag if tag in _HEADINGS or tag in ("li", "tr", "title") else ""
        self._in_head = self._in_head or tag == "head"
        self._pre_depth += tag == "pre"

    def _text(self) -> str:
        text = encodable("".join(self._parts))
        if self._pre_depth:
            return text.strip("\n").rstrip()
        if "\n" not in text and "  " not in text:
            return text.strip(" |\t\xa0") if self._tag == "tr" else text.strip()
        lines = (" ".join(line.split()) for line in text.split("\n"))
        joined = "\n".join(line for line in lines if line)
        return " ".join(joined.split()).strip(" |") if self._tag in ("tr", *_HEADINGS, "title") else joined

    def _kind(self) -> BlockKind:
        if self._tag in _HEADINGS or self._tag == "title":
            return BlockKind.HEADING
        if self._pre_depth:
            return BlockKind.CODE
        kinds = {"li": BlockKind.ITEM, "tr": BlockKind.TABLE}
        return kinds.get(self._tag, BlockKind.PARAGRAPH)
