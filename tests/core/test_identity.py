"""Who is who: what decides a name, and that nothing else does."""

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from reindex.core.identity import (
    EmbeddingSpace,
    Recipe,
    chunk_ids,
    document_id,
    embedding_key,
    pack_keys,
    unpack_keys,
)
from reindex.model import DocumentName, EmbeddingKey, digest

SPACE = EmbeddingSpace("local", "abc", 384, True, "fp32", "", "query: ")
RECIPE = Recipe("some-model", SPACE, "def", 256, 0)
NAMES = st.builds(DocumentName, st.text(max_size=4), st.text(max_size=8))
KEYS = st.binary(min_size=32, max_size=32).map(EmbeddingKey)


def other(value):
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else value + "!"


def test_every_field_of_a_space_counts():
    for field in fields(EmbeddingSpace):
        changed = replace(SPACE, **{field.name: other(getattr(SPACE, field.name))})
        assert changed.fingerprint != SPACE.fingerprint, field.name
        assert replace(RECIPE, space=changed).fingerprint != RECIPE.fingerprint, field.name


def test_every_field_of_a_recipe_counts_but_the_models_name():
    for field in fields(Recipe):
        if field.name != "space":
            changed = replace(RECIPE, **{field.name: other(getattr(RECIPE, field.name))})
            assert (changed.fingerprint == RECIPE.fingerprint) == (field.name == "model"), field.name


def test_identities_never_change():
    """They are on disk: another value here makes every index of every user anew."""
    name = DocumentName("docs", "a/b.md")
    key = embedding_key(SPACE.fingerprint, "text")
    assert document_id(name)[:16] == "f5c2e96adbb91483"
    assert SPACE.fingerprint.hex()[:16] == "2b999ecfb7860df0"
    assert RECIPE.fingerprint.hex()[:16] == "05e0ceed0e80daf7"
    assert key.hex()[:16] == "75168ecc0415f2e4"
    assert chunk_ids(name, [key])[0][:16] == "3d9be0ba5cc5d30d"


def test_a_recipe_survives_json():
    assert Recipe.from_json(RECIPE.to_json()) == RECIPE


@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_different_parts_have_different_digests(one, two):
    assert (digest(*one) == digest(*two)) == (one == two)


@given(st.text(), st.text())
def test_a_key_is_of_the_exact_text(one, two):
    assert (embedding_key(b"s", one) == embedding_key(b"s", two)) == (one == two)
    assert embedding_key(b"s", one) != embedding_key(b"t", one)


@given(NAMES, NAMES)
def test_documents_have_ids_of_their_own(one, two):
    assert (document_id(one) == document_id(two)) == (one == two)


@given(NAMES, st.lists(KEYS, max_size=8))
def test_chunks_of_a_document_have_ids_of_their_own(name, keys):
    ids = chunk_ids(name, keys + keys)
    assert len(set(ids)) == len(ids) == 2 * len(keys)
    assert document_id(name) not in ids


@given(NAMES, st.lists(KEYS, min_size=1, max_size=8), st.integers(0, 8), KEYS)
def test_an_insertion_leaves_the_other_ids_alone(name, keys, at, new):
    before, after = chunk_ids(name, keys), chunk_ids(name, [*keys[:at], new, *keys[at:]])
    assert len(set(after) - set(before)) == 1
    assert set(before) <= set(after)


@given(NAMES, st.lists(KEYS, max_size=8))
def test_the_same_keys_elsewhere_have_other_ids(name, keys):
    elsewhere = DocumentName(name.source, name.path + "2")
    assert not set(chunk_ids(name, keys)) & set(chunk_ids(elsewhere, keys))


@given(st.lists(KEYS, max_size=8))
def test_keys_are_packed_and_unpacked(keys):
    assert unpack_keys(pack_keys(keys)) == keys


def test_names_that_are_not_utf8():
    assert document_id(DocumentName("s", "caf\udce9")) != document_id(DocumentName("s", "café"))
