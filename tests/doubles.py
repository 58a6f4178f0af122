"""What tests put in the place of the model and of a crash, and the folder they do it in.

SQLite, LanceDB, the parsers, the tokenizer and the disk are always the real ones.
"""

import hashlib
import os
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np

import reindex.writer
from logging_model import hash_vectors
from reindex import verify
from reindex.app import App
from reindex.core.canary import CANARY_TEXT
from reindex.core.identity import document_id, embedding_key
from reindex.errors import EmbeddingError
from reindex.maintenance import collect_garbage
from reindex.parsers.process import ParserProcess
from reindex.rebuilding import RebuildOptions, rebuild
from reindex.search import Reader
from reindex.settings import (
    ChunkingSettings,
    EmbeddingSettings,
    IndexSettings,
    ParsingSettings,
    PromotionSettings,
    Settings,
    SourceSettings,
)
from reindex.stores.cache import VectorCache
from reindex.stores.document_rows import DocumentRows
from reindex.stores.file_rows import FileRows
from reindex.stores.generation_rows import GenerationRows
from reindex.stores.index import GenerationTable
from reindex.stores.job_rows import JobRows
from reindex.stores.ledger import Ledger
from reindex.stores.pointer import Pointer
from reindex.stores.snapshot import Snapshot
from reindex.switching import promote_generation, rollback
from reindex.syncing import sync
from reindex.verifying import run_verify
from reindex.writer import Writer


class HashEmbedder:
    """A model that is no model: one for all openings of a store, so that it knows what was paid twice."""

    def __init__(self):
        self.sent = Counter()  # each text, whatever the space
        self.spaces = {}  # dimensions -> the same of that space
        self.batches = []
        self.is_down = False
        self.refuses = frozenset()
        self.before_batch = lambda: None

    def for_recipe(self, recipe):
        return _Lane(self, recipe.space.dimensions)

    @property
    def paid_twice(self):
        """The texts that were sent more than once in one space: how often in that one."""
        twice = Counter()
        for sent in self.spaces.values():
            twice |= Counter({text: count for text, count in sent.items() if count > 1})
        return twice


class _Lane:
    def __init__(self, log, dimensions):
        self._log, self._dimensions = log, dimensions

    def embed(self, texts):
        self._log.before_batch()
        if self._log.is_down:
            raise EmbeddingError("the provider is down")
        refused = self._log.refuses.intersection(texts)
        if refused:
            raise EmbeddingError(f"refused: {min(refused)[:20]!r}")
        billed = [text for text in texts if text != CANARY_TEXT]
        self._log.sent.update(billed)
        self._log.spaces.setdefault(self._dimensions, Counter()).update(billed)
        self._log.batches.append(list(texts))
        return hash_vectors(texts, self._dimensions)


class OffsetClock:
    """Real time, moved ahead at will."""

    def __init__(self):
        self.ahead_s = 0.0

    def now(self):
        return time.time() + self.ahead_s

    def now_ns(self):
        return time.time_ns() + int(self.ahead_s * 1e9)


class Told:
    """A Progress that keeps what it was warned of."""

    def __init__(self):
        self.warnings = []

    def phase(self, name, total, unit): ...
    def advance(self, amount): ...
    def planned(self, documents): ...
    def waiting(self): ...
    def count(self, *, documents, chunks): ...
    def close(self): ...
    def warn(self, message):
        self.warnings.append(message)


class Crash(BaseException):
    """The process ends here. (Nothing of ours catches BaseException; tests/cli has the real kill -9.)"""


# The five commits, and what happens between and around them: name -> the method that does it.
COMMITS = {
    "1 job": (JobRows, "enqueue"),
    "2 cache": (VectorCache, "put"),
    "3 table": (GenerationTable, "apply"),
    "3b delete": (GenerationTable, "_delete"),  # between the two Lance commits of an apply
    "4 record": (Ledger, "record"),
    "5 pointer": (Pointer, "write"),
}
UPKEEP = {
    "create": (GenerationTable, "create"),
    "add generation": (GenerationRows, "add"),
    "restore": (GenerationTable, "restore"),
    "optimise": (GenerationTable, "optimise"),
    "prune": (GenerationTable, "prune"),
    "version": (GenerationRows, "record_version"),
    "publish log": (GenerationRows, "record_publish"),
    "state": (GenerationRows, "change_state"),
    "vector index": (GenerationTable, "build_vector_index"),
    "record again": (DocumentRows, "replace_all"),
    "looks": (FileRows, "record"),
    "job state": (JobRows, "change_state"),
    "complete": (VectorCache, "mark_complete"),
    "files": (Writer, "record_files"),
    "promote": (GenerationRows, "promote"),
    "behind": (GenerationRows, "record_behind"),
    "indices": (GenerationTable, "create_indices"),
    "remove table": (reindex.writer, "remove_table"),
}
POINTS = [f"{side} {name}" for name in COMMITS for side in ("before", "after")]


@contextmanager
def watched(reached, methods=COMMITS):
    """Call `reached("before 1 job")` and so on around every commit; it may raise Crash."""
    with ExitStack() as stack:
        for name, (owner, method) in methods.items():
            stack.enter_context(mock.patch.object(owner, method, _around(owner, method, name, reached)))
        yield


def _around(owner, method, name, reached):
    plain = owner.__dict__[method]
    is_static = isinstance(plain, staticmethod)
    call = plain.__func__ if is_static else plain

    def wrapper(*arguments, **options):
        reached(f"before {name}")
        result = call(*arguments, **options)
        reached(f"after {name}")
        return result

    return staticmethod(wrapper) if is_static else wrapper


@contextmanager
def crash_at(point, nth=1):
    """The process ends the nth time that this point is reached. Yields a list that says whether it was."""
    seen = []

    def reached(where):
        if where == point:
            seen.append(where)
            if len(seen) == nth:
                raise Crash(point)

    with watched(reached, COMMITS | UPKEEP):
        yield seen


@cache
def _shared_parser():
    """One for all houses of this process, as a daemon has it; it ends with this process."""
    return ParserProcess(ParsingSettings())


_INDEX_SAMPLE = verify.INDEX_SAMPLE_CHUNKS if "EVERY_POINT" in os.environ else 6
_TOKENIZERS = {}  # by digest, as an App keeps them: to load one takes longer than most syncs of a test


class House:
    """A folder of documents with its store, reopened for every step as a command does it."""

    def __init__(self, folder, *, docs=None, data_dir=None, embedder=None, clock=None, **index):
        self.docs = docs or folder / "docs"
        self.docs.mkdir(parents=True, exist_ok=True)
        self.data_dir = data_dir or folder / "index"
        self.embedder = embedder or HashEmbedder()
        self.clock = clock or OffsetClock()
        self.settings = Settings(
            data_dir=self.data_dir,
            sources=(SourceSettings(name="docs", path=self.docs),),
            chunking=ChunkingSettings(max_tokens=32),
            embedding=EmbeddingSettings(window_chunks=6, batch_tokens=64),
            index=IndexSettings(**index),
        )
        self.parser = _shared_parser()
        self.told = Told()

    def with_default_windows(self):
        """For many documents: the others have windows so small that every test has several."""
        self.settings = replace(self.settings, embedding=EmbeddingSettings())
        return self

    def write(self, path, text):
        target = self.docs / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text if isinstance(text, bytes) else text.encode())
        return target

    @property
    def app(self):
        return self._app(self.embedder)

    def _app(self, embedder):
        made = App(
            self.settings,
            self.docs.parent,
            self.clock,
            embedder_for=embedder.for_recipe,
            parser=self.parser,
        )
        made._tokenizers = _TOKENIZERS
        return made

    def sync(self, *, accept_deletes=False):
        self.told = Told()
        return sync(self.app, self.told, accept_deletes=accept_deletes)

    def rebuild(self, **options):
        self.told = Told()
        return rebuild(self.app, self.told, RebuildOptions(**options))

    def rollback(self, *, force=False):
        self.told = Told()
        return rollback(self.app, self.told, force=force)

    def promote(self, number, *, force=False):
        self.told = Told()
        return promote_generation(self.app, self.told, number, force=force)

    def collect_garbage(self):
        with self.app.writer("gc", lambda _: None) as writer:
            return collect_garbage(writer, self.settings)

    def with_dimensions(self, dimensions):
        """Another embedding space from now on."""
        embedding = replace(self.settings.embedding, dimensions=dimensions)
        self.settings = replace(self.settings, embedding=embedding)
        return self

    def with_probes(self, text, min_recall=0.0):
        """The probe file of the gate."""
        path = self.docs.parent / "probes.toml"
        path.write_text(text)
        self.settings = replace(self.settings, promotion=PromotionSettings(path, min_recall))

    def states(self):
        """Number -> state of every generation."""
        with self.app.ledger() as ledger:
            return {} if ledger is None else {g.number: g.state.value for g in ledger.generations.all()}

    def verify(self, *, deep=False):
        """With an embedder of its own: what verify embeds again to compare is not paid for the index."""
        return run_verify(self._app(HashEmbedder()), Told(), deep=deep)

    def verify_by_few(self):
        """Deeply, but that the indices are asked for a few chunks, others each time: to ask takes longest."""
        with mock.patch.object(verify, "INDEX_SAMPLE_CHUNKS", _INDEX_SAMPLE):
            return self.verify(deep=True)

    def crash(self, point, nth=1, **options):
        """A sync that ends at that point. Returns whether the point was reached at all."""
        with crash_at(point, nth) as seen:
            try:
                self.sync(**options)
            except Crash:
                return True
        assert len(seen) < nth
        return False

    def reader(self):
        return self.app.reader()

    def published(self):
        return Pointer(self.data_dir).read()

    def snapshot(self):
        return Snapshot.open(self.data_dir, self.published())

    def ledger(self):
        return self.app.ledger()

    def open_jobs(self):
        with self.app.ledger() as ledger:
            return [job for job in ledger.jobs.all() if job.state in {"planned", "submitting", "submitted"}]

    def rebuilt(self, folder):
        """The same documents in an index made from nothing, sharing no cache."""
        other = House(folder, docs=self.docs, data_dir=folder / "from-nothing")
        other.sync()
        return other

    def check(self):
        """After a sync in which nothing failed: the index is whole, equals the disk, and no work is open."""
        check_whole(self.snapshot())
        found = self.verify_by_few()
        assert found.ok, found
        assert not self.open_jobs()


def contents(snapshot):
    """All that an index holds, without what differs from build to build (when, and which version)."""
    documents = {
        layout.name: (layout.revision, layout.parser, layout.keys, layout.places)
        for layout in snapshot.layouts()
    }
    rows = sorted(
        (chunk.chunk_id, chunk.document, chunk.key, chunk.text, chunk.vector.tobytes())
        for chunk in snapshot.chunks()
    )
    return documents, rows


def check_whole(snapshot):
    """Law 2, told from the rows alone: each document's chunk rows are exactly those of its one layout, and
    each has the text and the vector of its key. Returns document name -> texts in reading order.
    """
    space = snapshot.published.recipe.space
    layouts = list(snapshot.layouts())
    assert len({layout.name for layout in layouts}) == len(layouts), "a document is there twice"
    rows = {}
    for chunk in snapshot.chunks():
        assert chunk.chunk_id not in rows, f"row {chunk.chunk_id} is there twice"
        rows[chunk.chunk_id] = chunk
    texts = {}
    for layout in layouts:
        texts[layout.name] = []
        for chunk_id, key in zip(layout.chunk_ids(), layout.keys, strict=True):
            assert chunk_id in rows, f"{layout.name} lacks a row"
            chunk = rows.pop(chunk_id)
            assert chunk.document == document_id(layout.name)
            assert embedding_key(space.fingerprint, space.document_prompt + chunk.text) == key
            assert np.array_equal(chunk.vector, hash_vectors([chunk.text], space.dimensions)[0])
            texts[layout.name].append(chunk.text)
    assert not rows, f"{len(rows)} rows belong to no document"
    return texts


def paragraphs(*numbers):
    """A text of paragraphs, each about one chunk; the same number is the same paragraph everywhere."""
    return "\n\n".join(_paragraph(number) for number in numbers) + "\n"


def _paragraph(number):
    words = [hashlib.sha256(f"{number} {i}".encode()).hexdigest() for i in range(3)]
    named = " ".join(_WORDS[int(word[:4], 16) % len(_WORDS)] for word in words)
    return f"Paragraph {number} speaks of {named} and of nothing else that matters to the reader today."


TESTS = Path(__file__).parent

_WORDS = "river stone lantern orchard copper sparrow winter harbour thimble meadow anvil ribbon".split()


__all__ = [
    "COMMITS",
    "POINTS",
    "TESTS",
    "UPKEEP",
    "Crash",
    "HashEmbedder",
    "House",
    "OffsetClock",
    "Reader",
    "Told",
    "check_whole",
    "contents",
    "crash_at",
    "hash_vectors",
    "paragraphs",
    "watched",
]
