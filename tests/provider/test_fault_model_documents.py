"""Rows 25, 29 to 32 and 36 of the fault model: documents that change, and crashes behind the provider."""

import pytest

from doubles import Crash
from provider_house import prose
from reindex.batch import collecting
from reindex.stores.booking_rows import Outcome
from reindex.stores.cache import VectorCache


def fill(house, documents=4):
    for number in range(documents):
        house.write(f"{number}.md", prose(number))


def test_row_25_other_dimensions_are_another_space_and_never_mixed(house, openai):
    house.write("before.md", prose(100))
    house.settle()
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    house.with_dimensions(128)
    house.sync()  # the batch of the other space is under way
    openai.release()
    house.settle()
    assert {len(chunk.vector) for chunk in house.snapshot().chunks()} == {256}
    house.check_converged(5)  # until somebody rebuilds, the index stays in its own space


@pytest.mark.parametrize(
    ("owner", "method"),
    [(collecting, "close"), (VectorCache, "put")],
    ids=["row 29, between the vectors and the job's end", "row 30, before the vectors are kept"],
)
def test_rows_29_and_30_a_crash_while_a_result_is_taken_in(house, openai, monkeypatch, owner, method):
    fill(house)
    house.sync()
    openai.finish_all()

    def crash(*_, **__):
        raise Crash(method)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, crash)
        with pytest.raises(Crash):
            house.sync()
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 1
    with house.app.ledger() as ledger:
        tokens = ledger.bookings.spend().tokens
    canary = openai.options.count_tokens("reindex canary 1")
    assert tokens == openai.tokens()["batch", "text-embedding-3-small"] - canary


def test_row_30_a_crash_between_cache_and_table(house, openai):
    fill(house)
    house.sync()
    openai.finish_all()
    assert house.crash("before 3 table")
    house.settle()
    house.check_converged(4)


def test_row_31_late_vectors_of_old_revisions_are_kept_and_not_published(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    house.write("0.md", prose(70))
    (house.docs / "1.md").unlink()
    openai.finish_all()
    openai.release()
    house.settle()
    house.check_converged(3)
    house.write("0.md", prose(0))
    house.write("1.md", prose(1))
    batches = len(openai.batches())
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == batches


def test_row_32_a_text_of_many_documents_is_sent_once(house, openai):
    for number in range(6):
        house.write(f"{number}.md", prose(1))
    openai.options.hold.add("in_progress")
    house.sync()
    house.write("later.md", prose(1) + "\nand a line of its own\n")
    house.sync()
    openai.release()
    house.settle()
    house.check_converged(7)


def test_row_36_wanted_now_is_paid_again_and_counted(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    texts = house.sync().chunks.in_flight
    report = house.sync(is_now=True)
    assert report.documents.added == 4
    assert any("paid again" in notice for notice in report.notices)
    openai.release()
    openai.finish_all()
    house.settle()
    house.check_converged(4, now=texts)
    assert house.booked(Outcome.AGAIN_NOW) == texts
