"""Packing texts into encoder batches that waste no padding, and documents into windows."""

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
