"""The encoder by onnxruntime: made once, kept, believed only while it gives the vectors of the model."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from reindex.embedders import onnx_files
from reindex.embedders.canaries import CANARIES, shipped_reference
from reindex.embedders.catalog import ModelCatalog, recipe_for
from reindex.embedders.local import LocalEmbedder, LocalOptions
from reindex.embedders.models import Pooling, pooling_of
from reindex.embedders.onnx_encoder import OnnxEncoder
from reindex.embedders.onnx_files import FOLDER, OnnxFiles
from reindex.embedders.torch_encoder import TorchEncoder
from reindex.errors import ConfigError, EmbeddingError, ModelError
from reindex.settings import EmbeddingSettings, Settings
from reindex.vectors import normalised

DEFAULT = "all-MiniLM-L6-v2"
TEXTS = ["a belt stops", "Ångström 日本語 🚚", "", "word " * 300, *CANARIES]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return ModelCatalog(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def model(catalog):
    return catalog.find(DEFAULT)


@pytest.fixture(scope="module")
def home(tmp_path_factory, model):
    """A data directory with the default model's encoder; tests that damage it take a copy."""
    folder = tmp_path_factory.mktemp("home")
    OnnxFiles(folder).make(model, "fp32", 0, lambda: pytest.fail("a reference is shipped"))
    return folder


@pytest.fixture(scope="module")
def torch_vectors(model):
    return normalised(TorchEncoder(model.directory, 0).encode(TEXTS))


def embedder(data_dir, catalog, *, model=DEFAULT, precision="fp32", **options):
    space = recipe_for(Settings(embedding=EmbeddingSettings(model=model, precision=precision)), catalog).space
    return LocalEmbedder(catalog.find(model), space, LocalOptions(data_dir, **options))


@pytest.mark.parametrize("threads", [0, 1, 3, 64])
def test_vectors_equal_those_of_sentence_transformers(home, catalog, torch_vectors, threads):
    vectors = embedder(home, catalog, threads=threads).embed(TEXTS)
    assert (vectors * torch_vectors).sum(axis=1).min() > 0.99999
    assert np.abs(vectors - torch_vectors).max() < 1e-5


def test_the_shipped_reference_is_what_sentence_transformers_gives(model, torch_vectors):
    reference = shipped_reference(model.digest)
    assert np.abs(reference - torch_vectors[-len(CANARIES) :]).max() < 1e-5
    assert shipped_reference("0" * 64) is None


def test_what_is_kept_is_loaded_and_not_made_again(home, catalog, monkeypatch):
    monkeypatch.setattr(onnx_files, "_write_graph", lambda *_: pytest.fail("made again"))
    embedder(home, catalog).embed(["a"])


@pytest.mark.parametrize("name", ["encoder.onnx", "reference.npy", "about.json"])
@pytest.mark.parametrize("damage", ["truncated", "gone", "a bit"])
def test_a_damaged_encoder_is_not_believed(home, tmp_path, model, name, damage):
    shutil.copytree(home / FOLDER, tmp_path / FOLDER)
    files = OnnxFiles(tmp_path)
    path = files.folder_of(model.digest, "fp32") / name
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2 if name == "encoder.onnx" else 3] ^= 0x40
        path.write_bytes(content)
    assert files.load(model, "fp32", 0) is None


def test_a_damaged_encoder_is_made_again(home, tmp_path, catalog, model, torch_vectors):
    shutil.copytree(home / FOLDER, tmp_path / FOLDER)
    files = OnnxFiles(tmp_path)
    (files.folder_of(model.digest, "fp32") / "encoder.onnx").write_bytes(b"nothing of the kind")
    vectors = embedder(tmp_path, catalog).embed(TEXTS)
    assert (vectors * torch_vectors).sum(axis=1).min() > 0.99999
    assert isinstance(files.load(model, "fp32", 0), OnnxEncoder)


def test_wrong_vectors_are_not_believed_and_torch_takes_over(tmp_path, catalog, torch_vectors, monkeypatch):
    """The graph is right; the reference says that it is not, as it would if the graph were wrong."""
    monkeypatch.setattr(onnx_files, "shipped_reference", lambda digest: shipped_reference(digest)[::-1])
    said = []
    vectors = embedder(tmp_path, catalog, say=said.append).embed(TEXTS)
    assert np.abs(vectors - torch_vectors).max() < 1e-5
    (message,) = said
    assert "not those of sentence-transformers" in message
    assert not list((tmp_path / FOLDER).iterdir())
    with pytest.raises(ModelError, match="not those of sentence-transformers"):
        embedder(tmp_path, catalog, backend="onnx").embed(TEXTS)


def copy_of(model, folder, **config):
    shutil.copytree(model.directory, folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return folder


def test_a_model_without_a_shipped_reference_is_compared_with_torch_once(tmp_path, model, catalog):
    folder = copy_of(model, tmp_path / "model", extra="makes another digest")
    ours = embedder(tmp_path, catalog, model=str(folder))
    ours.embed(["a"])
    assert isinstance(ours._encoder, OnnxEncoder)
    again = OnnxFiles(tmp_path).load(catalog.find(str(folder)), "fp32", 0)
    assert isinstance(again, OnnxEncoder)


def test_a_model_that_changes_while_it_is_loaded_makes_no_encoder(tmp_path, model, catalog):
    """Its encoder would be kept as the old one's, and agree with a reference of the same wrong weights."""
    folder = copy_of(model, tmp_path / "model", extra="makes another digest")
    found = catalog.find(str(folder))
    copy_of(model, tmp_path / "other", extra="stands in its place")
    shutil.copy(tmp_path / "other/config.json", folder)
    with pytest.raises(ModelError, match="was changed while it was loaded"):
        OnnxFiles(tmp_path).make(found, "fp32", 0, lambda: shipped_reference(model.digest))
    assert not list((tmp_path / FOLDER).iterdir())


def test_what_is_not_plain_bert_is_run_by_torch_and_said(tmp_path, model, catalog):
    folder = copy_of(model, tmp_path / "model", hidden_act="relu")
    said = []
    ours = embedder(tmp_path, catalog, model=str(folder), say=said.append)
    ours.embed(["a"])
    assert isinstance(ours._encoder, TorchEncoder)
    assert "hidden_act" in said[0]


@pytest.mark.parametrize(
    ("modules", "pooling", "expected"),
    [
        (["Transformer", "Pooling", "Normalize"], {"pooling_mode_mean_tokens": True}, Pooling.MEAN),
        (["x.y.Transformer", "x.Pooling"], {"pooling_mode_cls_token": True}, Pooling.FIRST),
        (["Transformer", "Pooling"], {"pooling_mode": "cls"}, Pooling.FIRST),
        (["Transformer", "Pooling", "Dense"], {"pooling_mode": "cls"}, "Dense"),
        (["Transformer", "Pooling"], {"pooling_mode_max_tokens": True}, "max_tokens"),
        (
            ["Transformer", "Pooling"],
            {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True},
            "mean_tokens",
        ),
        (["Transformer", "Pooling"], {}, "pooling"),
    ],
)
def test_only_known_poolings_are_run(tmp_path, modules, pooling, expected):
    (tmp_path / "1").mkdir()
    (tmp_path / "1/config.json").write_text(json.dumps(pooling | {"word_embedding_dimension": 4}))
    described = [{"type": kind, "path": "1" if kind.endswith("Pooling") else ""} for kind in modules]
    (tmp_path / "modules.json").write_text(json.dumps(described))
    if isinstance(expected, Pooling):
        assert pooling_of(tmp_path) is expected
    else:
        with pytest.raises(ModelError, match=expected):
            pooling_of(tmp_path)


def test_the_first_token_is_the_vector_where_the_model_says_so(tmp_path, model, catalog):
    folder = copy_of(model, tmp_path / "model")
    (folder / "1_Pooling/config.json").write_text(
        json.dumps({"word_embedding_dimension": 384, "pooling_mode_cls_token": True})
    )
    ours = embedder(tmp_path, catalog, model=str(folder), backend="onnx")
    expected = normalised(TorchEncoder(folder, 0).encode(TEXTS))
    assert np.abs(ours.embed(TEXTS) - expected).max() < 1e-5


def test_int8_is_another_space_and_near(tmp_path, catalog, torch_vectors):
    eight = recipe_for(Settings(embedding=EmbeddingSettings(precision="int8")), catalog).space
    assert eight.fingerprint != recipe_for(Settings(), catalog).space.fingerprint
    vectors = embedder(tmp_path, catalog, precision="int8").embed(TEXTS)
    cosines = (vectors * torch_vectors).sum(axis=1)
    assert 0.93 < cosines.min() < 0.9999
    with pytest.raises(ConfigError, match="onnxruntime"):
        recipe_for(Settings(embedding=EmbeddingSettings(precision="int8", backend="torch")), catalog)


def test_an_int8_vector_is_that_of_its_text_alone(tmp_path, catalog):
    """Not of the texts that happen to be in the same batch, or of the number of threads."""
    together = embedder(tmp_path, catalog, precision="int8", threads=2).embed(TEXTS)
    ours = embedder(tmp_path, catalog, precision="int8", threads=1)
    alone = np.concatenate([ours.embed([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-5


def test_an_int8_index_is_never_given_vectors_by_torch(tmp_path, catalog):
    """The settings may say torch by now; the generation that is live keeps its space."""
    ours = embedder(tmp_path, catalog, precision="int8", backend="torch")
    ours.embed(["a"])
    assert isinstance(ours._encoder, OnnxEncoder)


def test_what_onnxruntime_raises_is_a_failure_of_the_texts(home, catalog):
    ours = embedder(home, catalog)
    ours.embed(["a"])
    run = ours._encoder._session.run
    ours._encoder._session = SimpleNamespace(run=lambda _, feed: run(["no such output"], feed))
    with pytest.raises(EmbeddingError, match="the model failed on 1 texts"):
        ours.embed(["a"])


def test_where_nothing_can_be_kept_torch_embeds(tmp_path, catalog):
    (tmp_path / FOLDER).write_text("a file stands where the folder should")
    ours = embedder(tmp_path, catalog)
    ours.embed(["a"])
    assert isinstance(ours._encoder, TorchEncoder)


def test_encoders_that_no_generation_uses_are_removed(tmp_path):
    files = OnnxFiles(tmp_path)
    names = ["aaaa-fp32", "bbbb-fp32", ".making-old", ".making-new"]
    folders = [tmp_path / FOLDER / name for name in names]
    for folder in folders:
        folder.mkdir(parents=True)
    (tmp_path / FOLDER / "a file").write_text("of somebody else")
    now = folders[3].stat().st_mtime
    os.utime(folders[2], (now - 4000, now - 4000))
    assert files.remove_others({folders[0]}, now) == 2
    assert [folder.exists() for folder in folders] == [True, False, False, True]


def test_a_query_after_a_sync_needs_no_torch(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("# Belts\n\nThe belts stop at three.\n")
    (tmp_path / "config.toml").write_text('[[sources]]\nname = "docs"\npath = "docs"\n')
    program = (
        "import sys\n"
        "from reindex.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print('torch' in sys.modules, file=sys.stderr)\n"
    )
    for arguments in (["sync"], ["query", "when do they stop?", "--mode", "vector"]):
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines()[-1] == "False", done.stderr
    assert "belts" in done.stdout
