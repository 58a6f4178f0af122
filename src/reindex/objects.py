"""The JSON objects that commands print and the HTTP API answers with, made from the reports of the services.

Names of files may hold bytes that are not UTF-8, surrogate-escaped: `json.dumps` keeps them, as ASCII.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from reindex.browsing import Difference
    from reindex.core.generations import Behind, Generation
    from reindex.document_status import DocumentStatus
    from reindex.gate import GateReport
    from reindex.planning import PlanReport
    from reindex.presence import Presence
    from reindex.rebuilding import RebuildReport
    from reindex.report import PassReport
    from reindex.search import SearchResult
    from reindex.status import StoreStatus
    from reindex.stores.ledger import Ledger
    from reindex.verify import Verification

Object = Mapping[str, Any]
"""What `--json` prints: a JSON object as a value of Python."""

FAILURES_MAX = 50
"""Failures that `status` names; `jobs` has all."""


def sync_object(report: PassReport) -> dict[str, object]:
    """What a pass did."""
    return {
        "generation": report.generation,
        "version": report.version,
        "documents": asdict(report.documents),
        "chunks": asdict(report.chunks),
        "tokens_embedded": report.tokens_embedded,
        "cost_usd": usd(report.cost_usd),
        "commits": report.commits,
        "duration_s": report.duration_s,
    }


def rebuild_object(report: RebuildReport) -> dict[str, object]:
    """What a rebuild, a promotion or a rollback did. `gate` is empty where none was asked."""
    work = sync_object(report.work)
    return {
        "from_generation": report.from_generation,
        "generation": report.generation,
        "promoted": report.promoted,
        "gate": {} if report.gate is None else _gate_object(report.gate),
        **{name: value for name, value in work.items() if name != "generation"},
    }


def plan_object(report: PlanReport) -> dict[str, object]:
    """What a sync would do and cost."""
    return {
        "documents": {
            "added": report.added,
            "changed": report.changed,
            "moved": report.moved,
            "deleted": report.deleted,
            "unchanged": report.unchanged,
            "ignored": report.ignored,
            "pending": report.pending,
            "failed": report.failed,
            "held": report.held,
        },
        "chunks": {"to_embed": report.to_embed, "cached": report.cached, "in_flight": report.in_flight},
        "tokens": report.tokens,
        "cost_usd": {"realtime": usd(report.usd_realtime), "batch": usd(report.usd_batch)},
        "eta_s": report.eta_s,
    }


def query_object(found: SearchResult) -> dict[str, object]:
    """An answer. `degraded_reason` and `behind` are there when there is something to say."""
    value: dict[str, object] = {
        "generation": found.generation,
        "version": found.version,
        "model": found.model,
        "degraded": bool(found.degraded),
        "took_ms": found.took_ms,
        "hits": [asdict(hit) for hit in found.hits],
        **behind_object(found.behind),
    }
    if found.degraded:
        value["degraded_reason"] = found.degraded
    return value


def status_object(store: StoreStatus, daemon: Presence | None) -> dict[str, object]:
    """How the index stands. `failures` names the first FAILURES_MAX of the documents that failed;
    `paid_again` counts texts that may be, or were, paid twice.
    """
    live = store.live
    return {
        "state": store.state,
        "reasons": list(store.reasons),
        "daemon": daemon_object(daemon),
        "live": None
        if live is None
        else {
            "generation": live.number,
            "version": live.version,
            "model": live.recipe.model,
            "documents": store.documents,
            "chunks": store.chunks,
        },
        **(behind_object(live.behind) if live is not None else {}),
        "building": _building_object(store),
        "documents": {
            "total": store.documents,
            "pending": store.pending,
            "failed": len(store.failures),
            "held": store.held,
        },
        "failures": [
            {"source": failure.name.source, "path": failure.name.path, "reason": failure.reason}
            for failure in store.failures[:FAILURES_MAX]
        ],
        "lag_s": store.lag_s,
        "jobs": {state.value: count for state, count in store.jobs.items()},
        "spend": {
            "tokens": store.spend.tokens,
            "usd": usd(store.spend.usd),
            "saved_usd": usd(store.spend.saved_usd),
        },
        "paid_again": store.paid_again,
    }


def daemon_object(daemon: Presence | None) -> dict[str, object]:
    """The daemon of a data directory. `url` is None while it can't be reached."""
    if daemon is None:
        return {"running": False, "pid": None, "url": None, "version": None}
    return {"running": True, "pid": daemon.pid, "url": daemon.url or None, "version": daemon.version}


def document_object(document: DocumentStatus) -> dict[str, object]:
    """Where one file stands."""
    return asdict(document) | {"state": document.state.value, "indexed_at": iso(document.indexed_at)}


def verify_object(found: Verification) -> dict[str, object]:
    """How the index differs from the disk, in numbers."""
    value = asdict(found)
    del value["details"]
    return {"ok": found.ok, **value}


def generations_object(ledger: Ledger | None, data_dir: Path) -> dict[str, object]:
    """Every generation, read from the ledger. None: there is no ledger yet."""
    from reindex.stores.manifests import table_bytes

    if ledger is None:
        return {"live": None, "generations": []}
    live = ledger.generations.live()
    return {
        "live": live.number if live is not None else None,
        "generations": [
            _generation_object(g, *ledger.documents.totals(g.number), table_bytes(data_dir, g.table))
            for g in ledger.generations.all()
        ],
    }


def difference_object(first: int, second: int, found: Difference) -> dict[str, object]:
    """What two generations answer differently."""
    return {
        "a": first,
        "b": second,
        "overlap": found.overlap,
        "queries": [
            {
                "query": text,
                "overlap": comparison.overlap,
                "moved": list(comparison.moved),
                "lost": list(comparison.lost),
                "gained": list(comparison.gained),
            }
            for text, comparison in found.questions
        ],
    }


def behind_object(behind: Behind | None) -> dict[str, object]:
    """How far an answer is behind the disk: a member to add to its object, where it is."""
    if behind is None:
        return {}
    return {"behind": {"documents": behind.documents, "age_s": round(behind.age_s(time.time()), 3)}}


def iso(timestamp: float | None) -> str | None:
    """A moment as ISO 8601 in UTC, to the second."""
    if timestamp is None:
        return None
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def usd(amount: float) -> float:
    """Without the noise of sums: a token costs 1e-8."""
    return round(amount, 10)


def _gate_object(gate: GateReport) -> dict[str, object]:
    found = asdict(gate)
    del found["faults"]  # they are among the refusals
    return {"passed": gate.passed, **found, "recall_change": gate.recall_change, "refusals": gate.refusals}


def _building_object(store: StoreStatus) -> dict[str, object] | None:
    begun = store.building
    if begun is None:
        return None
    return {
        "generation": begun.number,
        "state": begun.state.value,
        "model": begun.recipe.model,
        "dimensions": begun.recipe.space.dimensions,
        "documents": store.building_documents,
        "chunks": store.building_chunks,
    }


def _generation_object(
    generation: Generation, documents: int, chunks: int, size_bytes: int
) -> dict[str, object]:
    space = generation.recipe.space
    return {
        "number": generation.number,
        "state": generation.state.value,
        "model": generation.recipe.model,
        "dimensions": space.dimensions,
        "precision": space.precision,
        "max_tokens": generation.recipe.max_tokens,
        "overlap_tokens": generation.recipe.overlap_tokens,
        "recipe": generation.recipe.described,
        "documents": documents,
        "chunks": chunks,
        "bytes": size_bytes,
        "created_at": iso(generation.created_at),
        "promoted_at": iso(generation.promoted_at),
        "promoted_by": generation.promoted_by or None,
    }
