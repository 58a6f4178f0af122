"""One pass: from the documents on disk to a published version, window by window.

    observe -> find_changes -> prepare (read, parse, chunk, key) -> cache -> [1 ledger: job] -> embed
    -> [2 cache] -> apply -> [3 Lance] -> record -> [4 ledger] -> publish -> [5 pointer]

Three windows are under way at a time: a thread prepares the next, this one embeds, and another thread
applies the last. Ledger, cache and pointer belong to this thread alone. A crash after any of the commits is
repaired by `recovery.recover`, and the next pass goes on from there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from reindex.changes import Changes
from reindex.core.diff import Plan
from reindex.core.generations import Generation
from reindex.core.jobs import Lane
from reindex.direct import DirectLane, Embedded, Text
from reindex.embedding import embed_known, embed_missing
from reindex.errors import OutageError, ReindexError
from reindex.model import DocumentName, EmbeddingKey, Revision
from reindex.observe import Observation
from reindex.preparing import Prepared, Preparer
from reindex.readahead import ahead
from reindex.report import PassReport, Progress
from reindex.routing import Route, Worked, straight_on
from reindex.stores.document_rows import recorded_from
from reindex.stores.failure_rows import Failure
from reindex.window import Room, Update, Window, update_of
from reindex.writer import Writer

_FIRST_WINDOW_SHARE = 8  # a first load is searchable after an eighth of a window; then windows double


@dataclass(frozen=True, slots=True)
class _Applying:
    """A window that is on its way into the table, in the other thread."""

    window: Window
    embedded: Embedded
    done: Future[int]


class Pipeline:
    """One pass over one generation. `failed` is told of the documents that failed, and `meanwhile` is called
    every now and then, between commits: other work may be done in it. `outage`: the provider is down, and not
    asked for anything.
    """

    def __init__(
        self,
        writer: Writer,
        preparer: Preparer,
        direct: DirectLane,
        *,
        window_chunks: int,
        window_room: Callable[[], Room] | None,
        progress: Progress,
        report: PassReport,
        failed: Callable[[Sequence[Failure]], None],
        meanwhile: Callable[[], None] = lambda: None,
        route: Route = straight_on,
        outage: OutageError | None = None,
    ) -> None:
        self._writer = writer
        self._preparer = preparer
        self._direct = direct
        self._route = route
        self._window_chunks = window_chunks
        self._window_room = window_room
        self._progress = progress
        self._report = report
        self._failed = failed
        self._meanwhile = meanwhile
        self._failures: list[Failure] = []
        self._commits_before = writer.data_commits
        self._applying: _Applying | None = None
        self._outage = outage
        self.left = 0  # documents of the plan that a failure kept from being worked on
        self.lacking: list[tuple[DocumentName, Revision, str]] = []  # left for want of a vector, in an outage
        self._texts_sent = report.chunks.embedded  # and those of windows that are not published yet
        self._changed = self._deleted = frozenset[DocumentName]()  # of the plan

    def run(self, observation: Observation, changes: Changes) -> None:
        """Apply the changes to the writer's current generation, and publish; fill the report.

        Raises ModelError, EmbeddingError, ParserUnavailableError and StoreError; what was published until
        then stays, and the window that is being applied is published first.
        """
        plan = changes.plan
        self._changed, self._deleted = frozenset(plan.changed), frozenset(plan.deleted)
        sizes = {
            name: observation.stat(name).size_bytes
            for names in (plan.moved, plan.changed, plan.added)
            for name in names
        }
        # Small ones first, so that a backlog becomes searchable document by document from the start.
        work = [*plan.moved, *plan.changed, *sorted(plan.added, key=lambda name: (sizes[name], name))]
        decided_before = self._decided
        self._progress.planned(len(work) + len(plan.deleted))
        self._progress.phase("indexing", sum(sizes.values()), "B")
        self._commits_before = self._writer.data_commits
        prepared = ahead(
            work,
            self._preparer.prepare,
            _weight,
            self._window_chunks,
            cancel=self._preparer.cancel,
            idle=self._meanwhile,
        )
        with ThreadPoolExecutor(1, thread_name_prefix="apply") as applier, closing(prepared):
            try:
                for window in self._windows(prepared, plan):
                    self._work(window, plan, applier)
                if self._outage is not None and self.lacking:
                    raise self._outage
            except ReindexError:
                self._finish(plan)  # what came before the failure counts all the same
                self.left = len(work) - (self._decided - decided_before)
                raise
            self._finish(plan)
        if self._generation.promoted_at is None and not self._report.documents.pending:
            self._writer.publish()  # a first pass over no documents publishes nothing else

    def _finish(self, plan: Plan) -> None:
        self._settle(plan)
        self._report.commits += self._writer.data_commits - self._commits_before
        self._failed(self._failures)

    @property
    def _decided(self) -> int:
        """Documents of the plan whose outcome is known."""
        documents = self._report.documents
        worked = documents.added + documents.changed + documents.moved
        return worked + documents.pending + len(self._failures)

    @property
    def _generation(self) -> Generation:
        assert self._writer.generation is not None, "a pass has a generation"
        return self._writer.generation

    def _windows(
        self, prepared: Iterable[tuple[DocumentName, Prepared | Failure | None]], plan: Plan
    ) -> Iterator[Window]:
        """Whole documents, about as many chunks as a window has; the deletions go with the first."""
        recorded = self._writer.ledger.documents.one
        limit = self._first_window
        window = Window()
        for name in plan.deleted:
            window.add_gone(name, recorded(self._generation.number, name))
        for name, document in self._route(self._updates(prepared, plan)):
            lacking = self._texts_lacking(document)
            if self._window_room and window.would_overflow(lacking, self._window_room()):
                yield window
                window = Window()
                limit = min(self._window_chunks, 2 * limit)
            if name in plan.moved:
                window.add_gone(plan.moved[name], recorded(self._generation.number, plan.moved[name]))
            if isinstance(document, Failure):
                self._failures.append(document)
            elif document is None:
                self._report.documents.pending += 1
                self._report.postponed.append(name)
            else:
                window.add(document, lacking)
            if window.chunks >= limit:
                yield window
                window = Window()
                limit = min(self._window_chunks, 2 * limit)
        if not window.is_empty:
            yield window

    def _updates(
        self, prepared: Iterable[tuple[DocumentName, Prepared | Failure | None]], plan: Plan
    ) -> Iterator[Worked]:
        """Each document against what is recorded of it."""
        added = set(plan.added)  # nothing is recorded of them: not worth the question
        recorded = self._writer.ledger.documents.one
        for name, document in prepared:
            self._meanwhile()
            if isinstance(document, Prepared):
                known = None if name in added else recorded(self._generation.number, name)
                yield name, update_of(document, known)
            else:
                yield name, document

    @property
    def _first_window(self) -> int:
        """A first load is searchable early. A provider is asked in requests as large as it takes."""
        share = _FIRST_WINDOW_SHARE if self._direct.lane is Lane.LOCAL else 1
        return max(1, self._window_chunks // share)

    def _texts_lacking(self, document: Update | Failure | None) -> Mapping[EmbeddingKey, int]:
        """Texts without a vector, with their tokens; none where windows are not as large as a request."""
        if self._window_room is None or not isinstance(document, Update):
            return {}
        return document.lacking(self._writer)

    def _work(self, window: Window, plan: Plan, applier: ThreadPoolExecutor) -> None:
        """Embed a window while the one before is applied; then send it after."""
        embedded = self._embed_or_wait(window, plan)
        self._failures += window.take_out_refused(embedded.refused, self._writer.clock.now())
        self._settle(plan)
        if window.is_empty:
            self._report.add_sent(embedded.texts_sent, embedded.tokens_sent, embedded.usd)
            return
        done = applier.submit(lambda: self._writer.table().apply(window.changes(embedded)))
        self._applying = _Applying(window, embedded, done)

    def _settle(self, plan: Plan, *, is_waiting: bool = True) -> None:
        """Record and publish the window that was applied, once it is."""
        applying = self._applying
        if applying is None or not (is_waiting or applying.done.done()):
            return
        self._applying = None
        applying.done.result()
        self._record(applying.window, applying.embedded)
        self._writer.publish()
        self._count(applying.window, applying.embedded, plan)

    def _embed_or_wait(self, window: Window, plan: Plan) -> Embedded:
        """In an outage, what needs no provider goes on, and it is asked for nothing more: the documents that
        lack a vector leave the window, and are pending.
        """
        embedded = embed_known(self._writer, self._direct, window.keys())
        if self._outage is None:
            try:
                self._embed(window, plan, embedded)
            except OutageError as error:
                self._outage, embedded.job = error, None  # the job has failed
            else:
                return embedded
        for layout in window.take_out_waiting(embedded):
            self.lacking.append((layout.name, layout.revision, layout.parser))
            self._report.documents.pending += 1
            if layout.name in plan.moved:  # it answers from its old place
                old = plan.moved[layout.name]
                window.keep(old, self._writer.ledger.documents.one(self._generation.number, old))
        return embedded

    def _embed(self, window: Window, plan: Plan, embedded: Embedded) -> None:
        """Progress is in bytes of documents: each batch moves it by its share of the window."""
        moved_bytes = done_tokens = 0

        def texts_of(keys: Sequence[EmbeddingKey]) -> Mapping[EmbeddingKey, Text]:
            return window.texts(set(keys), self._preparer.text_sent, self._preparer.extra_tokens)

        def advance(sent_texts: int, sent_tokens: int, total_tokens: int) -> None:
            nonlocal moved_bytes, done_tokens
            self._settle(plan, is_waiting=False)
            self._meanwhile()
            done_tokens += sent_tokens
            now = window.size_bytes * done_tokens // total_tokens
            self._progress.advance(now - moved_bytes)
            moved_bytes = now
            self._texts_sent += sent_texts
            self._say_counts()

        embed_missing(self._writer, self._direct, window.keys(), texts_of, advance, embedded)
        self._progress.advance(window.size_bytes - moved_bytes)

    def _record(self, window: Window, embedded: Embedded) -> None:
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
            heals=not self._writer.is_beside,
        )

    def _count(self, window: Window, embedded: Embedded, plan: Plan) -> None:
        report = self._report
        for update in window.updates:
            name = update.prepared.layout.name
            report.documents.moved += name in plan.moved
            report.documents.changed += name in self._changed
            report.documents.added += name not in plan.moved and name not in self._changed
            report.chunks.reused += len(update.prepared.chunks)
            report.chunks.deleted += len(update.rows_gone)
            report.chunks.rows_written += len(update.new_rows) + 1
        report.documents.deleted += len(self._deleted.intersection(window.gone))
        report.chunks.deleted += window.rows_gone
        report.chunks.reused = max(0, report.chunks.reused - embedded.texts_sent)
        report.add_sent(embedded.texts_sent, embedded.tokens_sent, embedded.usd)
        self._say_counts()

    def _say_counts(self) -> None:
        documents = self._report.documents
        self._progress.count(
            documents=documents.added + documents.changed + documents.moved, chunks=self._texts_sent
        )


def _weight(document: Prepared | Failure | None) -> int:
    """What a prepared document weighs while it waits: its chunks."""
    return len(document.chunks) + 1 if isinstance(document, Prepared) else 1
