"""Whole documents that are applied and published together: what of them is new, and what goes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from reindex.core.identity import chunk_ids, unpack_keys
from reindex.core.layout import DocumentLayout
from reindex.direct import Embedded, Text
from reindex.model import Chunk, DocumentName, EmbeddingKey
from reindex.preparing import Prepared
from reindex.stores.document_rows import RecordedDocument
from reindex.stores.failure_rows import Failure
from reindex.stores.table_changes import ChunkRows, TableChanges
from reindex.writer import Writer


@dataclass(frozen=True, slots=True)
class Update:
    """A document against what is recorded of it: which of its chunks are new rows, which rows it loses."""

    prepared: Prepared
    new_rows: tuple[tuple[int, str], ...]  # position among the chunks, chunk id
    rows_gone: tuple[str, ...]
    is_new: bool

    def lacking(self, writer: Writer) -> dict[EmbeddingKey, int]:
        """The texts of its new rows that have no vector in the cache, with their tokens."""
        keys, chunks = self.prepared.layout.keys, self.prepared.chunks
        found = {keys[position]: chunks[position].tokens for position, _ in self.new_rows}
        generation = writer.generation
        assert generation is not None, "texts are embedded for a generation"
        since = generation.number if generation.is_fresh else 0
        there = writer.cache.present(list(found), since_generation=since)
        return {key: tokens for key, tokens in found.items() if key not in there}

    def texts(
        self, wanted: Collection[EmbeddingKey], text_sent: Callable[[Chunk], str], extra_tokens: int
    ) -> dict[EmbeddingKey, Text]:
        """The texts of those keys, of the rows that are new. `extra_tokens` come with each of them."""
        found: dict[EmbeddingKey, Text] = {}
        for position, _ in self.new_rows:
            key = self.prepared.layout.keys[position]
            if key in wanted:
                chunk = self.prepared.chunks[position]
                found[key] = Text(text_sent(chunk), chunk.tokens + extra_tokens)
        return found


def update_of(prepared: Prepared, recorded: RecordedDocument | None) -> Update:
    """Compare chunk ids with what the ledger recorded: rows that stay are neither written nor deleted."""
    layout = prepared.layout
    ids = layout.chunk_ids()
    if recorded is None:
        return Update(prepared, new_rows=tuple(enumerate(ids)), rows_gone=(), is_new=True)
    old = set(chunk_ids(layout.name, unpack_keys(recorded.keys)))
    return Update(
        prepared,
        new_rows=tuple((position, row) for position, row in enumerate(ids) if row not in old),
        rows_gone=tuple(sorted(old.difference(ids))),
        is_new=False,
    )


@dataclass(frozen=True, slots=True)
class Room:
    """Of one request to a provider: texts, and their estimated tokens."""

    texts: int
    tokens: int


@dataclass(slots=True)
class Window:
    """Documents to write, and documents that are gone. `rows_gone` counts the chunk rows of the latter;
    `lacking` are texts without a vector, and `tokens` theirs, where that decides how large it is.
    """

    updates: list[Update] = field(default_factory=list)
    gone: list[DocumentName] = field(default_factory=list)
    rows_gone: int = 0
    chunks: int = 0
    size_bytes: int = 0
    lacking: set[EmbeddingKey] = field(default_factory=set)
    tokens: int = 0

    @property
    def is_empty(self) -> bool:
        return not self.updates and not self.gone

    def would_overflow(self, lacking: Mapping[EmbeddingKey, int], room: Room) -> bool:
        """Whether it needs more room with these texts too, and there is something to go without them."""
        new = [tokens for key, tokens in lacking.items() if key not in self.lacking]
        is_over = len(self.lacking) + len(new) > room.texts or self.tokens + sum(new) > room.tokens
        return is_over and bool(self.updates) and bool(new)

    def add(self, update: Update, lacking: Mapping[EmbeddingKey, int]) -> None:
        """One more document to write, and its texts without a vector."""
        self.updates.append(update)
        self.chunks += len(update.prepared.chunks)
        self.tokens += sum(tokens for key, tokens in lacking.items() if key not in self.lacking)
        self.lacking.update(lacking)
        self.size_bytes += update.prepared.size_bytes

    def add_gone(self, name: DocumentName, recorded: RecordedDocument | None) -> None:
        """One more document to delete."""
        self.gone.append(name)
        self.rows_gone += recorded.chunks if recorded is not None else 0

    def keep(self, name: DocumentName, recorded: RecordedDocument | None) -> None:
        """It is not to be deleted after all."""
        self.gone.remove(name)
        self.rows_gone -= recorded.chunks if recorded is not None else 0

    def keys(self) -> list[EmbeddingKey]:
        """The keys of the rows that this window writes, once each."""
        return list(dict.fromkeys(self._row_keys()))

    def texts(
        self, wanted: Collection[EmbeddingKey], text_sent: Callable[[Chunk], str], extra_tokens: int
    ) -> dict[EmbeddingKey, Text]:
        """The texts of those keys."""
        texts: dict[EmbeddingKey, Text] = {}
        for update in self.updates:
            texts |= update.texts(wanted, text_sent, extra_tokens)
        return texts

    def take_out_refused(self, refused: Mapping[EmbeddingKey, str], now: float) -> list[Failure]:
        """Documents with a text that the model refused leave, and keep their old revision, whole."""
        failures = []
        for layout in (update.prepared.layout for update in self.updates):
            reason = next((refused[key] for key in layout.keys if key in refused), None)
            if reason is not None:
                reason = f"the model refused a text: {reason}"
                failures.append(
                    Failure(layout.name, layout.revision, layout.parser, reason, permanent=True, at=now)
                )
        failed = {failure.name for failure in failures}
        self.updates = [update for update in self.updates if update.prepared.layout.name not in failed]
        return failures

    def take_out_waiting(self, embedded: Embedded) -> list[DocumentLayout]:
        """Documents that lack a vector leave, and keep their old revision, whole."""
        known = embedded.vectors.keys() | embedded.refused.keys()
        there = [
            update
            for update in self.updates
            if all(update.prepared.layout.keys[position] in known for position, _ in update.new_rows)
        ]
        layouts = [update.prepared.layout for update in self.updates]
        self.updates = there
        kept = {update.prepared.layout.name for update in there}
        return [layout for layout in layouts if layout.name not in kept]

    def changes(self, embedded: Embedded) -> TableChanges:
        """What the table is told."""
        from reindex.vectors import stack

        keys = self._row_keys()
        chunks = ChunkRows(
            ids=[row_id for update in self.updates for _, row_id in update.new_rows],
            names=[u.prepared.layout.name for u in self.updates for _ in u.new_rows],
            keys=keys,
            texts=[u.prepared.chunks[position].text for u in self.updates for position, _ in u.new_rows],
            vectors=stack([embedded.vectors[key] for key in keys]),
        )
        return TableChanges(
            chunks=chunks,
            layouts=[update.prepared.layout for update in self.updates],
            chunks_gone=[row for update in self.updates for row in update.rows_gone],
            documents_gone=self.gone,
            only_new=all(update.is_new for update in self.updates),
        )

    def _row_keys(self) -> list[EmbeddingKey]:
        return [u.prepared.layout.keys[position] for u in self.updates for position, _ in u.new_rows]
