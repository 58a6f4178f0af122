"""The laws under arbitrary histories: folders and settings are changed at will, runs crash or fail anywhere,
files of the store are lost, time passes; after each run that ends, the index equals the disk, whole, and
nothing was paid twice.
"""

import os
import random
import shutil
import tempfile
from contextlib import suppress
from dataclasses import astuple, replace
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from doubles import COMMITS, POINTS, UPKEEP, Crash, House, check_whole, contents, crash_at, watched
from house.laws_disk import DiskRules, is_broken
from house.laws_faults import FAULTS, failing
from house.laws_generations import GenerationRules
from house.laws_settings import SettingsRules
from reindex.embedders.catalog import recipe_for
from reindex.errors import ConfigError, NothingIndexedError, ReindexError
from reindex.maintenance import collect_garbage
from reindex.search import SearchMode
from reindex.stores.lance import TableMissingError
from reindex.stores.snapshot import Filter

CRASHES = [*POINTS, *(f"{side} {name}" for name in UPKEEP for side in ("before", "after"))]
LOOKS = {f"before {name}" for name in ("3 table", "3b delete", "4 record", "restore", "optimise", "prune")}


class Laws(DiskRules, SettingsRules, GenerationRules, RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="laws-"))
        for name in ("docs", "more", "outside"):
            (self.folder / name).mkdir()
        self.house = House(self.folder, optimize_small_fragments=6, vector_index_min_rows=80)
        self.other = House(self.folder, data_dir=self.folder / "second")
        self.reader = self.house.reader()
        self.chooser = random.Random(0)
        self.allowed = {}  # text -> how often it may be paid, above once
        self.is_dark = True  # nothing was published yet, or the table was taken away
        self.is_cache_lost = False
        self.is_settled = False  # the last run ended well, and nothing happened to the store since
        self.is_damaged = False
        self.saved = []

    def teardown(self):
        try:
            for path in self.files():
                if is_broken(path):
                    path.unlink()
            report = self.run(accept_deletes=True)
            if report is not None:
                self.check_equals_an_index_from_nothing()
                assert self.house.sync(accept_deletes=True).commits == 0, "a second run finds nothing to do"
                self.check_paid_once()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # The store.

    def run(self, crash=None, nth=1, **options):
        """One sync; the reader that is held open looks at every commit. None if it crashed."""
        count = 0

        def reached(where):
            nonlocal count
            if "5 pointer" in where or where in LOOKS:
                self.look()
            if where == crash:
                count += 1
                if count == nth:
                    if where == "before 2 cache":
                        self.allow(self.house.embedder.batches[-1:])
                    raise Crash(where)

        before = self.published()
        self.is_settled = False
        with watched(reached, COMMITS | UPKEEP):
            try:
                report = self.house.sync(**options)
            except Crash:
                return None
            except ConfigError as error:
                assert "can't be scanned" in error.message, error.message
                assert all(not os.path.isdir(source.path) for source in self.house.settings.sources)
                return None
        self.is_dark = self.is_cache_lost = self.is_damaged = False
        self.is_settled = True
        self.check(report, before, **options)
        return report

    def published(self):
        with suppress(NothingIndexedError):
            return self.house.published()
        return None

    def allow(self, batches):
        for batch in batches:
            for text in batch:
                self.allowed[text] = self.allowed.get(text, 0) + 1

    @rule(accept_deletes=st.booleans())
    def sync(self, accept_deletes):
        self.run(accept_deletes=accept_deletes)

    @rule(crash=st.sampled_from(CRASHES), nth=st.integers(1, 3), accept_deletes=st.booleans())
    def crash(self, crash, nth, accept_deletes):
        self.run(crash, nth, accept_deletes=accept_deletes)

    @rule(fault=st.sampled_from(FAULTS), nth=st.integers(1, 4))
    def fail(self, fault, nth):
        """A run that meets a fault says so with an error of ours, or it mends it and ends well."""
        sent = len(self.house.embedder.batches)
        with failing(fault, nth) as hits:
            with suppress(ReindexError):
                self.run(accept_deletes=True)
            if len(hits) >= nth and fault[0] == "cache.sqlite":
                self.allow(self.house.embedder.batches[sent:][-1:])

    @rule()
    def collect_garbage(self):
        with self.house.app.writer("gc", lambda _: None) as writer:
            collect_garbage(writer, self.house.settings)

    @rule(crash=st.sampled_from(CRASHES[len(POINTS) :]), nth=st.integers(1, 2))
    def crash_in_garbage_collection(self, crash, nth):
        with crash_at(crash, nth), suppress(Crash):
            self.collect_garbage()

    @rule()
    def reopen_the_reader(self):
        self.reader = self.house.reader()

    @rule(hours=st.sampled_from([0.001, 1, -1, 30 * 24]))
    def time_passes(self, hours):
        """Some seconds: from now on a stat can be trusted. An hour ahead or back: somebody set the clock."""
        self.house.clock.ahead_s += 3600 * hours

    @rule()
    def nothing_happens(self):
        """For a while: two looks find all as it was, and the second one compares no file."""
        self.house.clock.ahead_s += 10
        self.run(accept_deletes=False)
        self.run(accept_deletes=False)

    @rule()
    def a_second_store_of_the_same_documents(self):
        """In the first one's folder for a neighbour, with the settings as they are."""
        self.other.settings = replace(self.house.settings, data_dir=self.other.data_dir)
        with suppress(ConfigError):
            self.other.sync(accept_deletes=True)
            found = self.other.verify()
            assert found.ok, found

    @rule()
    def a_root_is_out_of_reach(self):
        """A vanished mount: what it held is held back, whatever else changed."""
        docs = self.folder / "docs"
        names = {source.name for source in self.house.settings.sources if source.path == docs}
        before = self.run()
        if before is None:
            return
        was = documents_of(self.house, names)
        docs.rename(self.folder / "unmounted")
        try:
            report = self.run()
            assert report is None or documents_of(self.house, names) == was
        finally:
            (self.folder / "unmounted").rename(docs)

    @rule(name=st.sampled_from(["ledger.sqlite", "published.json", "cache.sqlite", "lance"]))
    def lose(self, name):
        """With the cache goes what only the cache had, and what the table had if that is lost before the next
        run; with the pointer or the table all answers until then.
        """
        held, self.is_settled = set(), False
        if name == "cache.sqlite" and not self.is_damaged:
            with suppress(NothingIndexedError, TableMissingError):
                held = {text for texts in self.reader.with_snapshot(check_whole).values() for text in texts}
        if len(self.house.embedder.spaces) > 1:  # those of a generation that the ledger forgot are nowhere
            held = set()
        if name == "cache.sqlite" or self.is_cache_lost:
            self.allow([[text for text in self.house.embedder.sent if text not in held]])
        self.is_cache_lost |= name == "cache.sqlite"
        self.is_dark |= name in {"published.json", "lance"}
        if name == "lance":
            shutil.rmtree(self.house.data_dir / name, ignore_errors=True)
            return
        for suffix in ("", "-wal", "-shm"):
            (self.house.data_dir / (name + suffix)).unlink(missing_ok=True)

    @rule(at=st.integers(0, 200), way=st.sampled_from(["cut", "flip", "delete"]), share=st.floats(0, 1))
    def damage_the_table(self, at, way, share):
        """Any file of it: until the next run answers may be wrong, and after it they are not."""
        files = sorted(path for path in (self.house.data_dir / "lance").rglob("*") if path.is_file())
        if not files or not self.is_settled:  # (a cache that was lost meanwhile can't be filled again)
            return
        path = files[at % len(files)]
        content = path.read_bytes()
        byte = min(len(content) - 1, int(len(content) * share))
        if way == "flip" and content:
            path.write_bytes(content[:byte] + bytes([content[byte] ^ 16]) + content[byte + 1 :])
        elif way == "cut":
            os.truncate(path, max(0, byte))
        else:
            path.unlink()
        self.is_damaged = self.is_dark = True

    # The laws.

    @invariant()
    def look(self):
        """Whole documents, at any moment; and an answer, once something was published."""
        if self.is_damaged:
            return
        try:
            self.reader.with_snapshot(check_whole)
            self.reader.search("paragraph", k=50, mode=SearchMode.TEXT)
        except (NothingIndexedError, TableMissingError):
            assert self.is_dark, "search went dark"

    def check(self, report, before, **options):
        """After a run that ended."""
        found = self.house.verify_by_few()
        assert found.ok, found
        assert report.documents.failed == found.failed
        assert report.documents.held == found.held
        assert report.documents.pending == 0
        if options.get("accept_deletes"):
            assert not found.held
        if not found.held:
            self.check_names(found)
        self.check_recipe(report, before)
        self.check_answers()
        assert not self.house.open_jobs()
        assert min(*astuple(report.documents), *astuple(report.chunks), report.commits) >= 0
        self.check_paid_once()

    def check_names(self, found):
        """Told from disk and settings alone: every file is in the index but those that fail, and no other."""
        wanted = self.wanted_names()
        if wanted is None:
            return
        names = {(name.source, name.path) for name in contents(self.house.snapshot())[0]}
        broken = {name for name, path in wanted.items() if is_broken(Path(path))}
        assert names <= wanted.keys()
        assert wanted.keys() - names <= broken
        assert found.failed == len(broken)

    def check_recipe(self, report, before):
        """A generation stays on the recipe it was made by; that the settings want another is said."""
        wanted = self.wanted_recipe()
        now = self.house.published()
        if before is not None and before.generation == now.generation:
            assert now.recipe == before.recipe
        is_said = any("another recipe" in notice for notice in report.notices)
        assert is_said == (now.recipe.fingerprint != wanted)

    def wanted_recipe(self):
        """The fingerprint of what the settings ask for."""
        return recipe_for(self.house.settings, self.house.app.catalog(None)).fingerprint

    def check_answers(self):
        """A chunk is found by its own words and by its own vector: the indices hold what the rows hold."""
        snapshot = self.house.snapshot()
        layouts = {layout.name: layout for layout in snapshot.layouts()}
        rows = sorted(snapshot.chunks(), key=lambda chunk: chunk.chunk_id)
        paths = {chunk: layout.name for layout in layouts.values() for chunk in layout.chunk_ids()}
        for row in self.chooser.sample(rows, min(3, len(rows))):
            nearest = snapshot.nearest(row.vector, 1, Filter())
            assert nearest[0].text == row.text, "a vector does not find its own text"
            name = paths[row.chunk_id]
            limits = Filter(name.source, name.path)
            words = [hit.chunk_id for hit in snapshot.matching(row.text, 200, limits)]
            assert "Paragraph" not in row.text or row.chunk_id in words, "words do not find their own text"

    def check_paid_once(self):
        for text, count in self.house.embedder.paid_twice.items():
            assert count <= 1 + self.allowed.get(text, 0), f"paid {count} times: {text!r}"

    def check_equals_an_index_from_nothing(self):
        """By the live generation's own recipe."""
        recipe = self.house.published().recipe
        other = House(self.folder, data_dir=self.folder / "from-nothing")
        chunking = replace(
            self.house.settings.chunking, max_tokens=recipe.max_tokens, overlap_tokens=recipe.overlap_tokens
        )
        embedding = replace(self.house.settings.embedding, dimensions=recipe.space.dimensions)
        other.settings = replace(
            self.house.settings, data_dir=other.data_dir, chunking=chunking, embedding=embedding
        )
        other.sync()
        mine, rows = contents(self.house.snapshot())
        theirs, other_rows = contents(other.snapshot())
        assert mine == theirs
        assert rows == other_rows


def documents_of(house, sources):
    return {name: found for name, found in contents(house.snapshot())[0].items() if name.source in sources}


if settings.get_current_profile_name() == "deep":
    Laws.TestCase.settings = settings(max_examples=100, stateful_step_count=200)
else:  # shrinking takes minutes: the failure as it was found, and the deep profile to make it small
    Laws.TestCase.settings = settings(
        max_examples=12, stateful_step_count=25, phases=[Phase.explicit, Phase.reuse, Phase.generate]
    )
test_the_laws_hold = pytest.mark.slow(Laws.TestCase)
