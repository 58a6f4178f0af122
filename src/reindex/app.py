"""The composition root: the only module that names concrete classes and puts them together.

What only some commands need is imported where it is made: imports are most of what a short command costs.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reindex.clock import SystemClock
from reindex.errors import StoreError
from reindex.parsers.registry import KNOWN_NAMES, KNOWN_SUFFIXES
from reindex.ports import Clock, Embedder
from reindex.settings import Settings
from reindex.sources.files import FileSource
from reindex.stores.ledger import Ledger

if TYPE_CHECKING:
    from reindex.batch.context import BatchContext
    from reindex.core.identity import Recipe
    from reindex.embedders.catalog import ModelCatalog
    from reindex.embedders.models import LocalModel
    from reindex.embedders.openai_provider import OpenAIProvider
    from reindex.embedders.pool import ModelProcesses
    from reindex.embedders.tokenizer import EstimateTokenizer, ModelTokenizer
    from reindex.lanes import Lanes
    from reindex.opening import Stores
    from reindex.parsers.process import ParserProcess
    from reindex.preparing import Preparer
    from reindex.search import Reader
    from reindex.vectors import Vector
    from reindex.writer import Writer

EmbedderFactory = Callable[["Recipe"], Embedder]


@dataclass(slots=True)
class App:
    """Everything a command needs, made from the settings. Opens nothing by itself.

    What is slow to load (a model, a tokenizer with the counts that it remembers) is kept for as long as this
    lives, so that only the first of several passes pays for it. `embedder_for` makes embedders of local
    models; None: in this process. `stop` ends what waits for a provider. `parser` is made when it is needed,
    and may be shared with other Apps.
    """

    settings: Settings
    base_dir: Path
    clock: Clock = field(default_factory=SystemClock)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    stop: Callable[[], bool] = field(default=lambda: False)
    embedder_for: EmbedderFactory | None = None
    parser: ParserProcess | None = None
    _tokenizers: dict[str, ModelTokenizer] = field(default_factory=dict, init=False, repr=False)
    _embedders: dict[bytes, Embedder] = field(default_factory=dict, init=False, repr=False)
    _provider: OpenAIProvider | None = field(default=None, init=False, repr=False)
    _unbooked: deque[tuple[str, int, int]] = field(default_factory=deque, init=False, repr=False)
    _kept: Stores | None = field(default=None, init=False, repr=False)
    _say: Callable[[str], None] = field(default=lambda _: None, init=False, repr=False)

    def close(self) -> None:
        """End what runs beside this process."""
        if self.parser is not None:
            self.parser.close()
        if self._provider is not None:
            self._provider.close()

    @property
    def data_dir(self) -> Path:
        return self.settings.data_dir

    def sources(self) -> dict[str, FileSource]:
        """The configured folders by name."""
        return {
            source.name: FileSource(
                name=source.name,
                root=source.path,
                include=source.include,
                exclude=source.exclude,
                max_file_mb=source.max_file_mb,
                data_dir=self.data_dir,
                known_suffixes=KNOWN_SUFFIXES,
                known_names=KNOWN_NAMES,
            )
            for source in self.settings.sources
        }

    @contextmanager
    def writer(self, command: str, warn: Callable[[str], None]) -> Iterator[Writer]:
        """The stores, locked, consistent and open for writing; those that are kept open, if they are."""
        from reindex.recovery import recover
        from reindex.writer import Writer

        with self._stores(command, warn) as stores:
            writer = Writer(stores)
            recover(writer)
            yield writer

    @contextmanager
    def keep_open(self, command: str, warn: Callable[[str], None]) -> Iterator[None]:
        """Open and lock the stores once for all that this App writes meanwhile, from one thread."""
        with self._stores(command, warn) as stores:
            self._kept = stores
            try:
                yield
            finally:
                self._kept = None

    @contextmanager
    def _stores(self, command: str, warn: Callable[[str], None]) -> Iterator[Stores]:
        from reindex.opening import Surroundings, open_stores

        if self._kept is not None:
            before, self._kept.warn = self._kept.warn, warn
            try:
                yield self._kept
            finally:
                self._kept.warn = before
            return
        around = Surroundings(self.clock, warn, self.settings.index.reader_grace_s)
        with open_stores(self.data_dir, command, around) as stores:
            yield stores

    @contextmanager
    def ledger(self) -> Iterator[Ledger | None]:
        """The ledger for reading; None when there is none yet. Writes nothing."""
        ledger = Ledger.open_for_reading(self.data_dir)
        try:
            yield ledger
        finally:
            if ledger is not None:
                ledger.close()

    def catalog(self, ledger: Ledger | None, *, is_writable: bool = False) -> ModelCatalog:
        """Models, with their digests remembered in the ledger."""
        from reindex.embedders.catalog import ModelCatalog

        if ledger is None:
            return ModelCatalog(self.base_dir)
        if not is_writable:
            return ModelCatalog(self.base_dir, ledger.note)

        def probe(model: str) -> int:
            return self.provider().dimensions(model)

        return ModelCatalog(self.base_dir, ledger.note, ledger.record_note, probe)

    def preparer(
        self,
        recipe: Recipe,
        catalog: ModelCatalog,
        sources: Mapping[str, FileSource],
        parser: ParserProcess | None = None,
    ) -> Preparer:
        """What makes documents ready by a recipe; `parser` is another than this App's own, for a second pass
        at the same time. Loads the tokenizer, not the model.
        """
        from reindex.embedders.catalog import LOCAL
        from reindex.embedders.tokenizer import EstimateTokenizer, ModelTokenizer
        from reindex.preparing import Preparer

        if parser is None:
            if self.parser is None or self.parser.is_closed:
                self.parser = self.new_parser()
            parser = self.parser
        tokenizer: ModelTokenizer | EstimateTokenizer | None
        if recipe.space.provider != LOCAL:
            tokenizer = EstimateTokenizer()
        else:
            model = catalog.find_for(recipe)
            tokenizer = self._tokenizers.get(model.tokenizer_digest)
            if tokenizer is None:
                tokenizer = self._tokenizers[model.tokenizer_digest] = ModelTokenizer(model.tokenizer_file)
        return Preparer(sources, parser, recipe, tokenizer, tokenizer.special_tokens, self.clock)

    def new_parser(self) -> ParserProcess:
        """Another process that parses; its owner closes it."""
        from reindex.parsers.process import ParserProcess

        return ParserProcess(self.settings.parsing)

    def embedder(
        self, recipe: Recipe, catalog: ModelCatalog, say: Callable[[str], None] = lambda _: None
    ) -> Embedder:
        """What embeds for a recipe at once. A local model is loaded with the first text; `say` is told when
        it has to be run the slower way.
        """
        from reindex.embedders.catalog import LOCAL

        if recipe.space.provider != LOCAL:
            return self.provider().embedder(recipe)
        if self.embedder_for is not None:
            return self.embedder_for(recipe)
        from reindex.embedders.local import LocalEmbedder, LocalOptions

        key = recipe.space.fingerprint
        self._say = say  # the embedder outlives this pass, and has to tell the next one
        model = catalog.find_for(recipe)  # also when it is loaded: another may stand in its place by now
        if key not in self._embedders:
            embedding = self.settings.embedding
            options = LocalOptions(self.data_dir, embedding.backend, embedding.threads, self._tell)
            self._embedders[key] = LocalEmbedder(model, recipe.space, options)
        return self._embedders[key]

    def lanes(
        self,
        stores: Stores,
        recipe: Recipe,
        catalog: ModelCatalog,
        say: Callable[[str], None],
        waiting: Callable[[], None],
    ) -> Lanes:
        """The ways to a recipe's model. `waiting` is called while a provider takes its time to answer."""
        from reindex.embedders.catalog import LOCAL
        from reindex.lanes import local_lanes, provider_lanes
        from reindex.meanwhile import UnhurriedEmbedder

        embedding = self.settings.embedding
        if recipe.space.provider == LOCAL:
            return local_lanes(embedding, recipe, self.embedder(recipe, catalog, say))
        batch = self.batch_context(stores)
        embedder = UnhurriedEmbedder(self.provider().embedder(recipe), waiting)
        return provider_lanes(embedding, recipe, embedder, batch)

    def provider(self) -> OpenAIProvider:
        """The one that is configured. Raises AccountError without a key."""
        from reindex.embedders.openai_provider import OpenAIProvider

        if self._provider is None:
            self._provider = OpenAIProvider(self.settings.embedding.openai, self.environment, self.stop)
        return self._provider

    def batch_context(self, stores: Stores) -> BatchContext:
        """What the batch lane works with. Raises AccountError without a key."""
        from reindex.batch.context import BatchContext
        from reindex.lanes import prices_of

        openai = self.settings.embedding.openai
        provider = self.provider().batches()
        return BatchContext(stores, provider, openai, lambda model: prices_of(model, openai))

    def _tell(self, text: str) -> None:
        self._say(text)

    def query_embedder(self, recipe: Recipe) -> Embedder:
        """The one that makes a recipe's query vectors. Raises ModelError."""
        from reindex.embedders.catalog import LOCAL

        if recipe.space.provider != LOCAL:
            book = partial(self._book_query, recipe.model)
            return self.provider().query_embedder(recipe, book)
        try:
            with self.ledger() as ledger:  # it only saves hashing the model: a query does without if need be
                return self.embedder(recipe, self.catalog(ledger))
        except StoreError:
            return self.embedder(recipe, self.catalog(None))

    def _book_query(self, model: str, texts: int, tokens: int) -> None:
        """Queries are paid for too. What can't be booked now, because another writes, goes with the next."""
        from reindex.core.jobs import Lane
        from reindex.lanes import prices_of
        from reindex.stores.booking_rows import Booking, Outcome

        self._unbooked.append((model, texts, tokens))
        try:
            with closing(Ledger.open_beside(self.data_dir)) as ledger:
                while self._unbooked:
                    model, texts, tokens = self._unbooked[0]
                    usd = prices_of(model, self.settings.embedding.openai).cost(Lane.REALTIME, tokens)
                    booking = Booking(Lane.REALTIME, model, Outcome.QUERY, texts, tokens, usd)
                    ledger.bookings.add(booking, self.clock.now())
                    self._unbooked.popleft()
        except StoreError:
            return

    def model_processes(self, niceness: int, say: Callable[[str], None] = lambda _: None) -> ModelProcesses:
        """Local models in processes of their own, for the `embedder_for` of an App; their owner closes them.

        `niceness` is added to this process's own: 10 for what may wait, 0 for what somebody waits for.
        """
        from reindex.embedders.local import LocalOptions
        from reindex.embedders.pool import ModelProcesses

        embedding = self.settings.embedding
        options = LocalOptions(self.data_dir, embedding.backend, embedding.threads, say)
        return ModelProcesses(self._find_model, options, niceness)

    def reader(self) -> Reader:
        """A reader that keeps the query model once it is loaded."""
        from reindex.search import Reader

        def embed_query(recipe: Recipe, sent: str) -> Vector:
            embedder = self._embedders.get(recipe.space.fingerprint) or self.query_embedder(recipe)
            vector: Vector = embedder.embed([sent])[0]
            return vector

        return Reader(self.data_dir, embed_query)

    def _find_model(self, recipe: Recipe) -> LocalModel:
        try:
            with self.ledger() as ledger:
                return self.catalog(ledger).find_for(recipe)
        except StoreError:
            return self.catalog(None).find_for(recipe)
