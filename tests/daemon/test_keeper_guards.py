"""A look at some places deletes no more and no less than a look at all of them; what is known elsewhere
stands.
"""

import shutil
from contextlib import suppress

import pytest

from daemon.conftest import Kept
from doubles import paragraphs
from reindex.stores.file_rows import FileRows


def names(kept):
    return {layout.name.path for layout in kept.house.snapshot().layouts()}


def held(kept):
    with kept.house.ledger() as ledger:
        return {hold.source: (hold.documents, hold.reason) for hold in ledger.failures.holds()}


def failed(house):
    with house.ledger() as ledger:
        return {name.path: failure for name, failure in ledger.failures.all().items()}


@pytest.fixture
def many(house, quickly):
    """Of 160 documents, 130 in one folder."""
    house.with_default_windows()
    for number in range(30):
        house.write(f"stays/{number}.md", f"Note {number}.")
    for number in range(130):
        house.write(f"goes/{number}.md", f"Note {number} again.")
    with Kept(house) as kept:
        yield kept


def test_a_mass_of_deletions_is_held_until_the_documents_come_back(many, tmp_path):
    docs, known, sent = many.house.docs, names(many), many.house.embedder.sent.total()
    (docs / "goes").rename(tmp_path / "aside")
    many.until(lambda: held(many))
    assert held(many) == {"docs": (130, "130 of its 160 documents are gone")}
    assert names(many) == known
    many.house.write("stays/0.md", "Another note.")  # an edit elsewhere lets none of them go
    many.until_equal()
    assert names(many) == known
    assert held(many)
    (tmp_path / "aside").rename(docs / "goes")
    many.until(lambda: not held(many))
    many.until_equal()
    assert names(many) == known
    assert many.house.embedder.sent.total() == sent + 1


def test_some_that_come_back_are_served_and_the_rest_stays_held(many, tmp_path):
    docs = many.house.docs
    (docs / "goes").rename(tmp_path / "aside")
    many.until(lambda: held(many))
    (docs / "goes").mkdir()
    for number in range(20):
        (tmp_path / "aside" / f"{number}.md").rename(docs / "goes" / f"{number}.md")
    many.until(lambda: held(many) == {"docs": (110, "110 of its 160 documents are gone")})
    for number in range(20, 60):
        (tmp_path / "aside" / f"{number}.md").rename(docs / "goes" / f"{number}.md")
    many.until(lambda: not held(many))  # 70 are believed
    many.until_equal()
    assert len(names(many)) == 90


def test_a_folder_that_is_a_small_part_of_its_source_is_believed_gone(many):
    for number in range(400):
        many.house.write(f"more/{number}.md", f"Note {number}.")
    many.until_equal()
    shutil.rmtree(many.house.docs / "goes")
    many.until_equal()
    assert len(names(many)) == 430
    assert not held(many)


def test_fewer_deletions_are_believed(many):
    for number in range(60):
        (many.house.docs / "goes" / f"{number}.md").unlink()
    many.until_equal()
    assert len(names(many)) == 100
    assert not held(many)


def test_all_of_a_small_source_is_held(kept, quickly):
    kept.house.write("second.md", "The second.")
    kept.until_equal()
    for name in ("first.md", "second.md"):
        (kept.house.docs / name).unlink()
    kept.until(lambda: held(kept))
    assert names(kept) == {"first.md", "second.md"}
    kept.house.write("new.md", "A new one: then the folder is not empty, and they are believed.")
    kept.until_equal()
    assert names(kept) == {"new.md"}


def test_a_folder_on_another_device_is_held(kept, monkeypatch):
    known = names(kept)
    monkeypatch.setattr(FileRows, "device", lambda *_: 12345)
    (kept.house.docs / "first.md").unlink()
    kept.house.write("second.md", "The second.")
    kept.until(lambda: held(kept))
    kept.until(lambda: names(kept) == known | {"second.md"})
    assert held(kept) == {"docs": (1, "its folder is on another device than before")}


def test_failures_elsewhere_outlast_a_look_at_other_places(kept, quickly):
    kept.house.write("broken.pdf", b"no pdf at all")
    kept.until(lambda: "broken.pdf" in failed(kept.house))
    before = failed(kept.house)["broken.pdf"]
    for number in range(3):
        kept.house.write("first.md", paragraphs(number))
        kept.until_equal()
    assert failed(kept.house)["broken.pdf"] == before
    (kept.house.docs / "broken.pdf").unlink()
    kept.until(lambda: not failed(kept.house))
    kept.until_equal()


def test_a_document_that_failed_and_may_do_better_is_tried_again_at_its_time(house, quickly, no_override):
    house.write("first.md", "The first.")
    house.write("closed.md", "Not to be read.")
    (house.docs / "closed.md").chmod(0)
    with Kept(house) as kept:
        kept.until(lambda: failed(house)["closed.md"].attempts >= 3)
        failure = failed(house)["closed.md"]
        assert failure.at - failure.first_at >= 0.5 + 1.0, "the pauses double"
        assert kept.condition.passes <= failure.attempts + 1, "nothing is tried between"
        (house.docs / "closed.md").chmod(0o644)
        kept.until(lambda: "closed.md" in names(kept))
        kept.until(lambda: not failed(house))


def test_files_that_grow_for_ever_hold_up_no_other(kept, quickly, monkeypatch):
    growing = [kept.house.write(f"grows{number}.md", "It grows.") for number in range(12)]
    kept.until_equal()
    files = [path.open("a") for path in growing]

    def grow():
        for file in files:
            file.write("And grows. ")
            file.flush()

    for number in range(5):
        kept.house.write("other.md", paragraphs(number))

        def is_found(number=number):
            grow()
            with suppress(StopIteration):
                layout = next(la for la in kept.house.snapshot().layouts() if la.name.path == "other.md")
                return layout.revision == kept.house.app.sources()["docs"].read("other.md").revision

        kept.until(is_found, 20)
    for file in files:
        file.close()
    kept.until_equal()


def test_a_source_is_not_forgotten_with_its_folder(many):
    known = names(many)
    shutil.rmtree(many.house.docs)
    many.until(lambda: held(many))
    assert names(many) == known
