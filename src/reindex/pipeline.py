"""One pass: from the documents on disk to a published version, window by window.

    observe -> find_changes -> prepare (read, parse, chunk, key) -> cache -> [1 ledger: job] -> embed
    -> [2 cache] -> apply -> [3 Lance] -> record -> [4 ledger] -> publish -> [5 pointer]

A crash after any of them is repaired by `Writer.recover`, and the next pass goes on from there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from reindex.changes import Changes, document_parser
from reindex.core.identity import chunk_ids, pack_keys, unpack_keys
from reindex.embedding import Embedded, Text, embed_missing
from reindex.model import DocumentName, EmbeddingKey
from reindex.observe import Observation
from reindex.ports import Embedder
from reindex.preparing import Prepared, Preparer
from reindex.report import PassReport, Progress
from reindex.sources.files import RootState
from reindex.stores.document_rows import RecordedDocument
from reindex.stores.failure_rows import Failure
from reindex.stores.index import ChunkRow, TableChanges
from reindex.writer import Writer


@dataclass(slots=True)
class _Window:
    """Whole documents that are applied and published together."""

    documents: list[Prepared] = field(default_factory=list)
    gone: list[DocumentName] = field(default_factory=list)
    chunks: int = 0
    size_bytes: int = 0


@dataclass(slots=True)
class _Difference:
    """What a window changes in the table, before the vectors are known."""

    upserts: list[tuple[Prepared, int, str]] = field(default_factory=list)  # document, position, chunk id
    chunks_gone: list[str] = field(default_factory=list)
    documents_gone: list[DocumentName] = field(default_factory=list)
    rows_deleted: int = 0


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
        work = [*plan.moved, *plan.changed, *plan.added]
        total = sum(observation.stats[name].size_bytes for name in work if name in observation.stats)
        self._progress.phase("indexing", total, "B")
        commits_before = self._writer.data_commits
        failures: list[Failure] = []
        window = _Window(gone=list(plan.deleted))
        for name in work:
            prepared = self._preparer.prepare(name)
            if isinstance(prepared, Failure):
                failures.append(prepared)
            elif prepared is None:
                report.documents.pending += 1
            else:
                self._add(window, prepared, plan.moved)
            if window.chunks >= self._window_chunks:
                failures += self._flush(window, report, changes)
                window = _Window()
        failures += self._flush(window, report, changes)
        self._writer.ledger.failures.record(failures)
        self._publish_if_needed()
        report.commits += self._writer.data_commits - commits_before

    def _add(self, window: _Window, prepared: Prepared, moved: Mapping[DocumentName, DocumentName]) -> None:
        window.documents.append(prepared)
        window.chunks += len(prepared.chunks)
        window.size_bytes += prepared.size_bytes
        if prepared.layout.name in moved:
            window.gone.append(moved[prepared.layout.name])

    def _flush(self, window: _Window, report: PassReport, changes: Changes) -> list[Failure]:
        """Embed, apply, record and publish one window. Returns the documents that failed in it."""
        if not window.documents and not window.gone:
            return []
        texts = self._texts_needed(window)
        embedded = self._embed(texts, window)
        failures = self._failures(window, embedded)
        failed = {failure.name for failure in failures}
        window.documents = [p for p in window.documents if p.layout.name not in failed]
        difference = self._difference(window)
        self._apply(difference, embedded, window)
        self._record(window, difference, embedded)
        self._writer.publish()
        self._count(window, difference, embedded, report, changes)
        return failures

    def _texts_needed(self, window: _Window) -> dict[EmbeddingKey, Text]:
        """The texts of the rows that this window writes, once each."""
        texts: dict[EmbeddingKey, Text] = {}
        for prepared, position, _ in self._difference(window).upserts:
            chunk = prepared.chunks[position]
            texts[prepared.layout.keys[position]] = Text(
                self._preparer.text_sent(chunk), chunk.tokens + self._preparer.extra_tokens
            )
        return texts

    def _embed(self, texts: Mapping[EmbeddingKey, Text], window: _Window) -> Embedded:
        """Progress is in bytes of documents: each batch moves it by its share of the window."""
        total_tokens = sum(text.tokens for text in texts.values())
        moved_bytes = 0
        done_tokens = 0

        def advance(tokens: int) -> None:
            nonlocal moved_bytes, done_tokens
            done_tokens += tokens
            now = window.size_bytes * done_tokens // total_tokens
            self._progress.advance(now - moved_bytes)
            moved_bytes = now

        embedded = embed_missing(self._writer, self._embedder, texts, self._batch_tokens, advance)
        self._progress.advance(window.size_bytes - moved_bytes)
        return embedded

    def _failures(self, window: _Window, embedded: Embedded) -> list[Failure]:
        """The documents that have a text the model refused: they keep their old revision, whole."""
        if not embedded.refused:
            return []
        failures = []
        for prepared in window.documents:
            layout = prepared.layout
            reason = next((embedded.refused[key] for key in layout.keys if key in embedded.refused), None)
            if reason is not None:
                failures.append(
                    Failure(
                        layout.name,
                        layout.revision,
                        layout.parser,
                        f"the model refused a text: {reason}",
                        permanent=True,
                        at=self._writer.clock.now(),
                    )
                )
        return failures

    def _difference(self, window: _Window) -> _Difference:
        """Rows to write and to delete, by comparing chunk ids with what the ledger recorded."""
        difference = _Difference(documents_gone=list(window.gone))
        for prepared in window.documents:
            layout = prepared.layout
            ids = layout.chunk_ids()
            old = set(self._recorded_ids(layout.name))
            difference.upserts += [
                (prepared, position, chunk_id) for position, chunk_id in enumerate(ids) if chunk_id not in old
            ]
            difference.chunks_gone += sorted(old.difference(ids))
        difference.rows_deleted = len(difference.chunks_gone) + sum(
            len(self._recorded_ids(name)) for name in window.gone
        )
        return difference

    def _recorded_ids(self, name: DocumentName) -> list[str]:
        assert self._writer.generation is not None, "a pass has a generation"
        recorded = self._writer.ledger.documents.one(self._writer.generation.number, name)
        return [] if recorded is None else chunk_ids(name, unpack_keys(recorded.keys))

    def _apply(self, difference: _Difference, embedded: Embedded, window: _Window) -> None:
        rows = [
            ChunkRow(
                chunk_id,
                prepared.layout.name,
                key := prepared.layout.keys[position],
                prepared.chunks[position].text,
                embedded.vectors[key],
            )
            for prepared, position, chunk_id in difference.upserts
        ]
        self._writer.table().apply(
            TableChanges(
                chunks=rows,
                layouts=[prepared.layout for prepared in window.documents],
                chunks_gone=difference.chunks_gone,
                documents_gone=difference.documents_gone,
            )
        )

    def _record(self, window: _Window, difference: _Difference, embedded: Embedded) -> None:
        assert self._writer.generation is not None, "a pass has a generation"
        table = self._writer.table()
        self._writer.generation = self._writer.ledger.record(
            self._writer.generation,
            version=table.version,
            manifest=table.manifest,
            upserts={
                p.layout.name: RecordedDocument(
                    p.layout.revision,
                    p.layout.parser,
                    pack_keys(p.layout.keys),
                    p.layout.tokens,
                    p.layout.indexed_at,
                )
                for p in window.documents
            },
            deletes=difference.documents_gone,
            job=embedded.job,
            now=self._writer.clock.now(),
        )

    def _publish_if_needed(self) -> None:
        """A first pass over no documents publishes an empty generation all the same."""
        generation = self._writer.generation
        assert generation is not None, "a pass has a generation"
        if generation.promoted_at is None:
            self._writer.publish()

    def _count(
        self,
        window: _Window,
        difference: _Difference,
        embedded: Embedded,
        report: PassReport,
        changes: Changes,
    ) -> None:
        plan = changes.plan
        changed = set(plan.changed)
        for prepared in window.documents:
            name = prepared.layout.name
            report.documents.moved += name in plan.moved
            report.documents.changed += name in changed
            report.documents.added += name not in plan.moved and name not in changed
        report.documents.deleted += len(set(window.gone) & set(plan.deleted))
        report.chunks.embedded += embedded.texts_sent
        report.chunks.reused += sum(len(p.chunks) for p in window.documents) - embedded.texts_sent
        report.chunks.deleted += difference.rows_deleted
        report.chunks.rows_written += len(difference.upserts) + len(window.documents)
        report.tokens_embedded += embedded.tokens_sent
        self._progress.count(
            documents=report.documents.added + report.documents.changed + report.documents.moved,
            chunks=report.chunks.embedded,
        )


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
