"""Packing texts into encoder batches that waste no padding, and into requests to a provider."""

from collections.abc import Iterator, Sequence


def token_batches(token_counts: Sequence[int], budget_tokens: int) -> Iterator[list[int]]:
    """Yield lists of positions in `token_counts`, longest texts first, each padded to at most the budget.

    Sorting by length makes padding vanish; small batches stay in the processor's cache. A text over the
    budget goes alone. The order is decided by length and then position, so it is the same every time.
    """
    order = sorted(range(len(token_counts)), key=lambda i: (-token_counts[i], i))
    batch: list[int] = []
    longest = 0
    for position in order:
        longest = max(longest, token_counts[position])
        if batch and longest * (len(batch) + 1) > budget_tokens:
            yield batch
            batch, longest = [], token_counts[position]
        batch.append(position)
    if batch:
        yield batch


def request_batches(
    token_counts: Sequence[int], max_inputs: int, max_tokens: int
) -> Iterator[tuple[int, int]]:
    """Yield the requests as ranges of positions in `token_counts`: (first, one after the last), in order.

    Each is filled before the next is begun: no division that keeps the order has fewer. A text over
    `max_tokens` goes alone.
    """
    first = tokens = 0
    for position, count in enumerate(token_counts):
        if position > first and (position - first == max_inputs or tokens + count > max_tokens):
            yield first, position
            first, tokens = position, 0
        tokens += count
    if first < len(token_counts):
        yield first, len(token_counts)
