"""Encoders for onnxruntime: made from a model's weights once, kept in the data directory, and believed only
while they give the vectors that sentence-transformers gives.

    encoders/<model digest, 16 digits>-<precision>/  encoder.onnx   the graph with the weights in it
                                                     reference.npy  the canaries by sentence-transformers
                                                     about.json     sha256 of the graph, least cosine, by what
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from reindex.embedders.canaries import AT_EVERY_LOAD, CANARIES, shipped_reference
from reindex.embedders.models import WEIGHTS, LocalModel, check_unchanged, pooling_of
from reindex.embedders.onnx_encoder import OnnxEncoder
from reindex.errors import ModelError
from reindex.vectors import Vectors, normalised

FOLDER = "encoders"
LEAST_COSINE = {"fp32": 0.99999, "int8": 0.93}
"""Below it the encoder is not believed. int8 is a space of its own; its bound only tells a broken one."""

_ONE_BY_ONE = frozenset({"int8"})
"""It rounds the states of a whole pass by one scale: a text's vector would depend on its company (cosine
0.98), and so on batches and threads. One by one costs no more, because nothing is padded.
"""

_MAKING = ".making-"
_MAKING_S = 3600.0  # older, it was left by a run that was killed
_GRAPH_BYTES_MAX = 2**31 - 2**20  # what one protobuf message can hold


@dataclass(frozen=True, slots=True)
class OnnxFiles:
    """The encoders in one data directory."""

    data_dir: Path

    def load(self, model: LocalModel, precision: str, threads: int) -> OnnxEncoder | None:
        """The encoder that was made for this model, compared with its reference again; None when none was
        made, or it is not what it was.
        """
        folder = self.folder_of(model.digest, precision)
        try:
            about = json.loads((folder / "about.json").read_bytes())
            graph = folder / "encoder.onnx"
            with graph.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != about["sha256"]:
                    return None
            reference = np.load(folder / "reference.npy")
            pooling = pooling_of(model.directory)
            encoder = OnnxEncoder(graph, model, pooling, threads, one_by_one=precision in _ONE_BY_ONE)
            is_right = _least_cosine(encoder, reference, AT_EVERY_LOAD) >= LEAST_COSINE[precision]
        except Exception:  # noqa: BLE001 (whatever is wrong with these files, the next sync makes them again)
            return None
        return encoder if is_right else None

    def make(
        self, model: LocalModel, precision: str, threads: int, reference: Callable[[], Vectors]
    ) -> OnnxEncoder:
        """Build the encoder, compare it on all canaries, and keep it. Needs no lock: of two that come at once
        either one's stays, whole.

        `reference()` gives the canaries' vectors by sentence-transformers; it is asked for models that no
        reference is shipped of. Raises ModelError with the reason, and leaves nothing behind then.
        """
        try:
            home = self.data_dir / FOLDER
            home.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=_MAKING, dir=home, ignore_cleanup_errors=True) as made:
                encoder = _make(model, precision, threads, reference, Path(made))
                check_unchanged(model)  # else another model's encoder would be kept under this one's name
                _put_in_place(Path(made), self.folder_of(model.digest, precision))
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"{type(error).__name__}: {error}") from error
        return encoder

    def folder_of(self, model_digest: str, precision: str) -> Path:
        """Where the encoder of a model is, or would be."""
        return self.data_dir / FOLDER / f"{model_digest[:16]}-{precision}"

    def remove_others(self, wanted: Collection[Path], now: float) -> int:
        """Remove all other encoders, and what killed runs left of one. Returns how many."""
        doomed = [
            folder
            for folder in (self.data_dir / FOLDER).glob("*")
            if folder not in wanted
            and folder.is_dir()  # what else lies here is not ours; and another process may rename one
            and not (folder.name.startswith(_MAKING) and now - folder.stat().st_mtime < _MAKING_S)
        ]
        for folder in doomed:
            shutil.rmtree(folder)
        return len(doomed)


def _put_in_place(made: Path, folder: Path) -> None:
    """The old one, if there is one, was found wanting. Another process may be doing the same."""
    shutil.rmtree(folder, ignore_errors=True)
    made.chmod(0o755)  # a temporary folder is for its user alone; readers may be others
    with suppress(OSError):
        made.rename(folder)


def _make(
    model: LocalModel, precision: str, threads: int, reference: Callable[[], Vectors], folder: Path
) -> OnnxEncoder:
    pooling = pooling_of(model.directory)
    graph = folder / "encoder.onnx"
    _write_graph(model.directory, graph, precision)
    encoder = OnnxEncoder(graph, model, pooling, threads, one_by_one=precision in _ONE_BY_ONE)
    expected = shipped_reference(model.digest)
    expected = reference() if expected is None else expected
    cosine = _least_cosine(encoder, expected, len(CANARIES))
    if cosine < LEAST_COSINE[precision]:
        raise ModelError(f"its vectors are not those of sentence-transformers (cosine {cosine:.6f})")
    np.save(folder / "reference.npy", expected)
    (folder / "about.json").write_text(json.dumps(_about(model, graph, cosine), indent=1))
    return encoder


def _write_graph(directory: Path, graph: Path, precision: str) -> None:
    import onnx  # 0.2 s, and half a second for its quantizer: paid once for a model
    from safetensors.numpy import load_file

    from reindex.embedders.bert_graph import bert_graph

    weights = load_file(directory / WEIGHTS)
    if sum(weight.size for weight in weights.values()) * 4 > _GRAPH_BYTES_MAX:
        raise ModelError("it is larger than the 2 GB that one ONNX file can hold")
    config = json.loads((directory / "config.json").read_bytes())
    model = bert_graph(config, weights)
    if precision == "fp32":
        onnx.save(model, graph)
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Without this note the quantizer logs a warning that shapes should be inferred first; they need not be.
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    # Weights of 7 bits: with 8, processors without VNNI saturate the sums of products, silently.
    quantize_dynamic(model, graph, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)


def _least_cosine(encoder: OnnxEncoder, reference: Vectors, count: int) -> float:
    """The worst agreement over the first canaries, embedded in one call as documents are."""
    vectors = normalised(encoder.encode(CANARIES[:count]))
    if vectors.shape != reference[:count].shape:
        return -1.0
    return float((vectors * reference[:count]).sum(axis=1).min())


def _about(model: LocalModel, graph: Path, cosine: float) -> dict[str, Any]:
    with graph.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "model": str(model.directory),
        "model_digest": model.digest,
        "sha256": digest,
        "least_cosine": round(cosine, 9),
        "onnxruntime": version("onnxruntime"),
    }
