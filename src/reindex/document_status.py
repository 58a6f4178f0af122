"""`status PATH`: why a file is found, or is not."""

from dataclasses import dataclass
from enum import StrEnum

from reindex.app import App
from reindex.changes import document_parser
from reindex.errors import UnstableFileError
from reindex.locating import locate
from reindex.model import DocumentName
from reindex.sources.files import FileSource
from reindex.stores.document_rows import RecordedDocument
from reindex.stores.failure_rows import Failure
from reindex.stores.wait_rows import HELD_BACK_REASON, Wait


class DocumentState(StrEnum):
    """Where a file stands."""

    INDEXED = "indexed"
    PENDING = "pending"
    FAILED = "failed"
    HELD = "held"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class DocumentStatus:
    """One file. `revision` and `indexed_at` are of what the index has of it, None for nothing."""

    path: str
    state: DocumentState
    revision: str | None
    indexed_at: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What the ledger says of a file."""

    recorded: RecordedDocument | None
    failure: Failure | None
    wait: Wait | None
    is_source_held: bool


def document_status(app: App, argument: str) -> DocumentStatus:
    """Look at one file now.

    The path is as `locate` takes it. Raises ConfigError when it belongs to no source.
    """
    sources = app.sources()
    name = locate({source.name: source.root for source in sources.values()}, argument)
    source, path = sources[name.source], name.path
    known = _known(app, name)
    try:
        state, reason = _state(source, name, known)
    except UnstableFileError as error:
        state, reason = DocumentState.PENDING, error.message
    except OSError as error:
        state, reason = DocumentState.FAILED, f"can't be read: {error.strerror or error}"
        if known.is_source_held:
            state = DocumentState.HELD
    recorded = known.recorded
    return DocumentStatus(
        path=path,
        state=state,
        revision=recorded.revision.hex() if recorded is not None else None,
        indexed_at=recorded.indexed_at if recorded is not None else None,
        reason=reason,
    )


def _known(app: App, name: DocumentName) -> _Known:
    with app.ledger() as ledger:
        if ledger is None:
            return _Known(None, None, None, is_source_held=False)
        live = ledger.generations.live()
        open_generation = live or ledger.generations.unfinished()
        return _Known(
            recorded=ledger.documents.one(live.number, name) if live is not None else None,
            failure=ledger.failures.all().get(name),
            wait=ledger.waits.one(open_generation.number, name) if open_generation is not None else None,
            is_source_held=any(hold.source == name.source for hold in ledger.failures.holds()),
        )


def _state(source: FileSource, name: DocumentName, known: _Known) -> tuple[DocumentState, str]:
    is_folder = known.recorded is None and (source.root / name.path).is_dir()
    is_root = name.path == "."
    ignored = None if is_root else source.explain(name.path, is_folder=is_folder)
    if ignored is not None and known.recorded is None:
        return DocumentState.IGNORED, ignored.reason
    if ignored is not None and known.is_source_held:
        return DocumentState.HELD, f"ignored now ({ignored.reason}); its deletion waits for --accept-deletes"
    if ignored is not None:
        return DocumentState.PENDING, f"ignored now ({ignored.reason}), and still in the index: run sync"
    if is_folder:
        return DocumentState.IGNORED, "a folder: name a file in it"
    if source.stat(name.path) is None:
        return _state_of_absent(known)
    return _state_of_present(source, name, known)


def _state_of_present(source: FileSource, name: DocumentName, known: _Known) -> tuple[DocumentState, str]:
    now = (source.read(name.path).revision, document_parser(name.path))
    recorded, failure = known.recorded, known.failure
    if recorded is not None and (recorded.revision, recorded.parser) == now:
        return DocumentState.INDEXED, ""
    if failure is not None and failure.revision in {None, now[0]}:
        return DocumentState.FAILED, failure.reason
    wait = known.wait if known.wait and (known.wait.revision, known.wait.parser) == now else None
    if wait is not None and wait.is_held_back:
        return DocumentState.PENDING, f"{HELD_BACK_REASON}: tried again with every pass"
    if wait is not None and wait.is_in_flight:
        return DocumentState.PENDING, f"its texts are in job {wait.job}, a batch; `sync --now` pays again"
    return DocumentState.PENDING, "not indexed yet" if recorded is None else "changed since it was indexed"


def _state_of_absent(known: _Known) -> tuple[DocumentState, str]:
    if known.recorded is None:
        return DocumentState.IGNORED, "there is no such file"
    if known.is_source_held:
        return DocumentState.HELD, "not on disk; its deletion waits for --accept-deletes"
    return DocumentState.PENDING, "deleted, and still in the index: run sync"
