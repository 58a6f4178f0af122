"""What a document's row says, there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reindex.core.identity import chunk_ids, embedding_key
from reindex.core.layout import decode_layout, encode_layout, layout_of
from reindex.model import Chunk, DocumentName, Revision

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
PATHS = st.binary(min_size=1, max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
CHUNKS = st.lists(
    st.builds(
        Chunk,
        TEXT,
        st.integers(1, 99),
        st.integers(1, 99),
        st.lists(TEXT, max_size=3).map(tuple),
        st.integers(0, 300),
    ),
    max_size=8,
)


@given(PATHS, CHUNKS, st.floats(0, 4e9))
def test_there_and_back(path, chunks, indexed_at):
    name = DocumentName("docs", path)
    keys = [embedding_key(b"space", chunk.text) for chunk in chunks]
    layout = layout_of(name, Revision(b"r" * 32), "markdown/1", chunks, keys, indexed_at)
    encoded = encode_layout(layout)
    encoded.decode("ascii")
    assert decode_layout(encoded) == layout
    assert layout.chunk_ids() == chunk_ids(name, keys)
    assert layout.tokens == sum(chunk.tokens for chunk in chunks)
    assert [place.headings for place in layout.places] == [chunk.headings for chunk in chunks]


@pytest.mark.parametrize("garbage", [b"", b"{}", b"[", b"\xff", b'{"headings": [], "source": "s"}'])
def test_anything_else_is_refused(garbage):
    with pytest.raises((ValueError, KeyError)):
        decode_layout(garbage)
