"""What the daemon shows over HTTP: what it knows of itself, and what the ledger says."""

from collections.abc import Callable
from typing import TypedDict

from reindex.app import App
from reindex.browsing import compare_generations
from reindex.daemon.condition import Condition
from reindex.document_status import document_status
from reindex.errors import StoreError
from reindex.http.events import Events
from reindex.http.metrics import Numbers
from reindex.http.surface import Health, SearchRequest, Surface
from reindex.job_objects import job_object, jobs_object
from reindex.objects import (
    Object,
    difference_object,
    document_object,
    generations_object,
    status_object,
)
from reindex.presence import Announcement
from reindex.search import SearchResult
from reindex.serving import SearchService
from reindex.status import StoreStatus, recorded_status, unreadable_status
from reindex.stores.snapshot import Filter
from reindex.tasks import Tasks


class _Own(TypedDict):
    """What the daemon knows of itself."""

    state: str
    reasons: list[str]
    pending: int
    lag_s: float


class Shown:
    """Answers of the daemon, each from a fresh look at the ledger. Called in several threads."""

    def __init__(
        self,
        app: Callable[[], App],
        condition: Condition,
        announcement: Announcement,
        version: str,
        doubt_stores: Callable[[], None],
    ) -> None:
        """`app` gives the one by the configuration that holds now; `doubt_stores` has them opened anew."""
        self._app = app
        self._doubt_stores = doubt_stores
        self._condition = condition
        self._announcement = announcement
        self._version = version

    def status(self) -> Object:
        """The object of `status`, and of the daemon itself `phase`, `watching` and `reload`."""
        condition = self._condition
        value = status_object(self._store_status(), self._announcement.presence)
        reload = condition.reload
        return value | {
            "phase": condition.phase,
            "watching": {"folders": condition.watches, "overflows": condition.overflows},
            "reload": None
            if reload is None
            else {"at": reload.at, "ok": not reload.error, "error": reload.error or None},
        }

    def document_status(self, path: str) -> Object:
        """Of one file."""
        return document_object(document_status(self._app(), path))

    def jobs(self) -> Object:
        """All jobs and dead letters."""
        with self._app().ledger() as ledger:
            return jobs_object(ledger)

    def job(self, name: str) -> Object | None:
        """One of them."""
        with self._app().ledger() as ledger:
            return job_object(ledger, name)

    def generations(self) -> Object:
        """All generations."""
        app = self._app()
        with app.ledger() as ledger:
            return generations_object(ledger, app.data_dir)

    def diff(self, first: int, second: int, questions: list[str]) -> Object:
        """What two of them answer differently."""
        app = self._app()
        return difference_object(first, second, compare_generations(app, first, second, questions))

    def health(self) -> Health:
        """From memory alone."""
        condition = self._condition
        refused = condition.reload.error if condition.reload is not None else ""
        failed, held = condition.failed_documents, condition.held_documents
        lacking = failed or held
        unscanned = ", ".join(condition.unscanned)
        components = {
            "keeper": (not condition.is_wedged, condition.phase or condition.state),
            "last pass": (not condition.failure, condition.failure or "went well"),
            "watching": (not condition.watching, "; ".join(condition.watching) or "all folders"),
            "sources": (not unscanned, f"{unscanned} can't be scanned" if unscanned else "all folders"),
            "documents": (not lacking, f"{failed} failed, {held} deletions held"),
            "configuration": (condition.is_as_configured, refused or "taken"),
        }
        is_ready = condition.is_ready and not condition.is_stopping
        return Health(not condition.is_wedged, is_ready, components)

    def numbers(self) -> Numbers:
        """For the metrics."""
        condition, store = self._condition, self._store_status()
        return Numbers(
            build_info={"version": self._version},
            documents=store.documents,
            chunks=store.chunks,
            pending_changes=store.pending,
            failed_documents=len(store.failures),
            held_documents=store.held,
            index_lag_s=store.lag_s,
            is_paused=condition.is_paused,
            is_as_configured=condition.is_as_configured,
            generation=store.live.number if store.live is not None else None,
            last_success_at=condition.last_success_at,
            watch_overflows=condition.overflows,
            reconciles=condition.reconciles,
            reconciles_s=condition.reconciles_s,
            embedding_tokens=store.spend.tokens,
            batch_jobs={state.value: count for state, count in store.jobs.items()},
            errors=dict(condition.errors),
        )

    def _store_status(self) -> StoreStatus:
        condition = self._condition
        own = _Own(
            state=condition.state,
            reasons=condition.reasons(),
            pending=condition.pending,
            lag_s=condition.lag_s,
        )
        try:
            return recorded_status(self._app(), **own, unscanned=condition.unscanned)
        except StoreError as error:
            if not error.is_of_the_place:  # who has it open may not notice for long
                self._doubt_stores()
            return unreadable_status(error, **own)


def make_surface(shown: Shown, service: SearchService, tasks: Tasks, events: Events) -> Surface:
    """All that the API stands on."""

    async def search(request: SearchRequest) -> SearchResult:
        limits = Filter(request.source, request.path_prefix)
        return await service.search(request.query, request.k, request.mode, limits, request.generation)

    return Surface(
        search=search,
        status=shown.status,
        document_status=shown.document_status,
        jobs=shown.jobs,
        job=shown.job,
        generations=shown.generations,
        diff=shown.diff,
        tasks=tasks,
        events=events,
        health=shown.health,
        numbers=shown.numbers,
    )
