"""What the stand-in allows, how long it takes, and what it is like: all may be changed while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

MODELS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
DAY_S = 86_400
DEFAULT_EXPIRY_S = 30 * DAY_S


class Base64(StrEnum):
    """What a server does that is asked for base64: other servers than OpenAI's lack it."""

    SPOKEN = "spoken"
    IGNORED = "ignored"  # floats come
    REFUSED = "refused"  # 400


@dataclass(slots=True)
class Options:
    """The defaults are OpenAI's limits, and no waiting. 0 in a limit of a rate or a queue: none."""

    key: str = ""  # "": any
    models: dict[str, int] = field(default_factory=lambda: dict(MODELS))  # name -> dimensions

    items_max: int = 2048
    tokens_each_max: int = 8192
    tokens_request_max: int = 300_000
    bytes_per_token: int = 4
    requests_per_minute: int = 0
    tokens_per_minute: int = 0

    file_bytes_max: int = 200_000_000
    batch_lines_max: int = 50_000
    batch_inputs_max: int = 50_000
    queue_tokens_max: int = 0  # of a model, over all its open batches
    window_s: int = DAY_S

    stage_s: dict[str, float] = field(default_factory=dict)  # status -> seconds that a batch stays in it
    hold: set[str] = field(default_factory=set)  # statuses that a batch leaves only when it is told to
    listing_lag_s: float = 0.0  # a fresh batch is not in the list
    fresh_missing_s: float = 0.0  # a fresh file or batch is a 404
    no_id: str | None = None  # what stands for no file: null, or ""

    base64: Base64 = Base64.SPOKEN
    has_upper_case: bool = False  # statuses of batches: COMPLETED, as Together writes them
    has_dimensions: bool = True  # else the parameter is a 400
    has_batches: bool = True  # else /files and /batches are 404
    remembers_texts: bool = True  # in the bill; else their digests, for very many
    jitter: float = 0.0  # standard deviation of each component, between two answers for one text

    def count_tokens(self, text: str) -> int:
        """Deterministic, and no tokenizer's: UTF-8 bytes by a constant, rounded up."""
        return -(-len(text.encode("utf-8", "surrogatepass")) // self.bytes_per_token)


class Clock:
    """The server's own time, in seconds since the epoch: it may be put forward."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead_s = 0.0
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            return time.time() + self._ahead_s

    def advance(self, seconds: float) -> None:
        """Let that much time pass at once."""
        with self._lock:
            self._ahead_s += seconds
        for listener in self._listeners:
            listener()

    def on_advance(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each `advance`."""
        self._listeners.append(listener)
