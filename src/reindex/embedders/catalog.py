"""Which model a setting means, remembered so that weights are hashed once; and the recipe it makes."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from reindex.core.identity import EmbeddingSpace, Recipe
from reindex.core.openai_models import KNOWN_DIMENSIONS, known_dimensions
from reindex.embedders.models import LocalModel, describe_files, find_model, read_model
from reindex.errors import ConfigError, ModelError
from reindex.settings import EmbeddingSettings, Settings

LOCAL = "local"
ESTIMATE = "estimate 1"
"""In place of a tokenizer's digest: raised with every change of `EstimateTokenizer`."""

DEFAULT_MODEL = EmbeddingSettings().model


class ModelCatalog:
    """Finds local models. `recall` and `remember` keep small notes by name; they may forget."""

    def __init__(
        self,
        base_dir: Path,
        recall: Callable[[str], str | None] = lambda _: None,
        remember: Callable[[str, str], None] = lambda _, __: None,
        probe: Callable[[str], int] | None = None,
    ) -> None:
        """`probe` asks a provider for the dimensions of a model that nobody here knows; None: don't."""
        self._base_dir = base_dir
        self._recall = recall
        self._remember = remember
        self._probe = probe

    def find(self, model: str) -> LocalModel:
        """The model a setting names. Hashes its files only when they changed. Raises ModelError."""
        directory, weights_digest = find_model(model, self._base_dir)
        note = f"model {directory}"
        stamp = describe_files(directory)
        known = self._known(note, stamp)
        if known is not None:
            return known
        found = read_model(directory, weights_digest)
        self._remember(
            note, json.dumps({"stamp": stamp, "model": asdict(found) | {"directory": str(directory)}})
        )
        return found

    def dimensions_of(self, model: str, server: str) -> int:
        """Of a provider's model; 0: nobody knows before it was asked. Raises EmbeddingError."""
        known = known_dimensions(model)
        if known:
            return known
        note = f"dimensions of {model} at {server}"
        noted = self._recall(note)
        if noted is None and self._probe is not None:
            noted = str(self._probe(model))
            self._remember(note, noted)
        return int(noted or 0)

    def check(self, recipe: Recipe) -> None:
        """Raises ModelError when a recipe's model is local, and not to be had."""
        if recipe.space.provider == LOCAL:
            self.find_for(recipe)

    def find_for(self, recipe: Recipe) -> LocalModel:
        """The model that a generation was made with. Raises ModelError when another stands in its place."""
        found = self.find(recipe.model)
        if found.digest != recipe.space.model_digest:
            raise ModelError(
                f"the model {recipe.model!r} is not the one that made the index"
                f" (digest {found.digest[:12]}, the index has {recipe.space.model_digest[:12]})",
                "Put the old model back, or make a generation with the new one: `reindex rebuild`.",
            )
        return found

    def _known(self, note: str, stamp: str) -> LocalModel | None:
        text = self._recall(note)
        if text is None:
            return None
        try:
            value = json.loads(text)
            if value["stamp"] != stamp:
                return None
            return LocalModel(**(value["model"] | {"directory": Path(value["model"]["directory"])}))
        except (ValueError, TypeError, KeyError):  # a note may be damaged, or of another version
            return None


def recipe_for(settings: Settings, catalog: ModelCatalog) -> Recipe:
    """The recipe that the settings ask for. Raises ConfigError for what can't be, and ModelError."""
    embedding, chunking = settings.embedding, settings.chunking
    if embedding.provider != LOCAL:
        return _provider_recipe(settings, catalog)
    if embedding.precision != "fp32" and embedding.backend == "torch":
        raise ConfigError(
            f'[embedding] precision = "{embedding.precision}" is made by onnxruntime, not by torch',
            'Use backend = "auto".',
        )
    model = catalog.find(embedding.model)
    if embedding.dimensions > model.dimensions:
        raise ConfigError(
            f"[embedding] dimensions = {embedding.dimensions}: {embedding.model} gives {model.dimensions}",
            f"Use 0 (the model's own) or at most {model.dimensions}.",
        )
    if chunking.max_tokens > model.max_tokens:
        raise ConfigError(
            f"[chunking] max_tokens = {chunking.max_tokens}: {embedding.model} reads {model.max_tokens}",
            f"Use at most {model.max_tokens}.",
        )
    space = EmbeddingSpace(
        provider=LOCAL,
        model_digest=model.digest,
        dimensions=embedding.dimensions or model.dimensions,
        normalised=True,
        precision=embedding.precision,
        document_prompt=_chosen(embedding.document_prompt, model.document_prompt),
        query_prompt=_chosen(embedding.query_prompt, model.query_prompt),
    )
    return Recipe(
        model=embedding.model,
        space=space,
        tokenizer_digest=model.tokenizer_digest,
        max_tokens=chunking.max_tokens,
        overlap_tokens=chunking.overlap_tokens,
    )


def _provider_recipe(settings: Settings, catalog: ModelCatalog) -> Recipe:
    """Of a provider's model: it is known by its name alone, and its tokens are estimated."""
    embedding, chunking = settings.embedding, settings.chunking
    openai = embedding.openai
    if embedding.model == DEFAULT_MODEL and not openai.base_url:
        raise ConfigError(
            f"[embedding] model = {embedding.model!r} is no model of OpenAI's",
            f'Set it, as to "{next(iter(KNOWN_DIMENSIONS))}".',
        )
    if embedding.precision != "fp32":
        raise ConfigError(
            f'[embedding] precision = "{embedding.precision}" is for local models', 'Use precision = "fp32".'
        )
    if chunking.max_tokens > openai.max_tokens_per_input:
        raise ConfigError(
            f"[chunking] max_tokens = {chunking.max_tokens}: {embedding.model} reads"
            f" {openai.max_tokens_per_input}",
            f"Use at most {openai.max_tokens_per_input}.",
        )
    own = catalog.dimensions_of(embedding.model, openai.base_url)
    if own and embedding.dimensions > own:
        raise ConfigError(
            f"[embedding] dimensions = {embedding.dimensions}: {embedding.model} gives {own}",
            f"Use 0 (the model's own) or at most {own}.",
        )
    space = EmbeddingSpace(
        provider=embedding.provider,
        model_digest=embedding.model,
        dimensions=embedding.dimensions or own,
        normalised=True,
        precision=embedding.precision,
        document_prompt=embedding.document_prompt or "",
        query_prompt=embedding.query_prompt or "",
    )
    return Recipe(
        model=embedding.model,
        space=space,
        tokenizer_digest=ESTIMATE,
        max_tokens=chunking.max_tokens,
        overlap_tokens=chunking.overlap_tokens,
    )


def recipe_notice(generation: int, live: Recipe, wanted: Recipe, tokens: int) -> str:
    """What to tell when the settings ask for another recipe than the live generation has, which took so many
    tokens. In the same space the chunks that stay the same cost nothing.
    """
    share = "at most" if wanted.space == live.space else "about"
    cost = "$0 with a local model" if wanted.space.provider == LOCAL else "`reindex plan` prices documents"
    return (
        f"the live generation {generation} is kept fresh by its own recipe ({live.described}), and the"
        f" configuration asks for another recipe ({wanted.described}): `reindex rebuild` makes a generation"
        f" by it and switches to it ({share} {tokens:,} tokens to embed, {cost})"
    )


def _chosen(setting: str | None, own: str) -> str:
    return own if setting is None else setting
