"""When the kernel told not all, or nothing: everything in doubt is looked at, and it is said."""

import errno
import shutil
import threading
from dataclasses import replace

import pytest

from daemon.conftest import LIMIT_S, Kept
from doubles import House, paragraphs
from reindex.settings import DaemonSettings
from reindex.sources import inotify, roots, watches


def names(kept):
    return {layout.name.path for layout in kept.house.snapshot().layouts()}


def test_the_queue_of_the_kernel_runs_over(kept, quickly, monkeypatch):
    docs, gate = kept.house.docs, threading.Event()
    read = inotify.Inotify._read

    def read_when_open(self):
        assert gate.wait(LIMIT_S)
        read(self)

    monkeypatch.setattr(inotify.Inotify, "_read", read_when_open)
    for turn in range(60):
        for number in range(200):
            (docs / f"{number}.md").write_text(f"Note {number % 10} of turn {turn // 59}.")
    (docs / "born").mkdir()
    (docs / "born" / "late.md").write_text("Nobody told of this folder.")
    gate.set()
    kept.until(lambda: kept.condition.overflows)
    kept.until_equal()
    kept.house.write("born/later.md", "And it is heard of from then on.")
    kept.until_equal()
    assert not kept.house.embedder.paid_twice


def test_too_many_events_to_keep_are_given_up_as_the_kernel_does(kept, quickly, monkeypatch):
    monkeypatch.setattr(inotify, "QUEUED_BYTES_MAX", 100)
    told = threading.Event()
    monkeypatch.setattr(kept.keeper._watcher._watches._inotify, "_told", told.set)  # nobody takes them
    for number in range(50):
        kept.house.write(f"{number}.md", f"Note {number}.")
        assert told.wait(LIMIT_S)
        told.clear()
    kept.keeper._wake()
    kept.until(lambda: kept.condition.overflows)
    kept.until_equal()


def test_more_paths_than_can_be_kept_are_looked_at_whole(kept, quickly, monkeypatch):
    monkeypatch.setattr("reindex.sources.watcher.HINTS_MAX", 20)
    for number in range(50):
        kept.house.write(f"{number}.md", f"Note {number}.")
    kept.until_equal()


def test_a_clock_that_steps_costs_nothing(kept, monkeypatch):
    sent = kept.house.embedder.sent.total()
    for ahead_s in (3600.0, -3600.0, 0.0):
        passes = kept.condition.passes
        kept.house.clock.ahead_s = ahead_s
        monkeypatch.setattr(roots, "_clocks", lambda ahead_s=ahead_s: (ahead_s, 0.0))
        kept.keeper._wake()
        kept.until(lambda passes=passes: kept.condition.passes > passes)
        kept.until_equal()
    assert kept.house.embedder.sent.total() == sent
    kept.house.write("new.md", "Found at any hour.")
    kept.until_equal()


def limit_watches(monkeypatch, limit):
    """As many watches as `limit[0]` says, as the kernel's own limit would."""
    plain, held = inotify.Inotify.watch, set()

    def watch(self, folder):
        if folder not in held and len(held) >= limit[0]:
            raise OSError(errno.ENOSPC, "no space left", folder)
        held.add(folder)
        return plain(self, folder)

    monkeypatch.setattr(inotify.Inotify, "watch", watch)


def test_folders_over_the_limit_of_watches_are_polled_and_said(house, quickly, monkeypatch):
    limit = [10]
    limit_watches(monkeypatch, limit)
    for number in range(30):
        house.write(f"f{number}/a.md", f"File {number}.")
    with Kept(house) as kept:
        assert kept.condition.watches == 10
        assert kept.condition.state == "degraded"
        assert "fs.inotify.max_user_watches" in kept.condition.reasons()[0]
        assert "21 folders" in kept.condition.reasons()[0]
        for number in range(30):
            house.write(f"f{number}/b.md", f"Another file {number}.")
        kept.until_equal()
        limit[0] = 1000
        kept.until(lambda: kept.condition.state == "ready")
        assert kept.condition.watches == 31


def test_a_folder_that_could_not_be_watched_and_is_gone_is_not_complained_of(house, quickly, monkeypatch):
    limit_watches(monkeypatch, [1])
    house.write("first.md", "The first.")
    house.write("a/b/c.md", "Below.")
    with Kept(house) as kept:
        assert "2 folders" in kept.condition.reasons()[0]
        shutil.rmtree(house.docs / "a")
        kept.until(lambda: kept.condition.state == "ready")
        kept.until_equal()


def test_without_an_instance_everything_is_polled(house, quickly, monkeypatch):
    def refuse(told):
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(watches, "Inotify", refuse)
    house.write("first.md", "The first.")
    with Kept(house) as kept:
        assert "fs.inotify.max_user_instances" in kept.condition.reasons()[0]
        house.write("a/b.md", "Another.")
        kept.until_equal()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_reads_no_more_is_told_of_and_everything_polled(kept, monkeypatch):
    """A bug, or no memory: what nobody empties is not waited for."""

    def fail(self):
        raise MemoryError

    monkeypatch.setattr(inotify.Inotify, "_read", fail)
    kept.house.write("a/b.md", "Another.")
    kept.until(lambda: not kept.keeper._watcher._watches.are_possible)
    kept.keeper._wake()
    kept.until_equal()
    assert kept.condition.state == "degraded"


def test_a_file_system_that_tells_of_nothing_is_polled(house, quickly, monkeypatch):
    monkeypatch.setattr(roots, "file_system_of", lambda _: "nfs4")
    monkeypatch.setattr("reindex.sources.watcher.Watcher._hear", lambda *_: None)
    house.write("first.md", "The first.")
    with Kept(house) as kept:
        assert "nfs4" in kept.condition.reasons()[0]
        house.write("a/b.md", "Another.")
        kept.until_equal()
        (house.docs / "first.md").unlink()
        kept.until_equal()
        assert names(kept) == {"a/b.md"}


def test_folders_and_files_that_may_not_be_read_for_a_while(no_override, quickly, kept):
    house = kept.house
    for name in ("open/a.md", "closed/a.md", "closed/in/b.md"):
        house.write(name, f"This is {name}.")
    kept.until_equal()
    known = names(kept)
    (house.docs / "closed").chmod(0)
    (house.docs / "open" / "a.md").chmod(0)
    kept.until(lambda: house.verify().failed == 3)
    assert names(kept) == known, "the last good state is kept"
    kept.until(lambda: "can't be watched" in " ".join(kept.condition.reasons()))
    sent = house.embedder.sent.total()
    (house.docs / "closed").chmod(0o755)
    (house.docs / "open" / "a.md").chmod(0o644)
    kept.until(lambda: house.verify().failed == 0)
    kept.until_equal()
    assert house.embedder.sent.total() == sent
    kept.until(lambda: kept.condition.state == "ready")
    house.write("closed/in/c.md", "Heard again.")
    kept.until_equal()


def test_folders_that_could_not_be_read_at_the_start(no_override, quickly, house):
    house.write("first.md", "The first.")
    house.write("closed/a.md", "Not to be read.")
    (house.docs / "closed").chmod(0)
    with Kept(house) as kept:
        assert "can't be watched" in kept.condition.reasons()[0]
        (house.docs / "closed").chmod(0o755)
        kept.until(lambda: "closed/a.md" in names(kept))


@pytest.mark.parametrize("name", [".gitignore", "sub/.reindexignore"])
def test_an_ignore_file_is_edited(kept, name):
    house = kept.house
    for path in ("a.md", "sub/a.md", "sub/b/c.md", "sub/other.md"):
        house.write(path, f"This is {path}.")
    kept.until_equal()
    everything = names(kept)
    house.write(name, "a.md\nb/\n")
    kept.until_equal()
    assert names(kept) == everything - {"sub/a.md", "sub/b/c.md"} - ({"a.md"} if "/" not in name else set())
    (house.docs / name).unlink()
    kept.until_equal()
    assert names(kept) == everything
    assert not house.embedder.paid_twice
    house.write("sub/b/d.md", "A folder that is wanted again is heard of again.")
    kept.until_equal()


def test_the_data_directory_in_a_source_is_neither_watched_nor_heard(tmp_path):
    house = House(tmp_path, data_dir=tmp_path / "docs" / ".reindex")
    house.settings = replace(house.settings, daemon=DaemonSettings(http="", reconcile_s=1e9))
    house.write("first.md", "The first.")
    with Kept(house) as kept:
        passes = kept.condition.passes
        for number in range(3):
            house.write("first.md", paragraphs(number))
            kept.until_equal()
        assert kept.condition.passes == passes + 3
        assert kept.condition.watches == 1
