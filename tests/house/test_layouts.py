"""What a document's own row may grow to, and what reading it costs."""

import resource

from doubles import hash_vectors
from reindex.core.identity import digest
from reindex.core.layout import DocumentLayout, Place
from reindex.model import DocumentName, EmbeddingKey, Revision
from reindex.stores.index import GenerationTable
from reindex.stores.table_changes import ChunkRows, TableChanges

ROWS, CHUNKS = 6_000, 12_000


def test_one_large_layout_beside_many_chunks(tmp_path):
    """A document of 12,000 chunks, alone in its fragment: its row is read once, not once for each chunk."""
    name = DocumentName("docs", "huge.txt")
    keys = tuple(EmbeddingKey(digest(str(number).encode())) for number in range(CHUNKS))
    places = tuple(Place(number, number, ()) for number in range(CHUNKS))
    layout = DocumentLayout(name, Revision(bytes(32)), "plain/1", CHUNKS, 1.0, keys, places)
    vectors = hash_vectors(["one"] * ROWS, 8)
    ids = [f"{number:064}" for number in range(ROWS)]
    rows = ChunkRows(ids, [name] * ROWS, keys[:ROWS], ["a text"] * ROWS, vectors)
    table = GenerationTable.create(tmp_path, "g1", 8)
    table.apply(TableChanges(rows, [layout], (), (), only_new=True))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert [found.keys for found in table.layouts()] == [keys]
    assert table.read_all() == ROWS + 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "KB, for one row of 0.6 MB"
