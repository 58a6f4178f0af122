"""Bytes to text: which encoding, which line ends, and what is not text at all."""

import codecs

from reindex.errors import ParseError

_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(content: bytes, declared: str = "") -> str:
    r"""The text of `content`, its lines ended by `\n` only.

    A byte order mark decides; else UTF-8; else the `declared` encoding, if Python knows it; else
    Windows-1252 with what it does not define replaced. Raises ParseError for binary content.
    """
    text = _decode(content, declared)
    if "\0" in text:
        raise ParseError("binary content: there is a NUL in it", "exclude it, or save it as UTF-8 text")
    return normalise_lines(text)


def normalise_lines(text: str) -> str:
    r"""`\r\n` and `\r` become `\n`: the number of lines stays."""
    if "\r" not in text:
        return text
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encodable(text: str) -> str:
    """`text` as UTF-8 can hold it: lone surrogates and NULs (escapes in JSON make them) are replaced."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def _decode(content: bytes, declared: str) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode(_known(declared) or "cp1252", "replace")


def _known(encoding: str) -> str:
    """The encoding's name when Python has a decoder from bytes to text for it, else nothing."""
    try:
        "".encode(encoding)
    except (LookupError, ValueError, UnicodeError):
        return ""
    return encoding
