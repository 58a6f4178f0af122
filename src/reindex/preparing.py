"""From a document on disk to its chunks with their keys: read, parse, chunk, hash. Writes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from reindex.changes import document_parser
from reindex.core.identity import Recipe, embedding_key
from reindex.core.layout import DocumentLayout, layout_of
from reindex.core.text import ChunkLimits, Tokenizer, chunk_document
from reindex.errors import ConfigError, ParseError, UnstableFileError
from reindex.model import Chunk, DocumentName, Revision
from reindex.observe import Patience, read_when_quiet
from reindex.parsers.process import ParserProcess
from reindex.ports import Clock
from reindex.sources.files import FileSource
from reindex.stores.failure_rows import Failure


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document ready to be applied: its layout, and the chunks in the same order as the layout's keys."""

    layout: DocumentLayout
    chunks: tuple[Chunk, ...]
    size_bytes: int


class Preparer:
    """Makes documents ready by one recipe. `parse` gives the blocks of a path's content."""

    def __init__(
        self,
        sources: Mapping[str, FileSource],
        parser: ParserProcess,
        recipe: Recipe,
        tokenizer: Tokenizer,
        special_tokens: int,
        clock: Clock,
    ) -> None:
        """Raises ConfigError when prompt and special tokens leave no room for text."""
        prompt_tokens = tokenizer.count([recipe.space.document_prompt])[0]
        room = recipe.max_tokens - special_tokens - prompt_tokens
        if room < 1:
            raise ConfigError(
                f"max_tokens = {recipe.max_tokens} leaves no room beside {special_tokens} special tokens"
                f" and a prompt of {prompt_tokens}",
                "Raise [chunking] max_tokens.",
            )
        self._sources = sources
        self._parser = parser
        self._tokenizer = tokenizer
        self._clock = clock
        self._prompt = recipe.space.document_prompt
        self._fingerprint = recipe.space.fingerprint
        self._limits = ChunkLimits(room, min(recipe.overlap_tokens, room - 1))
        self.extra_tokens = special_tokens + prompt_tokens

    def cancel(self) -> None:
        """Another thread is in `prepare`, and nobody waits for it any more: it ends soon, and raises."""
        self._parser.close()

    def text_sent(self, chunk: Chunk) -> str:
        """Exactly what goes to the model for a chunk, and what its key hashes."""
        return self._prompt + chunk.text

    def prepare(self, name: DocumentName) -> Prepared | Failure | None:
        """The document as it is on disk now; a Failure with its reason; None when it is gone or being
        written (a later pass takes it).
        """
        parser = document_parser(name.path)
        try:
            found = read_when_quiet(self._sources[name.source], name.path, Patience())
        except (FileNotFoundError, UnstableFileError):
            return None
        except OSError as error:
            return self._failure(name, None, parser, f"can't be read: {error.strerror or error}")
        try:
            chunks = chunk_document(
                self._parser.parse(name.path, found.content), self._tokenizer, self._limits
            )
        except ParseError as error:
            reason = f"{error.message} ({error.hint})" if error.hint else error.message
            return self._failure(name, found.revision, parser, reason)
        keys = [embedding_key(self._fingerprint, self.text_sent(chunk)) for chunk in chunks]
        layout = layout_of(name, found.revision, parser, chunks, keys, self._clock.now())
        return Prepared(layout, chunks, found.stat.size_bytes)

    def _failure(self, name: DocumentName, revision: Revision | None, parser: str, reason: str) -> Failure:
        return Failure(name, revision, parser, reason, revision is not None, self._clock.now())
