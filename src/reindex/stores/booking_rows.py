"""What was sent to models and what it cost, by day, lane, model and outcome."""

from dataclasses import dataclass
from enum import StrEnum

from reindex.core.jobs import Lane
from reindex.model import DAY_S
from reindex.stores.sqlite import Database


class Outcome(StrEnum):
    """What a text that was sent came to. Canaries are apart from the bill."""

    INDEXED = "indexed"  # its vector is in the cache
    QUERY = "query"
    CANARY = "canary"
    UNUSABLE = "unusable"  # answered, and the answer could not be believed
    AGAIN_LOST = "sent again: no answer came"  # may be paid twice: the provider had it, and gave nothing
    AGAIN_STUCK = "sent again: no end came"  # may be paid twice: its batch was given up
    AGAIN_NOW = "sent again: wanted now"  # is paid twice, knowingly


REPEATS = (Outcome.AGAIN_LOST, Outcome.AGAIN_STUCK, Outcome.AGAIN_NOW)
"""Counts of texts that may be paid twice; their tokens and money are booked where they are answered."""

_APART = (*REPEATS, Outcome.CANARY)


@dataclass(frozen=True, slots=True)
class Booking:
    """So many texts of one model down one lane, with one outcome."""

    lane: Lane
    model: str
    outcome: Outcome
    texts: int
    tokens: int = 0
    usd: float = 0.0
    saved_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Spend:
    """Over the store's life, canaries apart."""

    tokens: int = 0
    usd: float = 0.0
    saved_usd: float = 0.0


class BookingRows:
    """Sums; nothing is ever taken off them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, booking: Booking, now: float) -> None:
        self._database.execute(
            "INSERT INTO bookings (day, lane, model, outcome, texts, tokens, usd, saved_usd)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (day, lane, model, outcome) DO UPDATE SET"
            " texts = texts + excluded.texts, tokens = tokens + excluded.tokens, usd = usd + excluded.usd,"
            " saved_usd = saved_usd + excluded.saved_usd",
            (
                int(now // DAY_S),
                booking.lane,
                booking.model,
                booking.outcome,
                booking.texts,
                booking.tokens,
                booking.usd,
                booking.saved_usd,
            ),
        )

    def spend(self) -> Spend:
        """Every token sent to any model, local too."""
        if not self._exists():
            return Spend()
        row = self._database.one(
            "SELECT coalesce(sum(tokens), 0), coalesce(sum(usd), 0.0), coalesce(sum(saved_usd), 0.0)"  # noqa: S608
            f" FROM bookings WHERE outcome NOT IN ({_marks(_APART)})",
            _APART,
        )
        assert row is not None
        return Spend(int(row[0]), float(row[1]), float(row[2]))

    def spent_on_documents(self, now: float) -> float:
        """USD of this day (UTC), queries apart: they are never held back."""
        row = self._database.one(
            "SELECT coalesce(sum(usd), 0.0) FROM bookings WHERE day = ? AND outcome != ?",
            (int(now // DAY_S), Outcome.QUERY),
        )
        assert row is not None
        return float(row[0])

    def texts(self, outcome: Outcome) -> int:
        """How many texts came to that, over the store's life."""
        if not self._exists():
            return 0
        row = self._database.one("SELECT coalesce(sum(texts), 0) FROM bookings WHERE outcome = ?", (outcome,))
        assert row is not None
        return int(row[0])

    def _exists(self) -> bool:
        """A ledger of an older version is read before a writer has brought it up."""
        return self._database.one("SELECT 1 FROM sqlite_master WHERE name = 'bookings'") is not None


def _marks(values: tuple[str, ...]) -> str:
    return ",".join("?" * len(values))
