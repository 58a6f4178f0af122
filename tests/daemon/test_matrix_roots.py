"""The folder of a source goes, comes back, or is another: nothing is deleted by it, and it is heard again."""

import shutil
from dataclasses import replace

import pytest

from daemon.conftest import Kept
from doubles import House, paragraphs


def names(kept):
    return {layout.name.path for layout in kept.house.snapshot().layouts()}


def held(kept):
    with kept.house.ledger() as ledger:
        return {hold.source: hold.reason for hold in ledger.failures.holds()}


@pytest.fixture
def many(kept, quickly):
    for number in range(5):
        kept.house.write(f"a/{number}.md", paragraphs(number))
    kept.until_equal()
    return kept


def test_a_root_that_is_renamed_is_held_and_taken_up_again(many, tmp_path):
    docs, known, sent = many.house.docs, names(many), many.house.embedder.sent.total()
    docs.rename(tmp_path / "elsewhere")
    many.until(lambda: held(many))
    assert names(many) == known
    (tmp_path / "elsewhere" / "ghost.md").write_text("Not ours now.")
    (tmp_path / "elsewhere").rename(docs)
    many.until(lambda: not held(many))
    many.until_equal()
    assert names(many) == known | {"ghost.md"}
    assert many.house.embedder.sent.total() == sent + 1
    many.house.write("a/later.md", "Heard again.")
    many.until_equal()


def test_a_root_that_is_removed_and_made_again_is_held_until_its_documents_are_back(many):
    docs, known = many.house.docs, names(many)
    shutil.copytree(docs, docs.with_name("copy"))
    shutil.rmtree(docs)
    many.until(lambda: held(many))
    docs.mkdir()
    assert names(many) == known
    shutil.copytree(docs.with_name("copy"), docs, dirs_exist_ok=True)
    many.until(lambda: not held(many))
    many.until_equal()
    assert names(many) == known
    assert not many.house.embedder.paid_twice
    many.house.write("a/later.md", "Heard again.")
    many.until_equal()


def test_a_root_that_is_made_again_with_the_same_inode_number_is_heard(many):
    docs = many.house.docs
    before = docs.stat().st_ino
    for _ in range(50):
        shutil.rmtree(docs)
        docs.mkdir()
        if docs.stat().st_ino == before:
            break
    else:
        pytest.skip("this file system does not give a number out again")
    many.house.write("first.md", "The first document of all.")
    many.house.write("new.md", "Another.")
    many.until(lambda: "new.md" in names(many))
    many.house.write("later.md", "Heard.")
    many.until(lambda: "later.md" in names(many))


def test_a_root_that_is_missing_at_the_start(house, quickly):
    shutil.rmtree(house.docs)
    kept = Kept(house)
    kept._thread.start()
    try:
        kept.until(lambda: kept.condition.failure)
        assert "folder can't be scanned" in kept.condition.failure
        house.write("first.md", "There it is.")
        kept.until(lambda: kept.condition.is_ready)
        kept.until_equal()
        assert not kept.condition.failure
    finally:
        kept.__exit__()


def test_a_root_that_is_missing_at_a_later_start_is_held(house, quickly):
    house.write("first.md", "The first.")
    house.sync()
    house.docs.rename(house.docs.with_name("away"))
    with Kept(house) as kept:
        assert held(kept) == {"docs": "its folder can't be reached"}
        house.docs.with_name("away").rename(house.docs)
        kept.until(lambda: not held(kept))
        house.write("later.md", "Heard.")
        kept.until_equal()


def test_a_root_that_may_not_be_read_for_a_while(no_override, many):
    docs, known = many.house.docs, names(many)
    docs.chmod(0)
    many.until(lambda: held(many))
    assert names(many) == known
    docs.chmod(0o755)
    many.until(lambda: not held(many))
    many.house.write("later.md", "Heard.")
    many.until_equal()


def linked(tmp_path):
    """A house whose folder is reached through a link."""
    (tmp_path / "one").mkdir()
    (tmp_path / "docs").symlink_to("one")
    return House(tmp_path)


def test_a_root_that_is_a_link_is_followed_to_wherever_it_leads(tmp_path, quickly, house):
    shutil.rmtree(house.docs)
    settings = house.settings
    house = linked(tmp_path)
    house.settings = replace(house.settings, daemon=settings.daemon)
    house.write("same.md", "In both.")
    house.write("one.md", "Only in one.")
    with Kept(house) as kept:
        house.write("direct.md", "A file in the folder itself is heard.")
        kept.until_equal()
        (tmp_path / "two" / "sub").mkdir(parents=True)
        (tmp_path / "two" / "same.md").write_text("In both.")
        (tmp_path / "two" / "sub" / "two.md").write_text("Only in two.")
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").rename(tmp_path / "docs")
        kept.until(lambda: names(kept) == {"same.md", "sub/two.md"})
        kept.until_equal()
        house.write("sub/later.md", "Heard where it leads now.")
        kept.until_equal()
        assert not house.embedder.paid_twice


def test_another_folder_with_much_less_in_it_is_held(kept, quickly, tmp_path):
    house = kept.house
    for number in range(150):
        house.write(f"{number}.md", f"Note {number}.")
    kept.until_equal()
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "only.md").write_text("All there is.")
    house.docs.rename(tmp_path / "away")
    (tmp_path / "two").rename(house.docs)
    kept.until(lambda: "only.md" in names(kept) and held(kept))
    assert len(names(kept)) == 152
    assert held(kept) == {"docs": "151 of its 151 documents are gone"}
