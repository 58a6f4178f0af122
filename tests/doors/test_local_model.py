"""The real model: found, named by its weights, and giving the vectors that sentence-transformers gives."""

import json
import shutil

import numpy as np
import pytest

from reindex.core.batching import token_batches
from reindex.embedders.catalog import ModelCatalog, recipe_for, recipe_notice
from reindex.embedders.local import LocalEmbedder, LocalOptions
from reindex.embedders.models import PACKAGED_MODELS, find_model, read_model
from reindex.embedders.tokenizer import ModelTokenizer
from reindex.errors import ConfigError, ModelError
from reindex.settings import ChunkingSettings, EmbeddingSettings, Settings

DEFAULT = "all-MiniLM-L6-v2"
TEXTS = ["a", "Ångström 日本語 🚚", "word " * 250, "# Heading\n\nThe belts stop at 3 o'clock.", "naïve café"]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return ModelCatalog(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def embedder(catalog, options):
    return LocalEmbedder(catalog.find(DEFAULT), recipe_for(Settings(data_dir=None), catalog).space, options)


@pytest.fixture(scope="module", params=["torch", "onnx"])
def options(request, tmp_path_factory):
    return LocalOptions(tmp_path_factory.mktemp("home"), backend=request.param)


def test_the_default_model_is_the_package_with_the_known_weights(catalog):
    model = catalog.find(DEFAULT)
    assert (model.dimensions, model.max_tokens) == (384, 256)
    assert find_model(DEFAULT, model.directory)[1] == PACKAGED_MODELS[DEFAULT][1]


def test_weights_other_than_promised_are_refused(catalog):
    directory = catalog.find(DEFAULT).directory
    with pytest.raises(ModelError, match="not the model it says it is"):
        read_model(directory, "0" * 64)


def test_identity_follows_the_weights_and_not_the_path(tmp_path, catalog):
    original = catalog.find(DEFAULT)
    copy = tmp_path / "copy"
    shutil.copytree(original.directory, copy)
    assert catalog.find(str(copy)).digest == original.digest
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert catalog.find(str(copy)).digest != original.digest


def test_what_is_remembered_is_used_until_a_file_changes(tmp_path):
    notes = {}
    catalog = ModelCatalog(tmp_path, notes.get, notes.__setitem__)
    first = catalog.find(DEFAULT)
    (note,) = notes
    notes[note] = json.dumps(
        {**json.loads(notes[note]), "model": {**json.loads(notes[note])["model"], "digest": "x"}}
    )
    assert catalog.find(DEFAULT).digest == "x"
    notes[note] = json.dumps({**json.loads(notes[note]), "stamp": "another"})
    assert catalog.find(DEFAULT) == first


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"stamp": 1, "model": 3}', "null"])
def test_a_damaged_note_is_none(tmp_path, note, catalog):
    assert ModelCatalog(tmp_path, lambda _: note).find(DEFAULT) == catalog.find(DEFAULT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(chunking=ChunkingSettings(max_tokens=512)), "max_tokens = 512"),
        (Settings(embedding=EmbeddingSettings(dimensions=385)), "dimensions = 385"),
        (Settings(embedding=EmbeddingSettings(provider="openai")), "no model of OpenAI"),
    ],
)
def test_what_a_model_can_not_do_is_a_clear_error(catalog, settings, message):
    with pytest.raises(ConfigError, match=message):
        recipe_for(settings, catalog)


@pytest.mark.parametrize(
    "other", [{"precision": "int8"}, {"query_prompt": "query: "}, {"document_prompt": "passage: "}]
)
def test_a_notice_of_another_recipe_shows_what_differs(catalog, other):
    live = recipe_for(Settings(), catalog)
    wanted = recipe_for(Settings(embedding=EmbeddingSettings(**other)), catalog)
    notice = recipe_notice(1, live, wanted, 1234)
    assert "1,234 tokens" in notice
    assert next(iter(other.values())) in notice
    assert recipe_notice(1, wanted, wanted, 1234) != notice


@pytest.mark.parametrize("model", ["./nowhere", "no-such-model-anywhere", "a/b/c d"])
def test_a_model_that_is_nowhere_is_a_clear_error(catalog, model):
    with pytest.raises(ModelError):
        catalog.find(model)


def test_a_folder_that_is_no_model_is_a_clear_error(tmp_path, catalog):
    with pytest.raises(ModelError, match=r"modules\.json"):
        catalog.find(str(tmp_path))


def test_vectors_equal_those_of_sentence_transformers(catalog, embedder):
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(str(catalog.find(DEFAULT).directory), device="cpu").encode(
        TEXTS, normalize_embeddings=True, show_progress_bar=False
    )
    counts = ModelTokenizer(catalog.find(DEFAULT).tokenizer_file).count(TEXTS)
    ours = np.zeros_like(reference)
    for batch in token_batches(counts, 300):
        ours[batch] = embedder.embed([TEXTS[i] for i in batch])
    assert (ours * reference).sum(axis=1).min() > 0.99999
    assert np.abs(np.linalg.norm(ours, axis=1) - 1).max() < 1e-5


def test_fewer_dimensions_are_a_prefix_made_unit_again(catalog, embedder, options):
    settings = Settings(embedding=EmbeddingSettings(dimensions=64))
    recipe = recipe_for(settings, catalog)
    short = LocalEmbedder(catalog.find(DEFAULT), recipe.space, options).embed(["a belt stops"])
    whole = embedder.embed(["a belt stops"])[:, :64]
    assert short.shape == (1, 64)
    assert float((short @ (whole / np.linalg.norm(whole)).T)[0, 0]) == pytest.approx(1.0, abs=1e-5)


def test_no_text_is_over_the_limit_by_the_tokenizer_that_counts(catalog):
    tokenizer = ModelTokenizer(catalog.find(DEFAULT).tokenizer_file)
    assert tokenizer.special_tokens == 2
    assert tokenizer.count(["word " * 250]) == [250]
