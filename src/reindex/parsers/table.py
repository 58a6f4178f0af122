"""CSV and TSV: every row as `column: value; column: value`."""

import csv
import io
import sys
from collections.abc import Sequence
from itertools import islice

from reindex.errors import ParseError
from reindex.model import Block, BlockKind
from reindex.parsers.decoding import decode

_DELIMITERS = ("\t", ",", ";", "|")  # of two that agree the first wins: tabs are rare inside values
_SAMPLE_CHARS = 64 * 1024
_SAMPLE_ROWS = 20
_FIELD_CHARS_MAX = min(sys.maxsize, 2**31 - 1)


def parse(content: bytes) -> tuple[Block, ...]:
    """One block a row. The first row names the columns when it looks like names."""
    text = decode(content)
    csv.field_size_limit(_FIELD_CHARS_MAX)  # the default of 128 KB refuses real exports
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text[:_SAMPLE_CHARS]))
    blocks: list[Block] = []
    columns: Sequence[str] = ()
    line_before = 0
    try:
        for row in reader:
            if not blocks and not columns and _names_columns(row):
                columns = [name.strip() for name in row]
                values = "; ".join(name for name in columns)
            else:
                values = _row_text(row, columns)
            if values:
                blocks.append(Block(BlockKind.TABLE, values, line_before + 1, reader.line_num))
            line_before = reader.line_num
    except csv.Error as error:
        raise ParseError(
            f"broken table at line {reader.line_num}: {error}", "look at its quotes and delimiters"
        ) from error
    return tuple(blocks)


def _row_text(row: Sequence[str], columns: Sequence[str]) -> str:
    """Empty values are left out; a value without a column's name stands alone."""
    parts = []
    for index, field in enumerate(row):
        value = " ".join(field.split())
        name = columns[index] if index < len(columns) else ""
        if value:
            parts.append(f"{name}: {value}" if name else value)
    return "; ".join(parts)


def _names_columns(row: Sequence[str]) -> bool:
    """A header: at least two fields, short, distinct, none of them empty or a number."""
    names = [field.strip() for field in row]
    return (
        len(names) > 1
        and all(names)
        and len(set(names)) == len(names)
        and all(len(name) <= 60 for name in names)
        and not any(name.replace(".", "", 1).replace("-", "").isdigit() for name in names)
    )


def _delimiter(sample: str) -> str:
    """The one that gives most rows of the sample the same number of fields, more than one.

    Not `csv.Sniffer`: its regular expressions take quadratic time on some files, and guess letters.
    """
    return max(_DELIMITERS, key=lambda delimiter: _agreement(sample, delimiter))


def _agreement(sample: str, delimiter: str) -> tuple[int, int]:
    """(rows that have as many fields as the first one, that number); (0, 0) when it is one field."""
    try:
        rows = [
            len(row)
            for row in islice(csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter), _SAMPLE_ROWS)
            if row
        ]
    except csv.Error:
        return 0, 0
    if not rows or rows[0] < 2:
        return 0, 0
    return rows.count(rows[0]), rows[0]
