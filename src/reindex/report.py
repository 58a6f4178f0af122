"""What a pass did, in the words of the `sync` object, and how it tells of its progress."""

from dataclasses import dataclass, field
from typing import Protocol

from reindex.errors import OutageError
from reindex.model import DocumentName


@dataclass(slots=True)
class DocumentCounts:
    """Documents of one pass by outcome."""

    added: int = 0
    changed: int = 0
    moved: int = 0
    deleted: int = 0
    unchanged: int = 0
    failed: int = 0
    held: int = 0
    pending: int = 0


@dataclass(slots=True)
class ChunkCounts:
    """Chunks of one pass. `total` is what the generation holds afterwards; `reused` are chunks of the
    documents that were worked on whose text was not embedded for them.
    """

    total: int = 0
    embedded: int = 0
    reused: int = 0
    deleted: int = 0
    in_flight: int = 0
    rows_written: int = 0


@dataclass(slots=True)
class PassReport:
    """What one pass did. `commits` counts Lance commits with data; maintenance is apart."""

    generation: int | None = None
    version: int | None = None
    documents: DocumentCounts = field(default_factory=DocumentCounts)
    chunks: ChunkCounts = field(default_factory=ChunkCounts)
    tokens_embedded: int = 0
    cost_usd: float = 0.0
    commits: int = 0
    duration_s: float = 0.0
    notices: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    unscanned: dict[str, str] = field(default_factory=dict)  # source looked at -> why it can't be, "": it can
    postponed: list[DocumentName] = field(default_factory=list)  # being written: a later pass takes them
    outage: OutageError | None = None  # of the provider, while batches were looked after
    texts_ahead: int = 0  # that batches gave, and whose documents no pass has written yet

    def add_sent(self, texts: int, tokens: int, usd: float) -> None:
        """So much went to the model, and what it cost."""
        self.chunks.embedded += texts
        self.tokens_embedded += tokens
        self.cost_usd += usd

    def take_ahead(self) -> None:
        """Texts that batches gave were embedded for documents that are written now: they are not reused."""
        self.chunks.reused = max(0, self.chunks.reused - self.texts_ahead)
        self.texts_ahead = 0

    def add_work_of(self, other: "PassReport") -> None:
        """What another pass embedded and wrote, and said, beside this one."""
        self.chunks.embedded += other.chunks.embedded
        self.chunks.in_flight = max(self.chunks.in_flight, other.chunks.in_flight)
        self.chunks.rows_written += other.chunks.rows_written
        self.tokens_embedded += other.tokens_embedded
        self.cost_usd += other.cost_usd
        self.commits += other.commits
        self.notices += [notice for notice in other.notices if notice not in self.notices]

    def go_on_with(self, later: "PassReport") -> None:
        """Another pass of the same run came after this one: what was done adds up, what is holds as it is."""
        self.add_work_of(later)
        ours, theirs = self.documents, later.documents
        for name in ("added", "changed", "moved", "deleted"):
            setattr(ours, name, getattr(ours, name) + getattr(theirs, name))
        for name in ("unchanged", "failed", "held", "pending"):
            setattr(ours, name, getattr(theirs, name))
        self.chunks.reused += later.chunks.reused
        self.chunks.deleted += later.chunks.deleted
        self.chunks.total, self.chunks.in_flight = later.chunks.total, later.chunks.in_flight
        self.generation, self.version = later.generation, later.version
        self.failures, self.postponed, self.outage = later.failures, later.postponed, later.outage
        self.texts_ahead = later.texts_ahead
        self.unscanned |= later.unscanned

    @property
    def is_partial(self) -> bool:
        """Whether something is failed or held, also from an earlier run, or a source can't be scanned."""
        return bool(self.documents.failed or self.documents.held or any(self.unscanned.values()))


class Progress(Protocol):
    """Told of what is going on. Implementations print, count or ignore."""

    def phase(self, name: str, total: int, unit: str) -> None:
        """A phase of `total` units begins; 0 when the total can't be known."""
        ...

    def advance(self, amount: int) -> None:
        """So many more units of the phase are done."""
        ...

    def planned(self, documents: int) -> None:
        """So many documents are to be worked on, those that go included."""
        ...

    def count(self, *, documents: int, chunks: int) -> None:
        """So many documents are published, and so many chunks were embedded, in this run so far."""
        ...

    def waiting(self) -> None:
        """Called several times a second while an answer from outside is waited for. Raises nothing."""
        ...

    def warn(self, message: str) -> None:
        """Something a person should know."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


class WarningsOnly:
    """A Progress for work inside other work: what a person should know is passed on, and no more."""

    def __init__(self, outer: Progress) -> None:
        self._outer = outer

    def phase(self, name: str, total: int, unit: str) -> None:
        """Says nothing."""

    def advance(self, amount: int) -> None:
        """Says nothing."""

    def planned(self, documents: int) -> None:
        """Says nothing."""

    def count(self, *, documents: int, chunks: int) -> None:
        """Says nothing."""

    def waiting(self) -> None:
        """Passes it on."""
        self._outer.waiting()

    def warn(self, message: str) -> None:
        """Passes it on."""
        self._outer.warn(message)

    def close(self) -> None:
        """Nothing is open."""
