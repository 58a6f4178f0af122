"""`status`: how the index stands against the disk right now, and why a given file is not found."""

import os
from dataclasses import dataclass
from pathlib import Path

from reindex.app import App
from reindex.changes import Changes, document_parser, find_changes
from reindex.core.generations import Generation
from reindex.core.jobs import JobState
from reindex.errors import ConfigError
from reindex.model import DocumentName
from reindex.observe import Observation, observe
from reindex.sources.files import FileSource
from reindex.stores.document_rows import RecordedDocument
from reindex.stores.failure_rows import Failure, Hold


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The whole store. `lag_s` is the age of the oldest change that is not indexed, 0 without one."""

    state: str
    reasons: tuple[str, ...]
    live: Generation | None
    documents: int
    chunks: int
    pending: int
    failures: tuple[Failure, ...]
    held: int
    holds: tuple[Hold, ...]
    lag_s: float
    jobs: dict[JobState, int]
    tokens_spent: int
    usd_spent: float


@dataclass(frozen=True, slots=True)
class DocumentStatus:
    """One file: `state` is indexed, pending, failed, held or ignored."""

    path: str
    state: str
    revision: str | None
    indexed_at: float | None
    reason: str


def store_status(app: App) -> StoreStatus:
    """Compare the disk with the ledger by stat (and by content where a stat proves nothing)."""
    with app.ledger() as ledger:
        live = ledger.generations.live() if ledger is not None else None
        files = ledger.files if ledger is not None else None
        observation = observe(list(app.sources().values()), files, app.clock)
        now = app.clock.now()
        number = live.number if live is not None else None
        changes = find_changes(observation, ledger, number, accept_deletes=False, now=now)
        documents, chunks = (0, 0)
        if ledger is not None and live is not None:
            documents, chunks = ledger.documents.totals(live.number)
        pending = _pending(changes)
        reasons = _reasons(app, live, changes, pending)
        tokens, usd = ledger.jobs.spend() if ledger is not None else (0, 0.0)
        return StoreStatus(
            state="empty" if live is None else ("degraded" if reasons else "ok"),
            reasons=reasons,
            live=live,
            documents=documents,
            chunks=chunks,
            pending=len(pending),
            failures=_failures(changes, observation),
            held=len(changes.held),
            holds=changes.holds,
            lag_s=_lag(observation, pending, now),
            jobs=ledger.jobs.counts() if ledger is not None else dict.fromkeys(JobState, 0),
            tokens_spent=tokens,
            usd_spent=usd,
        )


def document_status(app: App, argument: str) -> DocumentStatus:
    """Why a file is, or is not, found.

    The path may be absolute, relative to the folder one is in, relative to a source, or "source:path".
    Raises ConfigError when it belongs to no source.
    """
    sources = app.sources()
    source, path = _locate(sources, argument)
    name = DocumentName(source.name, path)
    with app.ledger() as ledger:
        live = ledger.generations.live() if ledger is not None else None
        recorded = (
            ledger.documents.one(live.number, name) if ledger is not None and live is not None else None
        )
        failure = ledger.failures.all().get(name) if ledger is not None else None
        is_held = ledger is not None and any(hold.source == source.name for hold in ledger.failures.holds())
    state, reason = _document_state(source, name, recorded, failure, is_held=is_held)
    return DocumentStatus(
        path=path,
        state=state,
        revision=recorded.revision.hex() if recorded is not None else None,
        indexed_at=recorded.indexed_at if recorded is not None else None,
        reason=reason,
    )


def _document_state(
    source: FileSource,
    name: DocumentName,
    recorded: RecordedDocument | None,
    failure: Failure | None,
    *,
    is_held: bool,
) -> tuple[str, str]:
    try:
        stat = source.stat(name.path)
        content = source.read(name.path) if stat is not None else None
    except FileNotFoundError:
        content = None
    except Exception as error:  # noqa: BLE001 (whatever keeps the file from being read is the answer)
        return "failed", f"can't be read: {getattr(error, 'strerror', None) or error}"
    ignored = source.explain(name.path)
    if ignored is not None and (content is not None or (source.root / name.path).is_symlink()):
        if recorded is not None:
            return "pending", f"ignored now ({ignored.reason}), and still in the index: run sync"
        return "ignored", ignored.reason
    if content is None:
        return _absent_state(recorded, ignored.reason if ignored is not None else "", is_held=is_held)
    if recorded is not None and (recorded.revision, recorded.parser) == (
        content.revision,
        document_parser(name),
    ):
        return "indexed", ""
    if failure is not None and failure.revision in {None, content.revision}:
        return "failed", failure.reason
    return "pending", "changed since it was indexed" if recorded is not None else "not indexed yet"


def _absent_state(recorded: RecordedDocument | None, ignored: str, *, is_held: bool) -> tuple[str, str]:
    if recorded is None:
        return "ignored", ignored or "there is no such file"
    if is_held:
        return "held", "not on disk; its deletion waits for --accept-deletes"
    return "pending", "deleted, and still in the index: run sync"


def _locate(sources: dict[str, FileSource], argument: str) -> tuple[FileSource, str]:
    prefix, _, rest = argument.partition(":")
    if prefix in sources and rest:
        return sources[prefix], rest
    absolute = Path(os.path.abspath(argument))  # noqa: PTH100 (resolve() would follow links)
    for source in sources.values():
        for root in {source.root, Path(os.path.realpath(source.root))}:
            for path in {absolute, Path(os.path.realpath(absolute.parent)) / absolute.name}:
                if path != root and path.is_relative_to(root):
                    return source, path.relative_to(root).as_posix()
    if len(sources) == 1 and not Path(argument).is_absolute():
        return next(iter(sources.values())), Path(argument).as_posix()
    for source in sources.values():
        if not Path(argument).is_absolute() and os.path.lexists(source.root / argument):
            return source, Path(argument).as_posix()
    raise ConfigError(
        f"{argument} is in none of the sources ({', '.join(sorted(sources))})",
        "Give a path inside a source, or source:path.",
    )


def _pending(changes: Changes) -> list[DocumentName]:
    plan = changes.plan
    return [*plan.added, *plan.changed, *plan.moved, *plan.deleted, *sorted(changes.unstable)]


def _failures(changes: Changes, observation: Observation) -> tuple[Failure, ...]:
    """Known failures that still explain the disk; a failed document that changed is pending instead."""
    known = changes.waiting
    return tuple(
        failure
        for name, failure in known.items()
        if name in changes.unreadable or failure.revision == observation.revisions.get(name)
    )


def _lag(observation: Observation, pending: list[DocumentName], now: float) -> float:
    times = [
        max(stat.mtime_ns, stat.ctime_ns) / 1e9
        for name in pending
        if (stat := observation.stats.get(name)) is not None
    ]
    return round(max(0.0, now - min(times)), 3) if times else 0.0


def _reasons(
    app: App, live: Generation | None, changes: Changes, pending: list[DocumentName]
) -> tuple[str, ...]:
    reasons = []
    if live is not None and not (app.data_dir / live.manifest).exists():
        reasons.append("the table of the live generation is missing: run sync")
    if pending:
        reasons.append(f"{len(pending)} documents wait for sync")
    if changes.unreadable:
        reasons.append(f"{len(changes.unreadable)} documents can't be read")
    reasons += [f"source {hold.source!r}: deletions held, because {hold.reason}" for hold in changes.holds]
    return tuple(reasons)
