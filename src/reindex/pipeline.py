"""One pass: from the documents on disk to a published version, window by window.

    observe -> find_changes -> prepare (read, parse, chunk, key) -> cache -> [1 ledger: job] -> embed
    -> [2 cache] -> apply -> [3 Lance] -> record -> [4 ledger] -> publish -> [5 pointer]

A crash after any of them is repaired by `Writer.recover`, and the next pass goes on from there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from reindex.changes import Changes, document_parser
from reindex.core.diff import Plan
from reindex.core.generations import Generation
from reindex.core.identity import chunk_ids, unpack_keys
from reindex.embedding import Embedded, Text, embed_missing
from reindex.model import DocumentName, EmbeddingKey
from reindex.observe import Observation
from reindex.ports import Embedder
from reindex.preparing import Prepared, Preparer
from reindex.report import PassReport, Progress
from reindex.sources.files import RootState
from reindex.stores.document_rows import RecordedDocument, recorded_from
from reindex.stores.failure_rows import Failure
from reindex.stores.index import ChunkRow, TableChanges
from reindex.writer import Writer

_FIRST_WINDOW_SHARE = 8  # a first load is searchable after an eighth of a window; then windows double


@dataclass(frozen=True, slots=True)
class _Update:
    """A document against what is recorded of it: which of its chunks are new rows, which rows it loses."""

    prepared: Prepared
    new_rows: tuple[tuple[int, str], ...]  # position among the chunks, chunk id
    rows_gone: tuple[str, ...]
    is_new: bool


@dataclass(slots=True)
class _Window:
    """Whole documents that are applied and published together."""

    updates: list[_Update] = field(default_factory=list)
    gone: list[DocumentName] = field(default_factory=list)
    chunks: int = 0
    size_bytes: int = 0


class Pipeline:
    """Brings one generation up to date. Holds nothing between passes."""

    def __init__(
        self,
        writer: Writer,
        preparer: Preparer,
        embedder: Embedder,
        *,
        window_chunks: int,
        batch_tokens: int,
        progress: Progress,
    ) -> None:
        self._writer = writer
        self._preparer = preparer
        self._embedder = embedder
        self._window_chunks = window_chunks
        self._batch_tokens = batch_tokens
        self._progress = progress

    def run(self, observation: Observation, changes: Changes, report: PassReport) -> None:
        """Apply the changes to the writer's current generation, and publish; fill the report.

        Raises ModelError, EmbeddingError and StoreError; what was published until then stays.
        """
        plan = changes.plan
        sizes = {name: stat.size_bytes for name, stat in observation.stats.items()}
        # Small ones first, so that a backlog becomes searchable document by document from the start.
        work = [*plan.moved, *plan.changed, *sorted(plan.added, key=lambda name: (sizes[name], name))]
        total = sum(sizes[name] for name in work)
        self._progress.phase("indexing", total, "B")
        commits_before = self._writer.data_commits
        failures: list[Failure] = []
        window = _Window(gone=list(plan.deleted))
        limit = max(1, self._window_chunks // _FIRST_WINDOW_SHARE)
        for name in work:
            prepared = self._preparer.prepare(name)
            if name in plan.moved:
                window.gone.append(plan.moved[name])
            if isinstance(prepared, Failure):
                failures.append(prepared)
            elif prepared is None:
                report.documents.pending += 1
            else:
                window.updates.append(self._update(prepared))
                window.chunks += len(prepared.chunks)
                window.size_bytes += prepared.size_bytes
            if window.chunks >= limit:
                failures += self._flush(window, report, plan)
                window = _Window()
                limit = min(self._window_chunks, 2 * limit)
        failures += self._flush(window, report, plan)
        self._writer.ledger.failures.record(failures)
        self._publish_if_needed()
        report.commits += self._writer.data_commits - commits_before

    def _update(self, prepared: Prepared) -> _Update:
        """Compare chunk ids with what the ledger recorded: rows that stay are neither written nor deleted."""
        layout = prepared.layout
        ids = layout.chunk_ids()
        recorded = self._writer.ledger.documents.one(self._generation.number, layout.name)
        old = set(_row_ids(layout.name, recorded))
        return _Update(
            prepared,
            new_rows=tuple((position, row) for position, row in enumerate(ids) if row not in old),
            rows_gone=tuple(sorted(old.difference(ids))),
            is_new=recorded is None,
        )

    @property
    def _generation(self) -> Generation:
        assert self._writer.generation is not None, "a pass has a generation"
        return self._writer.generation

    def _flush(self, window: _Window, report: PassReport, plan: Plan) -> list[Failure]:
        """Embed, apply, record and publish one window. Returns the documents that failed in it."""
        if not window.updates and not window.gone:
            return []
        embedded = self._embed(window, report)
        failures = self._refused(window, embedded)
        failed = {failure.name for failure in failures}
        window.updates = [u for u in window.updates if u.prepared.layout.name not in failed]
        recorded_gone = (
            self._writer.ledger.documents.one(self._generation.number, name) for name in window.gone
        )
        rows_deleted = sum(recorded.chunks for recorded in recorded_gone if recorded is not None)
        self._apply(window, embedded)
        self._record(window, embedded)
        self._writer.publish()
        report.chunks.deleted += rows_deleted
        self._count(window, embedded, report, plan)
        return failures

    def _texts(self, window: _Window) -> dict[EmbeddingKey, Text]:
        """The texts of the rows that this window writes, once each."""
        texts: dict[EmbeddingKey, Text] = {}
        for update in window.updates:
            for position, _ in update.new_rows:
                chunk = update.prepared.chunks[position]
                texts[update.prepared.layout.keys[position]] = Text(
                    self._preparer.text_sent(chunk), chunk.tokens + self._preparer.extra_tokens
                )
        return texts

    def _embed(self, window: _Window, report: PassReport) -> Embedded:
        """Progress is in bytes of documents: each batch moves it by its share of the window."""
        texts = self._texts(window)
        total_tokens = sum(text.tokens for text in texts.values())
        moved_bytes = done_tokens = done_texts = 0

        def advance(sent_texts: int, sent_tokens: int) -> None:
            nonlocal moved_bytes, done_tokens, done_texts
            done_texts += sent_texts
            done_tokens += sent_tokens
            now = window.size_bytes * done_tokens // total_tokens
            self._progress.advance(now - moved_bytes)
            moved_bytes = now
            self._say_counts(report, done_texts)

        embedded = embed_missing(self._writer, self._embedder, texts, self._batch_tokens, advance)
        self._progress.advance(window.size_bytes - moved_bytes)
        return embedded

    def _refused(self, window: _Window, embedded: Embedded) -> list[Failure]:
        """The documents that have a text the model refused: they keep their old revision, whole."""
        failures = []
        for layout in (update.prepared.layout for update in window.updates):
            reason = next((embedded.refused[key] for key in layout.keys if key in embedded.refused), None)
            if reason is not None:
                reason = f"the model refused a text: {reason}"
                now = self._writer.clock.now()
                failures.append(
                    Failure(layout.name, layout.revision, layout.parser, reason, permanent=True, at=now)
                )
        return failures

    def _apply(self, window: _Window, embedded: Embedded) -> None:
        rows = [
            ChunkRow(
                row_id,
                update.prepared.layout.name,
                key := update.prepared.layout.keys[position],
                update.prepared.chunks[position].text,
                embedded.vectors[key],
            )
            for update in window.updates
            for position, row_id in update.new_rows
        ]
        self._writer.table().apply(
            TableChanges(
                chunks=rows,
                layouts=[update.prepared.layout for update in window.updates],
                chunks_gone=[row for update in window.updates for row in update.rows_gone],
                documents_gone=window.gone,
                only_new=all(update.is_new for update in window.updates),
            )
        )

    def _record(self, window: _Window, embedded: Embedded) -> None:
        table = self._writer.table()
        self._writer.generation = self._writer.ledger.record(
            self._generation,
            version=table.version,
            manifest=table.manifest,
            upserts={
                update.prepared.layout.name: recorded_from(update.prepared.layout)
                for update in window.updates
            },
            deletes=window.gone,
            job=embedded.job,
            now=self._writer.clock.now(),
        )

    def _publish_if_needed(self) -> None:
        """A first pass over no documents publishes an empty generation all the same."""
        if self._generation.promoted_at is None:
            self._writer.publish()

    def _count(self, window: _Window, embedded: Embedded, report: PassReport, plan: Plan) -> None:
        changed = set(plan.changed)
        for update in window.updates:
            name = update.prepared.layout.name
            report.documents.moved += name in plan.moved
            report.documents.changed += name in changed
            report.documents.added += name not in plan.moved and name not in changed
            report.chunks.reused += len(update.prepared.chunks)
            report.chunks.deleted += len(update.rows_gone)
            report.chunks.rows_written += len(update.new_rows) + 1
        report.documents.deleted += len(set(window.gone) & set(plan.deleted))
        report.chunks.embedded += embedded.texts_sent
        report.chunks.reused = max(0, report.chunks.reused - embedded.texts_sent)
        report.tokens_embedded += embedded.tokens_sent
        self._say_counts(report, 0)

    def _say_counts(self, report: PassReport, texts_in_window: int) -> None:
        documents = report.documents.added + report.documents.changed + report.documents.moved
        self._progress.count(documents=documents, chunks=report.chunks.embedded + texts_in_window)


def _row_ids(name: DocumentName, recorded: RecordedDocument | None) -> list[str]:
    return [] if recorded is None else chunk_ids(name, unpack_keys(recorded.keys))


def remember(writer: Writer, observation: Observation, changes: Changes, now: float) -> None:
    """Write down what a look at the disk found beside the documents themselves: stats, failures, holds.

    A pass that found nothing new writes nothing.
    """
    ledger = writer.ledger
    held_sources = {hold.source for hold in changes.holds}
    with ledger.transaction():
        if observation.looks or observation.gone:
            ledger.files.record(observation.looks, observation.gone)
        ledger.failures.forget(_healed(observation, changes))
        ledger.failures.record(
            Failure(name, None, document_parser(name), f"can't be read: {reason}", permanent=False, at=now)
            for name, reason in changes.unreadable.items()
        )
        if changes.holds or ledger.failures.holds():
            ledger.failures.replace_holds(changes.holds)
        for source, scan in observation.scans.items():
            is_trusted = scan.root_state is RootState.OK and source not in held_sources
            device = scan.root_device
            if is_trusted and device is not None and device != ledger.files.device(source):
                ledger.files.record_device(source, device)


def _healed(observation: Observation, changes: Changes) -> Iterable[DocumentName]:
    """Failures that are no more: the document can be read and is as recorded, or it is gone."""
    plan = changes.plan
    open_work = {*plan.failed, *plan.added, *plan.changed, *plan.moved, *changes.held}
    return [
        name
        for name in changes.waiting
        if name not in open_work and name not in changes.unreadable and name not in observation.unstable
    ]
