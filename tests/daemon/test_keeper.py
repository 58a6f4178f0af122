"""The loop: saved files are found, at no look at everything."""

from doubles import paragraphs


def test_a_save_an_edit_and_a_deletion_are_found(kept):
    house = kept.house
    house.write("a/b.md", paragraphs(1, 2))
    kept.until_equal()
    house.write("a/b.md", paragraphs(1, 3))
    kept.until_equal()
    (house.docs / "a/b.md").unlink()
    kept.until_equal()
    assert kept.condition.reconciles == 1
    assert not house.embedder.paid_twice
