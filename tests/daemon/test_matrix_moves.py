"""What goes elsewhere, comes from elsewhere, or turns into another thing."""

import ctypes
import os
import shutil
import socket
from dataclasses import replace

import pytest

from daemon.conftest import Kept
from doubles import paragraphs
from reindex.settings import SourceSettings

EXCHANGE = 2


@pytest.fixture
def tree(kept):
    """With a folder of documents in it."""
    for number in range(5):
        kept.house.write(f"a/s/{number}.md", paragraphs(10 * number, 10 * number + 1))
    kept.until_equal()
    return kept.house.docs


def names(kept):
    return {str(layout.name) for layout in kept.house.snapshot().layouts()}


def sent(kept):
    return kept.house.embedder.sent.total()


def five(folder):
    return {f"docs:{folder}/{number}.md" for number in range(5)}


def test_a_folder_that_is_renamed_costs_nothing(kept, tree):
    before = sent(kept)
    (tree / "a").rename(tree / "b")
    kept.until_equal()
    assert names(kept) == {"docs:first.md"} | five("b/s")
    assert sent(kept) == before


def test_a_folder_that_is_renamed_twice_costs_nothing_and_is_heard_there(kept, tree):
    before = sent(kept)
    (tree / "a").rename(tree / "b")
    (tree / "b").rename(tree / "c")
    kept.until_equal()
    assert names(kept) == {"docs:first.md"} | five("c/s")
    assert sent(kept) == before
    kept.house.write("c/s/0.md", paragraphs(999))
    kept.until_equal()


def test_what_is_written_in_a_folder_that_went_out_is_not_heard(kept, tree, tmp_path):
    (tree / "a").rename(tmp_path / "out")
    kept.until_equal()
    assert names(kept) == {"docs:first.md"}
    passes = kept.condition.passes
    (tmp_path / "out" / "s" / "ghost.md").write_text("A ghost.")
    (tmp_path / "out" / "s" / "0.md").write_text("Another.")
    kept.house.write("first.md", "Something to wait for.")
    kept.until_equal()
    assert kept.condition.passes == passes + 1
    assert names(kept) == {"docs:first.md"}
    assert kept.condition.watches == 1


def test_a_folder_that_comes_in_is_heard_from_then_on(kept, tree, tmp_path):
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (tmp_path / "other" / "deep" / "x.md").write_text(paragraphs(500))
    (tmp_path / "other").rename(tree / "came")
    kept.until_equal()
    kept.house.write("came/deep/x.md", paragraphs(501))
    kept.house.write("came/y.md", paragraphs(502))
    kept.until_equal()
    assert {"docs:came/deep/x.md", "docs:came/y.md"} <= names(kept)


def test_a_folder_that_goes_to_another_source_costs_nothing(house, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "stays.md").write_text("This one stays.")
    second = SourceSettings(name="other", path=other)
    house.settings = replace(house.settings, sources=(*house.settings.sources, second))
    house.write("first.md", "The first.")
    for number in range(5):
        house.write(f"a/s/{number}.md", paragraphs(10 * number, 10 * number + 1))
    with Kept(house) as kept:
        before = sent(kept)
        (house.docs / "a").rename(other / "a")
        kept.until_equal()
        assert sent(kept) == before
        assert "other:a/s/0.md" in names(kept)
        (other / "a" / "s" / "0.md").write_text(paragraphs(77))
        kept.until_equal()
        assert sent(kept) == before + 1


def test_a_removed_tree(kept, tree):
    shutil.rmtree(tree / "a")
    kept.until_equal()
    assert names(kept) == {"docs:first.md"}
    assert kept.condition.watches == 1


def test_a_folder_where_a_file_was_and_a_file_where_a_folder_was(kept, tree, quickly):
    (tree / "a" / "s" / "0.md").unlink()
    (tree / "a" / "s" / "0.md").mkdir()
    (tree / "a" / "s" / "0.md" / "in.md").write_text(paragraphs(300))
    kept.until_equal()
    assert "docs:a/s/0.md/in.md" in names(kept)
    shutil.rmtree(tree / "a" / "s" / "0.md")
    (tree / "a" / "s" / "0.md").write_text(paragraphs(301))
    kept.until_equal()
    assert names(kept) == {"docs:first.md"} | five("a/s")


@pytest.mark.parametrize(("one", "other"), [("a/s/0.md", "a/s/1.md"), ("a/s", "b"), ("a/s", "first.md")])
def test_two_names_are_exchanged(kept, tree, one, other):
    kept.house.write("b/9.md", paragraphs(900))
    kept.until_equal()
    before = sent(kept)
    rename = ctypes.CDLL(None, use_errno=True).renameat2
    assert rename(-100, bytes(tree / one), -100, bytes(tree / other), EXCHANGE) == 0
    kept.until_equal()
    assert sent(kept) == before
    for folder in ("a/s", "b"):
        if (tree / folder).is_dir():
            kept.house.write(f"{folder}/later.md", f"Later in {folder}.")
    kept.until_equal()


def test_links_are_not_followed(kept, tree, tmp_path):
    (tmp_path / "outside.md").write_text("Outside.")
    (tree / "loop").symlink_to(tree)
    (tree / "a" / "loop").symlink_to("..")
    (tree / "out.md").symlink_to(tmp_path / "outside.md")
    (tree / "dangling.md").symlink_to("nowhere.md")
    kept.house.write("last.md", "Something to wait for.")
    kept.until_equal()
    assert names(kept) == {"docs:first.md", "docs:last.md"} | five("a/s")


def test_a_file_that_is_written_by_its_other_name(kept, tree, quickly):
    os.link(tree / "first.md", tree / "a" / "linked.md")
    kept.until_equal()
    (tree / "a" / "linked.md").write_text(paragraphs(700))
    kept.until_equal()


def test_a_file_that_is_written_by_another_name_which_is_removed_at_once(kept, tree, quickly):
    os.link(tree / "first.md", tree / "a" / "linked.md")
    kept.until_equal()
    (tree / "a" / "linked.md").write_text(paragraphs(700))
    (tree / "a" / "linked.md").unlink()
    kept.until_equal()


def test_a_file_that_is_written_from_outside_is_found_by_a_look_at_everything(kept, tree, tmp_path):
    os.link(tree / "first.md", tmp_path / "outside.md")
    (tmp_path / "outside.md").write_text(paragraphs(700))
    assert not kept.house.verify().ok
    kept.look_at_everything()
    kept.until_equal()


def test_a_name_in_other_letters(kept, tree):
    before = sent(kept)
    (tree / "first.md").rename(tree / "FIRST.md")
    kept.until_equal()
    assert "docs:FIRST.md" in names(kept)
    assert sent(kept) == before


@pytest.mark.parametrize("name", [b"caf\xe9.md", b"two\nlines.md", b"n" * 252 + b".md", b"back\\slash.md"])
def test_odd_names(kept, name):
    path = bytes(kept.house.docs) + b"/" + name
    for number in (1, 2):
        with open(path, "w") as file:
            file.write(paragraphs(number))
        kept.until_equal()
        assert f"docs:{os.fsdecode(name)}" in names(kept)
    folder = bytes(kept.house.docs) + b"/" + name[:-3]
    os.mkdir(folder)
    os.rename(path, folder + b"/in.md")
    kept.until_equal()
    assert f"docs:{os.fsdecode(name[:-3])}/in.md" in names(kept)


def test_pipes_and_sockets_are_no_documents_and_hang_nothing(kept):
    docs = kept.house.docs
    os.mkfifo(docs / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(docs / "socket.md"))
        kept.house.write("last.md", "Something to wait for.")
        kept.until_equal()
    assert names(kept) == {"docs:first.md", "docs:last.md"}
