"""Places: which documents lie in them, and which rows of a table are theirs; against a plain reading."""

import os

from hypothesis import given
from hypothesis import strategies as st

from reindex.model import WHOLE, DocumentName, lies_in, outermost
from reindex.stores.file_rows import ranges_of

names = st.sampled_from(["a", "b", "a.md", "a b", "a-", "a0", "é", "\udce9", "aa", "\x01"])
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
places = st.frozensets(paths | st.just(""), max_size=5)


def is_at_or_below(path, places):
    return any(place == "" or path == place or path.startswith(place + "/") for place in places)


@given(paths, places)
def test_a_document_lies_in_a_place_or_below_it(path, places):
    assert lies_in(DocumentName("docs", path), {"docs": places}) == is_at_or_below(path, places)
    assert not lies_in(DocumentName("other", path), {"docs": places})


@given(paths, places)
def test_the_rows_of_places_are_those_in_them(path, places):
    row = os.fsencode(path)
    hits = sum(start <= row < end for start, end in ranges_of(places))
    assert bool(hits) == is_at_or_below(path, places)
    assert sum(start <= row < end for start, end in ranges_of(outermost(places))) <= 1


@given(places, st.lists(paths, max_size=10))
def test_the_outermost_places_are_the_same_documents(places, documents):
    kept = outermost(places)
    assert kept <= places
    assert ("" in kept) == (kept == WHOLE)
    for path in documents:
        assert is_at_or_below(path, kept) == is_at_or_below(path, places)
    for place in kept:
        assert not is_at_or_below(place, kept - {place})
