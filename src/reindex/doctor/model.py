"""The local embedding model: is it there, and does it embed as it should?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reindex.app import App
from reindex.doctor.findings import Finding, failed, fine
from reindex.errors import ReindexError, StoreError

if TYPE_CHECKING:
    from reindex.embedders.catalog import ModelCatalog

_COSINE_MIN = 0.999


def check_model(app: App) -> Finding:
    """A local model is loaded and embeds the first canaries, which are compared where the right vectors are
    known.
    """
    try:
        with app.ledger() as ledger:
            return _try(app, app.catalog(ledger))
    except StoreError:  # the ledger only saves hashing the model; it has a check of its own
        return _without_ledger(app)
    except ReindexError as error:
        return _broken(error)


def _without_ledger(app: App) -> Finding:
    try:
        return _try(app, app.catalog(None))
    except ReindexError as error:
        return _broken(error)


def _broken(error: ReindexError) -> Finding:
    return failed("model", error.message, error.hint or "Name a model that is installed: [embedding] model.")


def _try(app: App, catalog: ModelCatalog) -> Finding:
    from reindex.embedders.canaries import AT_EVERY_LOAD, CANARIES, shipped_reference
    from reindex.embedders.catalog import recipe_for
    from reindex.vectors import check_vectors

    recipe = recipe_for(app.settings, catalog)
    texts = CANARIES[:AT_EVERY_LOAD]
    vectors = app.embedder(recipe, catalog).embed(texts)
    check_vectors(vectors, len(texts))
    space = recipe.space
    found = f"{recipe.model} embeds, {space.dimensions} dimensions"
    reference = shipped_reference(space.model_digest)
    if reference is None or space.precision != "fp32" or reference.shape[1] != space.dimensions:
        return fine("model", found)
    cosine = float((vectors * reference[: len(texts)]).sum(axis=1).min())
    if cosine < _COSINE_MIN:
        words = f"{found}, but not as it should: cosine {cosine:.4f} to the known vectors"
        return failed("model", words, "Install the model again, and run `reindex verify --deep`.")
    return fine("model", f"{found}, as it should (cosine {cosine:.6f})")
