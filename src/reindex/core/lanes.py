"""Which way texts go to a provider that has two: at once, or by batch for half the price. The one policy."""

from dataclasses import dataclass

from reindex.core.jobs import Lane


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """`lane` is the setting: auto, realtime or batch. `is_now`: somebody wants it now, at any price."""

    lane: str
    batch_min_chunks: int
    has_batch: bool
    is_now: bool = False

    def choose(self, texts: int, *, is_all: bool) -> Lane | None:
        """The lane of a backlog that has so many texts already; None while it can't be known, because more
        may come. `is_all`: no more will.
        """
        if self.is_now or not self.has_batch or self.lane == "realtime":
            return Lane.REALTIME
        if self.lane == "batch":
            return Lane.BATCH
        if texts >= max(1, self.batch_min_chunks):
            return Lane.BATCH
        return Lane.REALTIME if is_all else None


def seal_reason(
    *, texts: int, size_bytes: int, tokens: int, age_s: float, limits: "BatchLimits", is_last: bool
) -> str:
    """Why a batch grows no more; "" while it may."""
    if texts >= limits.texts:
        return f"size: {texts} texts"
    if size_bytes >= limits.size_bytes:
        return f"size: {size_bytes / 1e6:.0f} MB"
    if limits.tokens and tokens >= limits.tokens:
        return f"tokens: {tokens:,}"
    if is_last:
        return "the end of the backlog"
    if age_s >= limits.age_s:
        return f"age: {age_s:.0f} s"
    return ""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Of one batch. `tokens` 0: none is known."""

    texts: int
    size_bytes: int
    tokens: int
    age_s: float
