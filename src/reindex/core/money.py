"""What a token costs, and what may still be spent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from reindex.core.jobs import Lane

_MILLION = 1_000_000
BATCH_SHARE = 0.5  # of the real-time price, where no other is known
_CENT_USD = 0.01
_DECIMALS = 10  # beyond is the noise of sums


@dataclass(frozen=True, slots=True)
class Prices:
    """USD of a million tokens. `is_known` is False where nobody said: then everything counts as free."""

    realtime_usd: float
    batch_usd: float
    is_known: bool

    def cost(self, lane: Lane, tokens: int) -> float:
        """Of so many tokens down a lane, USD."""
        each = {Lane.LOCAL: 0.0, Lane.REALTIME: self.realtime_usd, Lane.BATCH: self.batch_usd}[lane]
        return tokens * each / _MILLION

    def saved(self, lane: Lane, tokens: int) -> float:
        """Against real-time, USD."""
        return self.cost(Lane.REALTIME, tokens) - self.cost(lane, tokens) if lane is Lane.BATCH else 0.0


FREE = Prices(0.0, 0.0, is_known=True)


def prices(
    model: str, realtime_usd: float | None, batch_usd: float | None, known: Mapping[str, float]
) -> Prices:
    """By the settings, and where they say nothing by the list of known models."""
    realtime = realtime_usd if realtime_usd is not None else known.get(model)
    batch = batch_usd
    if batch is None and realtime is not None:
        batch = realtime * BATCH_SHARE
    return Prices(realtime or 0.0, batch or 0.0, is_known=realtime is not None)


@dataclass(frozen=True, slots=True)
class Budget:
    """Of one day (UTC), USD; 0: none. `used_usd` is spent, or reserved by what is under way."""

    limit_usd: float
    used_usd: float

    def holds(self, usd: float) -> bool:
        """Whether so much more has to wait."""
        return self.limit_usd > 0 and usd > 0 and self.used_usd + usd > self.limit_usd

    def is_never_enough_for(self, usd: float) -> bool:
        """Whether it is more than a whole day has."""
        return 0 < self.limit_usd < usd


def dollars(usd: float) -> str:
    """For a person: to a hundredth of a cent, and below a cent to two significant digits."""
    usd = round(usd, _DECIMALS)
    if 0 < abs(usd) < _CENT_USD:
        digits = 1 - math.floor(math.log10(abs(usd)))
        return f"${usd:.{digits}f}"
    return f"${usd:.4f}"
