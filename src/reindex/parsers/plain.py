"""Plain text: paragraphs between blank lines."""

from reindex.model import Block
from reindex.parsers.decoding import decode
from reindex.parsers.lines import cut


def parse(content: bytes) -> tuple[Block, ...]:
    """Every run of lines that are not blank is a paragraph."""
    return cut(decode(content).split("\n"), ())
