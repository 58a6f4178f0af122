"""How programs save files: each is found, once, whole, and nothing beside it."""

import ctypes
import mmap
import os
import subprocess
import time

import pytest

from daemon.conftest import Kept
from doubles import paragraphs


@pytest.fixture
def docs(kept):
    """With a document that is saved again and again."""
    kept.house.write("a.md", paragraphs(1))
    kept.until_equal()
    return kept.house.docs


def texts(kept):
    return set(kept.house.embedder.sent)


def saved(kept, *numbers):
    """The document is found as these paragraphs, and nothing else was ever embedded for it."""
    kept.until_equal()
    expected = set(paragraphs(1, *numbers).strip().split("\n\n"))
    assert {text for text in texts(kept) if text.startswith("Paragraph")} == expected
    assert names(kept) == {"first.md", "a.md"}
    assert not kept.house.embedder.paid_twice


def names(kept):
    return {layout.name.path for layout in kept.house.snapshot().layouts()}


def test_created_modified_and_deleted(kept):
    house = kept.house
    for text in (paragraphs(1, 2), paragraphs(1, 3)):
        house.write("new.md", text)
        kept.until_equal()
    (house.docs / "new.md").unlink()
    kept.until_equal()
    assert kept.condition.passes == 4  # the first look, and one for each
    assert not house.embedder.paid_twice


def test_a_file_that_is_written_in_parts_is_taken_whole(kept):
    parts = paragraphs(1, 2, 3).split("\n\n")
    with (kept.house.docs / "slow.md").open("w") as file:
        for part in parts:
            file.write(part + "\n\n")
            file.flush()
            passes = kept.condition.passes
            end = time.monotonic() + 0.15  # longer than a saved file has to be quiet
            while time.monotonic() < end:
                assert kept.condition.passes == passes
    kept.until_equal()
    assert kept.condition.passes == 2
    assert texts(kept) >= set(paragraphs(1, 2, 3).strip().split("\n\n"))


def test_an_atomic_save(kept, docs):
    (docs / "a.md.tmp").write_text(paragraphs(2))
    (docs / "a.md.tmp").replace(docs / "a.md")
    saved(kept, 2)


def test_a_save_by_renaming_as_vim_does(kept, docs):
    (docs / "4913").touch()
    (docs / "4913").unlink()
    (docs / "a.md").rename(docs / "a.md~")
    (docs / "a.md").write_text(paragraphs(2))
    (docs / "a.md~").unlink()
    saved(kept, 2)


def test_a_save_that_empties_the_file_first(kept, docs):
    passes = kept.condition.passes
    with (docs / "a.md").open("w") as file:
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            assert kept.condition.passes == passes
        file.write(paragraphs(2))
    saved(kept, 2)
    assert kept.condition.passes == passes + 1


def test_a_save_as_jetbrains_does(kept, docs):
    (docs / "a.md___jb_tmp___").write_text(paragraphs(2))
    (docs / "a.md").rename(docs / "a.md___jb_old___")
    (docs / "a.md___jb_tmp___").rename(docs / "a.md")
    (docs / "a.md___jb_old___").unlink()
    saved(kept, 2)


def test_what_is_appended_to_a_file_that_stays_open(kept, docs, quickly):
    with (docs / "a.md").open("a") as file:
        file.write("\n" + paragraphs(2))
        file.flush()
        saved(kept, 2)


def test_what_is_written_through_a_map_is_found_when_the_file_is_closed(kept, docs):
    text = paragraphs(2).encode()
    with (docs / "a.md").open("r+b") as file:
        file.truncate(len(text))
        with mmap.mmap(file.fileno(), 0) as memory:
            memory[:] = text
            memory.flush()
    saved(kept, 2)


def test_what_is_written_through_a_map_that_stays_open_is_found_by_a_look_at_everything(kept, docs, quickly):
    text = paragraphs(2).encode()
    with (docs / "a.md").open("r+b") as file:
        file.truncate(len(text))
        with mmap.mmap(file.fileno(), 0) as memory:
            kept.until_equal()
            memory[:] = text
            memory.flush()
            kept.look_at_everything()
            kept.until_equal()
            assert set(paragraphs(2).strip().split("\n\n")) <= texts(kept)


def test_a_file_that_gets_its_name_when_it_is_whole(kept, quickly):
    """O_TMPFILE and linkat: nothing ever says that this name was closed."""
    docs = kept.house.docs
    descriptor = os.open(docs, os.O_TMPFILE | os.O_RDWR)
    os.write(descriptor, paragraphs(5).encode())
    link = ctypes.CDLL(None, use_errno=True).linkat
    at, follow = -100, 0x400
    assert link(at, f"/proc/self/fd/{descriptor}".encode(), at, bytes(docs / "a.md"), follow) == 0
    os.close(descriptor)
    kept.until_equal()
    assert names(kept) == {"first.md", "a.md"}


def test_other_bytes_of_the_same_size_and_time(kept, docs):
    before = (docs / "a.md").stat()
    (docs / "a.md").write_bytes((docs / "a.md").read_bytes().replace(b"Paragraph 1", b"Paragraph 7"))
    os.utime(docs / "a.md", ns=(before.st_atime_ns, before.st_mtime_ns))
    kept.until_equal()
    assert any(text.startswith("Paragraph 7") for text in texts(kept))


def test_times_and_modes_cost_nothing(kept, docs):
    sent = kept.house.embedder.sent.total()
    passes = kept.condition.passes
    os.utime(docs / "a.md", (1, 1))
    (docs / "a.md").chmod(0o600)
    kept.until(lambda: kept.condition.passes > passes)
    kept.until_equal()
    assert kept.house.embedder.sent.total() == sent


def test_forty_files_at_once_are_one_publish(house):
    house.with_default_windows()
    house.write("first.md", "The first document of all.")
    with Kept(house) as kept:
        passes, batches = kept.condition.passes, len(house.embedder.batches)
        for number in range(40):
            house.write(f"{number}.md", f"Note {number}.")
        kept.until_equal()
        assert kept.condition.passes - passes <= 2
        assert len(house.embedder.batches) - batches <= 2


def test_a_copied_tree(kept, tmp_path, quickly):
    for folder in range(20):
        for number in range(20):
            path = tmp_path / "tree" / f"f{folder}" / "deep" / f"{number}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"File {number} of folder {folder}.")
    subprocess.run(["cp", "-r", tmp_path / "tree", kept.house.docs / "tree"], check=True)
    kept.until_equal()
    assert len(names(kept)) == 401
    assert not kept.house.embedder.paid_twice


def test_folders_made_with_what_is_in_them(kept, quickly):
    for number in range(100):
        kept.house.write(f"n{number}/a/b/c/d.md", f"File {number}.")
    kept.until_equal()
    assert len(names(kept)) == 101


def test_files_that_no_rule_takes_are_no_reason_to_look_or_to_wait(kept):
    """A compiler at work beside the documents."""
    passes = kept.condition.passes
    for number in range(200):
        kept.house.write(f"build.o.{number}", "No parser is for this.")
        kept.house.write(f"{number}.o", "Nor for that.")
    kept.house.write("saved.md", "A document is saved meanwhile.")
    kept.until_equal()
    assert kept.condition.passes == passes + 1
