"""Getting vectors for keys: from the cache, and from the model for what is really missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reindex.core.batching import token_batches
from reindex.core.jobs import JobState, Lane
from reindex.errors import EmbeddingError, ModelError
from reindex.model import CANARY_TEXT, EmbeddingKey
from reindex.ports import Embedder
from reindex.writer import Writer

if TYPE_CHECKING:
    from reindex.vectors import Vector, Vectors


@dataclass(frozen=True, slots=True)
class Text:
    """One text to embed, exactly as it is sent, and its tokens with special tokens and prompt."""

    sent: str
    tokens: int


@dataclass(slots=True)
class Embedded:
    """Vectors by key, what was really sent to the model, and the texts that it refused, with the reason."""

    vectors: dict[EmbeddingKey, Vector] = field(default_factory=dict)
    texts_sent: int = 0
    tokens_sent: int = 0
    refused: dict[EmbeddingKey, str] = field(default_factory=dict)
    job: int | None = None


def embed_missing(
    writer: Writer,
    embedder: Embedder,
    keys: Sequence[EmbeddingKey],
    texts_of: Callable[[Sequence[EmbeddingKey]], Mapping[EmbeddingKey, Text]],
    batch_tokens: int,
    advance: Callable[[int, int, int], None],
) -> Embedded:
    """A vector for every key. What the cache lacks goes down the local lane as one job; `texts_of` is asked
    for the texts of that.

    Each batch is in the cache before the next is sent, so that a kill loses one batch at most. `advance` is
    told of the texts and tokens of each batch, and of all tokens that are sent. Raises ModelError, and
    EmbeddingError in an outage.
    """
    assert writer.generation is not None, "texts are embedded for a generation"
    dimensions = writer.generation.recipe.space.dimensions
    result = Embedded()
    rejected_before = writer.cache.rejected
    since = writer.generation.number if writer.generation.is_fresh else 0
    today = writer.stores.today
    result.vectors = writer.cache.get(keys, dimensions, since_generation=since, used_on=today)
    if writer.cache.rejected > rejected_before:
        _rescue_from_table(writer, keys, result)
    missing = [key for key in keys if key not in result.vectors]
    if not missing:
        return result
    texts = texts_of(missing)
    tokens = sum(texts[key].tokens for key in missing)
    result.job = writer.ledger.jobs.enqueue(
        writer.generation.number, Lane.LOCAL, missing, tokens, writer.clock.now()
    )
    try:
        for batch in token_batches([texts[key].tokens for key in missing], batch_tokens):
            _embed_batch(writer, embedder, [(missing[i], texts[missing[i]]) for i in batch], result)
            advance(len(batch), sum(texts[missing[i]].tokens for i in batch), tokens)
    except (EmbeddingError, ModelError) as error:
        writer.ledger.jobs.change_state(result.job, JobState.FAILED, writer.clock.now(), error.message)
        raise
    return result


def _embed_batch(
    writer: Writer, embedder: Embedder, batch: list[tuple[EmbeddingKey, Text]], result: Embedded
) -> None:
    try:
        vectors = _checked(embedder, [text.sent for _, text in batch])
    except EmbeddingError as error:
        if len(batch) > 1:
            for item in batch:  # so that the texts at fault fail alone
                _embed_batch(writer, embedder, [item], result)
        elif _is_down(embedder):
            raise EmbeddingError(
                f"the model fails on every text: {error.message}", "Check the model, then run again."
            ) from error
        else:
            result.refused[batch[0][0]] = error.message
        return
    keys = [key for key, _ in batch]
    tokens = sum(text.tokens for _, text in batch)
    newest = writer.ledger.generations.newest()
    writer.cache.put(keys, vectors, writer.stores.today, newest_generation=newest)
    writer.ledger.jobs.add_spend(Lane.LOCAL, len(batch), tokens, 0.0)
    result.vectors.update(zip(keys, vectors, strict=True))
    result.texts_sent += len(batch)
    result.tokens_sent += tokens


def _is_down(embedder: Embedder) -> bool:
    """Is it the provider, and not the text? A text that no model refuses tells."""
    try:
        _checked(embedder, [CANARY_TEXT])
    except EmbeddingError:
        return True
    return False


def _checked(embedder: Embedder, sent: list[str]) -> Vectors:
    from reindex.vectors import check_vectors

    vectors = embedder.embed(sent)
    check_vectors(vectors, len(sent))
    return vectors


def _rescue_from_table(writer: Writer, keys: Sequence[EmbeddingKey], result: Embedded) -> None:
    """The cache had damaged rows: the table may hold the same vectors, and they are not paid for twice."""
    from reindex.vectors import stack

    missing = [key for key in keys if key not in result.vectors]
    found = writer.table().vectors_of(missing)
    if found:
        writer.cache.put(list(found), stack(list(found.values())), writer.stores.today)
        result.vectors |= found
