"""Thousands of files at once: none is missing, and what ends as it began costs nothing."""

import os
import resource
import subprocess
import sys
import time

import pytest

from daemon.conftest import Kept

BIG = bool(os.environ.get("BIG"))

WRITER = """
import os, sys
folder, count = sys.argv[1], int(sys.argv[2])
for part in range(50):
    os.mkdir(f"{folder}/{part}")
for number in range(count):
    with open(f"{folder}/{number % 50}/{number}.md", "w") as file:
        file.write(f"Note {number % 100}.")
"""


def git(folder, *arguments):
    identity = ("-c", "user.name=x", "-c", "user.email=x", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def cpu_s():
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


@pytest.mark.slow
def test_files_made_as_fast_as_the_machine_can(house):
    count = 50_000 if BIG else 5_000
    house.with_default_windows()
    house.write("first.md", "The first.")
    with Kept(house) as kept:
        started, before = time.monotonic(), cpu_s()
        subprocess.run([sys.executable, "-c", WRITER, str(house.docs), str(count)], check=True)
        made_s = time.monotonic() - started
        recorded = len(range(count)) + 1
        kept.until(lambda: kept.is_idle and documents(house) == recorded, 600)
        took_s, took_cpu_s = time.monotonic() - started, cpu_s() - before
        print(
            f"{count} files in {made_s:.1f} s; all indexed after {took_s:.1f} s and {took_cpu_s:.1f} CPU s,"
        )
        print(f"{kept.condition.overflows} overflows, {kept.condition.passes} passes")
        kept.until_equal(600)
        assert kept.condition.overflows == 0
        assert not house.embedder.paid_twice


def documents(house):
    with house.ledger() as ledger:
        return ledger.documents.totals(house.published().generation)[0]


@pytest.fixture
def repository(house):
    """With two branches that differ in all files."""
    house.with_default_windows()
    git(house.docs, "init", "-q", "-b", "main")
    count = 5_000 if BIG else 600
    for branch in ("main", "other"):
        if branch == "other":
            git(house.docs, "checkout", "-q", "-b", "other")
        for number in range(count):
            house.write(f"{number % 50}/{number}.md", f"Note {number % 40} of {branch}.")
        git(house.docs, "add", ".")
        git(house.docs, "commit", "-q", "-m", branch)
    git(house.docs, "checkout", "-q", "main")
    return house


def test_a_branch_that_is_switched_there_and_back_costs_nothing(repository):
    with Kept(repository) as kept:
        sent, passes = repository.embedder.sent.total(), kept.condition.passes
        git(repository.docs, "checkout", "-q", "other")
        git(repository.docs, "checkout", "-q", "main")
        kept.until(lambda: kept.condition.passes > passes)
        kept.until_equal()
        assert repository.embedder.sent.total() == sent


def test_a_branch_that_is_switched_is_taken_at_once(repository):
    with Kept(repository) as kept:
        passes = kept.condition.passes
        git(repository.docs, "checkout", "-q", "other")
        kept.until_equal()
        assert kept.condition.passes <= passes + 2
        assert not repository.embedder.paid_twice


def test_a_burst_waits_while_git_holds_its_lock(house, quickly, monkeypatch):
    git(house.docs, "init", "-q")
    lock = house.docs / ".git" / "index.lock"
    house.write("first.md", "The first.")
    with Kept(house) as kept:
        passes = kept.condition.passes
        lock.touch()
        for number in range(50):
            house.write(f"{number}.md", f"Note {number}.")
        kept.until(lambda: kept.condition.waiting >= 50 and kept.condition.waiting_s > 1)
        assert kept.condition.passes == passes
        lock.unlink()
        kept.until_equal()
        monkeypatch.setattr("reindex.sources.watcher.LOCKED_MAX_S", 0.5)
        lock.touch()  # left behind by a crash: that is not waited for without end
        for number in range(50):
            house.write(f"{number}.md", f"Another note {number}.")
        kept.until_equal()


def test_a_single_save_does_not_wait_for_a_lock(house):
    git(house.docs, "init", "-q")
    (house.docs / ".git" / "index.lock").touch()
    house.write("first.md", "The first.")
    with Kept(house) as kept:
        house.write("a.md", "Another.")
        kept.until_equal(10)
