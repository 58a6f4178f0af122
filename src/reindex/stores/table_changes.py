"""What one window does to a table, by columns, and as the Arrow rows that LanceDB appends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reindex.core.identity import document_id
from reindex.core.layout import DocumentLayout, encode_layout
from reindex.model import DocumentName, EmbeddingKey
from reindex.stores import lance

if TYPE_CHECKING:
    from reindex.vectors import Vectors


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """Chunks as they stand in the table: the columns of n rows. `names` are their documents; `vectors` has
    shape (n, dimensions).
    """

    ids: Sequence[str]
    names: Sequence[DocumentName]
    keys: Sequence[EmbeddingKey]
    texts: Sequence[str]
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class TableChanges:
    """What one window does to a table. Whole documents only; `only_new` says that the table holds none of
    the documents in `layouts` yet, so that nothing need be looked up.
    """

    chunks: ChunkRows
    layouts: Sequence[DocumentLayout]
    chunks_gone: Sequence[str]
    documents_gone: Sequence[DocumentName]
    only_new: bool = False


def arrow_rows(changes: TableChanges, schema: Any) -> Any:
    """The rows to append, those of chunks first, as an Arrow table. Vectors are not copied."""
    import pyarrow as pa

    parts = []
    if changes.chunks.ids:
        parts.append(_chunk_rows(changes.chunks, schema))
    if changes.layouts:
        parts.append(_document_rows(changes.layouts, schema))
    return pa.concat_tables(parts)


def _chunk_rows(chunks: ChunkRows, schema: Any) -> Any:
    import pyarrow as pa

    known = {name: (document_id(name), lance.displayed_path(name.path)) for name in set(chunks.names)}
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(chunks.vectors.ravel()), chunks.vectors.shape[1])
    columns = {
        lance.ROW_ID: chunks.ids,
        lance.DOCUMENT: [known[name][0] for name in chunks.names],
        lance.SOURCE: [name.source for name in chunks.names],
        lance.PATH: [known[name][1] for name in chunks.names],
        lance.KEY: [key.hex() for key in chunks.keys],
        lance.TEXT: _stored_texts(chunks.texts),
        lance.VECTOR: vectors,
        lance.LAYOUT: pa.nulls(len(chunks.ids), pa.binary()),
    }
    return pa.table(columns, schema=schema)


def _document_rows(layouts: Sequence[DocumentLayout], schema: Any) -> Any:
    import pyarrow as pa

    documents = [document_id(layout.name) for layout in layouts]
    blank = {
        column: pa.nulls(len(layouts), schema.field(column).type)
        for column in (lance.KEY, lance.TEXT, lance.VECTOR)
    }
    columns = {
        lance.ROW_ID: documents,
        lance.DOCUMENT: documents,
        lance.SOURCE: [layout.name.source for layout in layouts],
        lance.PATH: [lance.displayed_path(layout.name.path) for layout in layouts],
        lance.LAYOUT: [encode_layout(layout) for layout in layouts],
    }
    return pa.table(columns | blank, schema=schema)


def _stored_texts(texts: Sequence[str]) -> Any:
    """Arrow strings are UTF-8: a lone surrogate, which is no character, is shown as an escape."""
    import pyarrow as pa

    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text.encode("utf-8", "backslashreplace").decode("utf-8") for text in texts])
