"""Which documents can be indexed in this pass, and which have to wait for a batch.

A document whose texts all have vectors goes on at once. One that lacks some is held until it is known whether
the backlog is large enough for a batch; then it goes on too, to be embedded in real time, or its texts are
written into the batch and the document waits for it.

What is held is bounded: many documents may have few texts between them. When there are enough of these, they
go on in real time, and so does every other with the same texts. Their texts count on: fewer go so than make a
backlog.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from reindex.batch.gathering import Gatherer
from reindex.core.jobs import Lane
from reindex.core.lanes import LanePolicy
from reindex.model import DocumentName, EmbeddingKey
from reindex.preparing import Preparer
from reindex.report import PassReport, Progress
from reindex.stores.booking_rows import Booking, Outcome
from reindex.stores.failure_rows import Failure
from reindex.stores.wait_rows import Wait
from reindex.window import Update
from reindex.writer import Writer

HELD_TEXTS_MAX = 4  # times the texts of a backlog: of documents that are held, a text counted in each

Worked = tuple[DocumentName, Update | Failure | None]
"""A document that was worked on: to be written, failed, or for a later pass."""

Route = Callable[[Iterable[Worked]], Iterator[Worked]]


def straight_on(documents: Iterable[Worked]) -> Iterator[Worked]:
    """The route of a model that answers at once: nothing waits."""
    return iter(documents)


@dataclass(slots=True)
class _Missing:
    """What an update lacks. `flying` are texts that a batch carries already, with its job."""

    new: set[EmbeddingKey]
    flying: dict[EmbeddingKey, int]


@dataclass(slots=True)
class Router:
    """One pass over one generation of a provider that has two lanes. `is_blind`: there may be batches that
    the ledger does not know, so that nothing is sent that is not wanted now.
    """

    writer: Writer
    policy: LanePolicy
    gatherer: Gatherer
    preparer: Preparer
    report: PassReport
    progress: Progress
    is_blind: bool = False
    _held: list[tuple[DocumentName, Update, _Missing]] = field(default_factory=list, init=False)
    _held_texts: int = field(default=0, init=False)
    _backlog: set[EmbeddingKey] = field(default_factory=set, init=False)
    _going: set[EmbeddingKey] = field(default_factory=set, init=False)  # of the backlog, in real time
    _lane: Lane | None = field(default=None, init=False)

    def route(self, documents: Iterable[Worked]) -> Iterator[Worked]:
        """Those that can be written now. The others wait, and are counted as pending."""
        self._lane = self.policy.choose(0, is_all=False)
        for name, document in documents:
            if not isinstance(document, Update):
                yield name, document
                continue
            missing = self._missing(document)
            if missing is None:
                yield name, document
            elif self.is_blind and not self.policy.is_now:
                self.report.documents.pending += 1
            elif missing.flying and not self.policy.is_now:
                self._wait(name, document, missing)
            elif self._lane is Lane.REALTIME or missing.new <= self._going:
                self._count_repeats(missing)
                yield name, document
            elif self._lane is Lane.BATCH:
                self._wait(name, document, missing)
            else:
                yield from self._hold(name, document, missing)
        yield from self._let_go()

    def _hold(self, name: DocumentName, update: Update, missing: _Missing) -> Iterator[Worked]:
        """Until it is known whether it is a backlog, or too much is held."""
        self._held.append((name, update, missing))
        self._held_texts += len(missing.new)
        self._backlog |= missing.new
        self._lane = self.policy.choose(len(self._backlog), is_all=False)
        if self._lane is Lane.BATCH:
            self._release()
        elif self._held_texts >= HELD_TEXTS_MAX * self.policy.batch_min_chunks:
            self._going |= self._backlog
            yield from self._let_go()

    def _let_go(self) -> Iterator[Worked]:
        """It is no backlog so far: what was held goes on, in real time."""
        held, self._held, self._held_texts = self._held, [], 0
        for name, update, _ in held:
            yield name, update

    def _release(self) -> None:
        """It is a backlog: what was held goes into the batch."""
        for name, update, missing in self._held:
            self._wait(name, update, missing)
        self._held, self._held_texts = [], 0

    def _missing(self, update: Update) -> _Missing | None:
        """None: it lacks nothing, or it lacks what the provider refused and fails for it."""
        absent = list(update.lacking(self.writer))
        if not absent or self.writer.ledger.attempts.refusals(absent):
            return None
        flying = self.gatherer.in_flight(absent)
        return _Missing({key for key in absent if key not in flying}, flying)

    def _wait(self, name: DocumentName, update: Update, missing: _Missing) -> None:
        """The document waits. What it lacks beside what is under way goes along, if it goes by batch."""
        layout = update.prepared.layout
        if missing.flying and self._lane is not Lane.BATCH:
            jobs = set(missing.flying.values())
            wait = Wait(layout.name, layout.revision, layout.parser, max(jobs), self.writer.clock.now())
            assert self.writer.generation is not None, "a pass has a generation"
            self.writer.ledger.waits.record(self.writer.generation.number, [(wait, jobs)])
        else:
            flying = self.gatherer.in_flight(list(missing.new)) | missing.flying
            wanted = missing.new - flying.keys() - self._going
            texts = update.texts(wanted, self.preparer.text_sent, self.preparer.extra_tokens)
            self.gatherer.add(name, layout.revision, layout.parser, texts, set(flying.values()))
        self.report.documents.pending += 1
        self.progress.advance(update.prepared.size_bytes)

    def _count_repeats(self, missing: _Missing) -> None:
        """Texts that a batch carries, and that are wanted now: they are paid twice, knowingly."""
        if missing.flying:
            generation = self.writer.generation
            assert generation is not None, "a pass has a generation"
            model = generation.recipe.model
            booking = Booking(Lane.REALTIME, model, Outcome.AGAIN_NOW, len(missing.flying))
            self.writer.ledger.bookings.add(booking, self.writer.clock.now())
            notice = "texts that a batch carries already are paid again, because they are wanted now"
            if notice not in self.report.notices:
                self.report.notices.append(notice)
