"""What the client would pay: every text that was really embedded, as often as it was."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from reindex.dev_openai.options import Options


class Lane(StrEnum):
    """How a text came."""

    REALTIME = "realtime"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Entry:
    """What was paid for."""

    lane: Lane
    model: str
    dimensions: int
    text: str


class Bill:
    """Booked when the vector was computed, whether or not the answer arrived. Used by several threads."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._counts: Counter[Entry] = Counter()
        self._tokens: Counter[tuple[Lane, str]] = Counter()

    def book(
        self, lane: Lane, model: str, dimensions: int, texts: Sequence[str], tokens: Sequence[int]
    ) -> None:
        """Texts that were embedded, with the tokens of each."""
        with self._lock:
            self._counts.update(Entry(lane, model, dimensions, self._kept(text)) for text in texts)
            self._tokens[lane, model] += sum(tokens)

    def entries(self) -> Counter[Entry]:
        """All of it."""
        with self._lock:
            return Counter(self._counts)

    def counts(self) -> Counter[tuple[str, str]]:
        """How often each (lane, text) was paid, in whatever model."""
        counts: Counter[tuple[str, str]] = Counter()
        for entry, count in self.entries().items():
            counts[entry.lane.value, entry.text] += count
        return counts

    def billed(self, text: str, model: str = "") -> int:
        """How often this text was paid, over both lanes; `model`: in this one only."""
        kept, entries = self._kept(text), self.entries().items()
        return sum(
            count for entry, count in entries if entry.text == kept and (not model or entry.model == model)
        )

    def twice(self, except_texts: Collection[str] = ()) -> dict[str, int]:
        """Texts that were paid more than once for the same model and dimensions, with how often."""
        counts: Counter[tuple[str, int, str]] = Counter()
        for entry, count in self.entries().items():
            counts[entry.model, entry.dimensions, entry.text] += count
        excepted = frozenset(map(self._kept, except_texts))
        return {text: count for (_, _, text), count in counts.items() if count > 1 and text not in excepted}

    def tokens(self) -> Counter[tuple[str, str]]:
        """Tokens by (lane, model)."""
        with self._lock:
            return Counter({(lane.value, model): count for (lane, model), count in self._tokens.items()})

    def _kept(self, text: str) -> str:
        if self._options.remembers_texts:
            return text
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._counts.clear()
            self._tokens.clear()
