"""The daemon's numbers in Prometheus' text format. No label holds a path, or what else has no limit."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
SEARCH_BUCKETS_S = (0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SEARCH_OUTCOMES = ("answered", "failed", "refused")


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the daemon knows of itself. What counts up does so since the daemon's start, `embedding_tokens`
    for the store's life. `index_lag_s` is the age of the oldest change that is not indexed, 0 without one;
    `last_success_at` is in seconds since the epoch, None before the first pass that went well. `generation`
    is the live one, None before the first publish. `build_info`: version and the like, as labels.
    """

    build_info: Mapping[str, str] = field(default_factory=dict)
    documents: int = 0
    chunks: int = 0
    pending_changes: int = 0
    failed_documents: int = 0
    held_documents: int = 0
    index_lag_s: float = 0.0
    is_paused: bool = False
    is_as_configured: bool = True
    generation: int | None = None
    last_success_at: float | None = None
    watch_overflows: int = 0
    reconciles: int = 0
    reconciles_s: float = 0.0
    embedding_tokens: int = 0
    batch_jobs: Mapping[str, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)


class SearchTimes:
    """How many searches ended in which way, and how long those took that were tried. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(SEARCH_OUTCOMES, 0)
        self._buckets = [0] * (len(SEARCH_BUCKETS_S) + 1)
        self._sum_s = 0.0

    def add(self, outcome: str, duration_s: float | None = None) -> None:
        """One more."""
        with self._lock:
            self._counts[outcome] += 1
            if duration_s is not None:
                self._buckets[bisect_left(SEARCH_BUCKETS_S, duration_s)] += 1
                self._sum_s += duration_s

    def families(self) -> list[Metric]:
        """The same for a scrape."""
        with self._lock:
            counts, buckets, sum_s = dict(self._counts), list(self._buckets), self._sum_s
        cumulative = [sum(buckets[: i + 1]) for i in range(len(buckets))]
        limits = [*map(str, SEARCH_BUCKETS_S), "+Inf"]
        times = HistogramMetricFamily("reindex_search_duration_seconds", "Time that a search took.")
        times.add_metric([], list(zip(limits, cumulative, strict=True)), sum_s)
        return [_counter("searches", "Searches by outcome.", counts, "outcome"), times]


class Metrics:
    """Renders what a function says at that moment, and the searches."""

    def __init__(self, numbers: Callable[[], Numbers], searches: SearchTimes) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Daemon(numbers, searches))

    def render(self) -> bytes:
        """All of them, of the type CONTENT_TYPE. Raises what the function raises."""
        return generate_latest(self._registry)


class _Daemon(Collector):
    def __init__(self, numbers: Callable[[], Numbers], searches: SearchTimes) -> None:
        self._numbers = numbers
        self._searches = searches

    def describe(self) -> Iterable[Metric]:
        return []  # so that registering asks for no numbers

    def collect(self) -> Iterable[Metric]:
        numbers = self._numbers()
        yield InfoMetricFamily("reindex_build", "What runs.", value=dict(numbers.build_info))
        yield from _gauges(numbers)
        yield _counter(
            "watch_overflows", "Times that events of the kernel were lost.", numbers.watch_overflows
        )
        yield _counter(
            "embedding_tokens", "Tokens sent to any model in the store's life.", numbers.embedding_tokens
        )
        yield _counter("errors", "Errors by kind.", numbers.errors, "kind")
        yield SummaryMetricFamily(
            "reindex_reconcile_duration_seconds",
            "Time that full scans took.",
            numbers.reconciles,
            numbers.reconciles_s,
        )
        yield from self._searches.families()


def _gauges(numbers: Numbers) -> Iterable[Metric]:
    for name, about, value in (
        ("documents", "Documents in the live generation.", numbers.documents),
        ("chunks", "Chunks in the live generation.", numbers.chunks),
        ("pending_changes", "Changed documents that are not indexed yet.", numbers.pending_changes),
        ("failed_documents", "Documents that can't be indexed.", numbers.failed_documents),
        ("held_documents", "Documents whose deletion is held back.", numbers.held_documents),
        ("index_lag_seconds", "Age of the oldest change that is not indexed.", numbers.index_lag_s),
        ("paused", "Whether the daemon was told to pause (1), or not (0).", int(numbers.is_paused)),
        (
            "config_last_reload_successful",
            "Whether the last reload of the configuration, if any, was taken (1), or refused (0).",
            int(numbers.is_as_configured),
        ),
        ("generation", "Number of the live generation, 0 before the first.", numbers.generation or 0),
        (
            "last_success_timestamp_seconds",
            "When a pass last went well, 0 before the first.",
            numbers.last_success_at or 0,
        ),
    ):
        yield GaugeMetricFamily(f"reindex_{name}", about, value)
    jobs = GaugeMetricFamily("reindex_batch_jobs", "Jobs by state.", labels=["state"])
    for state, count in numbers.batch_jobs.items():
        jobs.add_metric([state], count)
    yield jobs


def _counter(name: str, about: str, value: int | Mapping[str, int], label: str = "") -> Metric:
    if isinstance(value, int):
        return CounterMetricFamily(f"reindex_{name}", about, value)
    family = CounterMetricFamily(f"reindex_{name}", about, labels=[label])
    for kind, count in value.items():
        family.add_metric([kind], count)
    return family
