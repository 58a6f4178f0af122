"""The lanes of a provider, put together for one recipe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reindex.batch.context import BatchContext
from reindex.core.batching import request_batches, token_batches
from reindex.core.canary import CANARY_TEXT
from reindex.core.identity import Recipe
from reindex.core.jobs import Lane
from reindex.core.lanes import LanePolicy
from reindex.core.money import FREE, Budget, Prices, prices
from reindex.core.openai_models import dimensions_sent
from reindex.direct import DirectLane
from reindex.ports import Embedder, PaidEmbedder
from reindex.settings import PRICES_USD, EmbeddingSettings, OpenAISettings
from reindex.token_gauge import TokenGauge
from reindex.window import Room


@dataclass(frozen=True, slots=True)
class Lanes:
    """How texts of one recipe reach its model. `batch` is None where there is no such lane."""

    direct: DirectLane
    policy: LanePolicy
    window_chunks: int
    window_room: Callable[[], Room] | None = None  # more texts would make one request more
    batch: BatchContext | None = None
    sent_dimensions: int | None = None


def prices_of(model: str, settings: OpenAISettings) -> Prices:
    """Of a provider's model, by the settings."""
    return prices(model, settings.price_usd, settings.batch_price_usd, PRICES_USD)


def _window_of(settings: EmbeddingSettings, gauge: TokenGauge) -> tuple[int, Callable[[], Room] | None]:
    """Chunks of a window, and room for its texts: where requests are as large, what fills one, less a canary.
    Chunks are then more, since some have vectors already, and some the same text.
    """
    inputs_max = settings.openai.max_inputs_per_request
    if inputs_max <= settings.window_chunks:
        return settings.window_chunks, None
    return 2 * inputs_max, lambda: Room(inputs_max - 1, gauge.estimated_max() - len(CANARY_TEXT))


def local_lanes(settings: EmbeddingSettings, recipe: Recipe, embedder: Embedder) -> Lanes:
    """Of a model on this machine."""

    def requests(token_counts: Sequence[int]) -> list[list[int]]:
        return list(token_batches(token_counts, settings.batch_tokens))

    return Lanes(
        DirectLane(Lane.LOCAL, recipe.model, embedder, requests, FREE, lambda: Budget(0.0, 0.0)),
        LanePolicy("realtime", 0, has_batch=False),
        settings.window_chunks,
    )


def provider_lanes(
    settings: EmbeddingSettings, recipe: Recipe, embedder: PaidEmbedder, batch: BatchContext
) -> Lanes:
    """Of a provider's model."""
    openai = settings.openai
    account = batch.provider.account
    gauge = TokenGauge(batch.stores.ledger, account, recipe.model, openai.max_tokens_per_request)

    def requests(token_counts: Sequence[int]) -> list[range]:
        """The smallest, which is the last, goes first: it has room for the canary."""
        found = request_batches(token_counts, openai.max_inputs_per_request, gauge.estimated_max())
        return [range(first, end) for first, end in found][::-1]

    sent = dimensions_sent(recipe.model, recipe.space.dimensions, sends_dimensions=openai.send_dimensions)
    return Lanes(
        DirectLane(
            Lane.REALTIME,
            recipe.model,
            embedder,
            requests,
            prices_of(recipe.model, openai),
            batch.budget,
            embedder,
            attempts_max=openai.attempts_max,
            gauge=gauge,
        ),
        LanePolicy(openai.lane, openai.batch_min_chunks, openai.has_batch),
        *_window_of(settings, gauge),
        batch,
        sent or None,
    )
