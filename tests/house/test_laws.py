"""The laws under arbitrary histories: a folder is changed at will, runs crash anywhere, files of the store
are lost, time passes; after each run that ends, the index equals the disk, whole, and nothing was paid twice.
"""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from doubles import COMMITS, POINTS, UPKEEP, Crash, House, check_whole, contents, paragraphs, watched
from reindex.errors import NothingIndexedError
from reindex.maintenance import collect_garbage
from reindex.search import SearchMode
from reindex.stores.lance import TableMissingError

FOLDERS = ("", "d/", "d/e/", "f/")
NAMES = ("a.md", "b.md", "c.txt", "n.ipynb")
PATHS = tuple(folder + name for folder in FOLDERS for name in NAMES)
TEXTS = st.lists(st.integers(0, 25), max_size=12).map(lambda numbers: paragraphs(*numbers))
IGNORES = st.sampled_from(["*.txt\n", "d/\n", "*\n!a.md\n", "b.md\nf/*\n", "d/e/\n!d/e/a.md\n", ""])
BROKEN = {".md": b"a NUL \0 in it", ".txt": b"\0", ".ipynb": b"{ no notebook"}
CRASHES = [*POINTS, *(f"{side} {name}" for name in UPKEEP for side in ("before", "after"))]


class Laws(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="laws-"))
        self.house = House(self.folder, optimize_small_fragments=6)
        self.docs = self.house.docs
        self.reader = self.house.reader()
        self.allowed = {}  # text -> how often it may be paid, above once
        self.is_dark = True  # nothing was published yet, or the table was taken away
        self.is_cache_lost = False
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

    # The disk.

    def files(self):
        return sorted(path for path in self.docs.rglob("*") if path.is_file() and "ignore" not in path.name)

    def make_room(self, path):
        """What is in the way, a file for a folder or a folder for a file, goes."""
        for parent in reversed(path.relative_to(self.docs).parents):
            if (self.docs / parent).is_file():
                (self.docs / parent).unlink()
        if path.is_dir():
            shutil.rmtree(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def chosen(self, data):
        files = self.files()
        return data.draw(st.sampled_from(files)) if files else None

    @initialize(texts=st.lists(st.tuples(st.sampled_from(PATHS[:3]), TEXTS), max_size=3))
    def begin(self, texts):
        for path, text in texts:
            self.house.write(path, text)

    @rule(path=st.sampled_from(PATHS), text=TEXTS)
    def write(self, path, text):
        self.make_room(self.docs / path).write_text(text if not path.endswith("ipynb") else notebook(text))

    @rule(data=st.data(), at=st.integers(0, 12), number=st.integers(26, 60))
    def edit_a_paragraph(self, data, at, number):
        path = self.chosen(data)
        if path is not None and path.suffix != ".ipynb":
            parts = path.read_bytes().split(b"\n\n")
            parts[at % len(parts)] = paragraphs(number).encode().strip()
            path.write_bytes(b"\n\n".join(parts))

    @rule(data=st.data(), text=TEXTS)
    def append(self, data, text):
        path = self.chosen(data)
        if path is not None:
            self.saved.append(path.read_bytes())
            with path.open("ab") as file:
                file.write(b"\n" + text.encode())

    @rule(data=st.data(), to=st.sampled_from(PATHS), is_copy=st.booleans())
    def move_or_copy(self, data, to, is_copy):
        path = self.chosen(data)
        if path is not None:
            content = path.read_bytes()
            if not is_copy:
                path.unlink()
            self.make_room(self.docs / to).write_bytes(content)

    @rule(before=st.sampled_from(["d", "f", "d/e"]), after=st.sampled_from(["d", "f", "g", "f/h"]))
    def move_a_folder(self, before, after):
        old, new = self.docs / before, self.docs / after
        if old.is_dir() and not new.is_relative_to(old) and not old.is_relative_to(new):
            self.make_room(new)
            old.rename(new)

    @rule(data=st.data())
    def delete(self, data):
        path = self.chosen(data)
        if path is not None:
            self.saved.append(path.read_bytes())
            path.unlink()

    @rule(data=st.data(), text=TEXTS)
    def swap_a_file_for_a_folder(self, data, text):
        path = self.chosen(data)
        if path is not None:
            path.unlink()
            self.house.write(os.path.relpath(path / "inner.md", self.docs), text)

    @rule(data=st.data())
    def touch(self, data):
        path = self.chosen(data)
        if path is not None:
            path.touch()

    @rule(data=st.data())
    def put_back_what_was(self, data):
        path = self.chosen(data)
        if path is not None and self.saved:
            path.write_bytes(data.draw(st.sampled_from(self.saved)))

    @rule(data=st.data(), path=st.sampled_from(PATHS))
    def break_a_file(self, data, path):
        target_path = self.make_room(self.docs / path)
        if target_path.exists():
            self.saved.append(target_path.read_bytes())
        target_path.write_bytes(BROKEN[target_path.suffix])

    @rule(name=st.sampled_from([".gitignore", ".reindexignore", "d/.gitignore"]), rules=IGNORES)
    def change_what_is_ignored(self, name, rules):
        if not (self.docs / name).parent.is_file():
            self.house.write(name, rules)

    @rule()
    def quiet_time_passes(self):
        """From now on a stat can be trusted: what is on disk is seconds older than the next look."""
        self.house.clock.ahead_s += 3.0

    # The store.

    def run(self, crash=None, nth=1, **options):
        """One sync; the reader that is held open looks at every commit. None if it crashed."""
        count = 0

        def reached(where):
            nonlocal count
            if "5 pointer" in where or where in {"before 3 table", "before 3b delete", "before 4 record"}:
                self.look()
            if where == crash:
                count += 1
                if count == nth:
                    if where == "before 2 cache":
                        self.allow(self.house.embedder.batches[-1:])
                    raise Crash(where)

        with watched(reached, COMMITS | UPKEEP):
            try:
                report = self.house.sync(**options)
            except Crash:
                return None
        self.is_dark = self.is_cache_lost = False
        self.check(report, **options)
        return report

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

    @rule()
    def collect_garbage(self):
        with self.house.app.writer("gc", lambda _: None) as writer:
            collect_garbage(writer, self.house.settings)

    @rule()
    def reopen_the_reader(self):
        self.reader = self.house.reader()

    @rule(name=st.sampled_from(["ledger.sqlite", "published.json", "cache.sqlite", "lance"]))
    def lose(self, name):
        """With the cache goes what only the cache had, and what the table had if that is lost before the next
        run; with the pointer or the table all answers until then.
        """
        held = set()
        if name == "cache.sqlite":
            with suppress(NothingIndexedError, TableMissingError):
                held = {text for texts in self.reader.with_snapshot(check_whole).values() for text in texts}
        if name == "cache.sqlite" or self.is_cache_lost:
            self.allow([[text for text in self.house.embedder.sent if text not in held]])
        self.is_cache_lost |= name == "cache.sqlite"
        self.is_dark |= name in {"published.json", "lance"}
        if name == "lance":
            shutil.rmtree(self.house.data_dir / name, ignore_errors=True)
            return
        for suffix in ("", "-wal", "-shm"):
            (self.house.data_dir / (name + suffix)).unlink(missing_ok=True)

    # The laws.

    @invariant()
    def look(self):
        """Whole documents, at any moment; and an answer, once something was published."""
        try:
            self.reader.with_snapshot(check_whole)
            for hit in self.reader.search("paragraph", k=50, mode=SearchMode.TEXT).hits:
                assert "Paragraph" in hit.text or hit.text
        except (NothingIndexedError, TableMissingError):
            assert self.is_dark, "search went dark"

    def check(self, report, **options):
        """After a run that ended."""
        found = self.house.verify(deep=True)
        assert found.ok, found
        assert report.documents.failed == found.failed
        assert report.documents.held == found.held
        assert report.documents.pending == 0
        if options.get("accept_deletes"):
            assert not found.held
        if not self.ignore_files() and not found.held:
            self.check_names(found)
        assert not self.house.open_jobs()
        assert min(vars_of(report)) >= 0
        self.check_paid_once()

    def check_names(self, found):
        """Told from the disk alone: every file is in the index but those that fail, and nothing else is."""
        names = {name.path for name in contents(self.house.snapshot())[0]}
        on_disk = {p.relative_to(self.docs).as_posix(): p for p in self.files()}
        broken = {name for name, path in on_disk.items() if is_broken(path)}
        assert names <= on_disk.keys()
        assert on_disk.keys() - names <= broken
        assert found.failed == len(broken)

    def ignore_files(self):
        return [path for path in self.docs.rglob(".*ignore") if path.read_bytes()]

    def check_paid_once(self):
        for text, count in self.house.embedder.paid_twice.items():
            assert count <= 1 + self.allowed.get(text, 0), f"paid {count} times: {text!r}"

    def check_equals_an_index_from_nothing(self):
        mine, rows = contents(self.house.snapshot())
        other, other_rows = contents(self.house.rebuilt(self.folder / "other").snapshot())
        assert mine == other
        assert rows == other_rows


def is_broken(path):
    """Whether its parser must refuse it."""
    content = path.read_bytes()
    if path.suffix != ".ipynb" or not content.strip():
        return b"\0" in content
    try:
        json.loads(content)
    except ValueError:
        return True
    return False


def notebook(text):
    cells = [{"cell_type": "markdown", "source": part} for part in text.split("\n\n")]
    return json.dumps({"cells": cells, "nbformat": 4})


def vars_of(report):
    return (*astuple(report.documents), *astuple(report.chunks), report.tokens_embedded, report.commits)


if settings.get_current_profile_name() == "deep":
    Laws.TestCase.settings = settings(max_examples=400, stateful_step_count=50)
else:  # shrinking takes minutes: the failure as it was found, and the deep profile to make it small
    Laws.TestCase.settings = settings(
        max_examples=12, stateful_step_count=25, phases=[Phase.explicit, Phase.reuse, Phase.generate]
    )
test_the_laws_hold = Laws.TestCase
