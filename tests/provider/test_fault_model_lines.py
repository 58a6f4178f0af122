"""Rows 14 to 18, 21, 23 and 24 of the fault model: lines of a batch that fail, lack or lie."""

import pytest

from provider_house import prose
from reindex.batch import collecting
from reindex.core.canary import CANARY_ID
from reindex.dev_openai.batch_faults import (
    Dropped,
    Duplicated,
    Fails,
    Halfway,
    LineFails,
    NoOutput,
    Unknown,
)
from reindex.dev_openai.faults import FloatsOnly, Lines, WrongVector, WrongVectors
from reindex.stores.booking_rows import Outcome


def fill(house, documents=4):
    for number in range(documents):
        house.write(f"{number}.md", prose(number))


def test_row_14_the_line_that_fails_validation_fails_alone(house, openai):
    fill(house)
    openai.fault("batch", Fails("invalid_request", "this line is no good", line=6))
    report = house.settle()
    assert report.documents.failed == 1
    (reason,) = report.failures.values()
    assert "this line is no good" in reason
    assert any("line 6" in reason for reason in house.reasons())
    assert len(openai.batches()) == 2
    house.retry()
    house.settle()
    house.check_converged(4)


def test_row_14_line_after_line(house, openai):
    """More of them than a text has attempts: the others are not to blame."""
    fill(house, documents=8)
    openai.fault("batch", Fails("invalid_request", "no good", line=2), times=6)
    report = house.settle(rounds=20)
    assert 1 <= report.documents.failed <= 6
    assert len(openai.batches()) == 7
    house.retry()
    house.settle()
    house.check_converged(8)


@pytest.mark.parametrize("line", [None, 1, 9_999], ids=["no line", "the canary's", "no such line"])
def test_row_14_a_validation_that_never_passes_ends(house, openai, line):
    fill(house)
    openai.fault("batch", Fails("invalid_request", "we take none of it", line=line), times=None)
    report = house.settle()
    assert report.documents.failed == 4
    assert all("we take none of it" in reason for reason in report.failures.values())
    assert len(openai.batches()) == 3
    openai.clear_faults()
    house.retry()
    house.settle()
    house.check_converged(4)


def test_row_15_a_refused_line_fails_its_document_with_the_provider_s_words(house, openai):
    fill(house)
    openai.fault("batch", LineFails(400, Lines(containing="word2x1")), times=2)
    report = house.settle()
    assert report.documents.failed == 1
    assert list(report.failures) == ["docs:2.md"]
    assert "refused because it was asked for" in report.failures["docs:2.md"]
    batches = len(openai.batches())
    assert house.settle().documents.failed == 1
    assert len(openai.batches()) == batches == 1  # it is not sent again by itself
    house.retry()
    assert house.settle().documents.failed == 1  # refused again
    house.retry()
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_row_16_only_lines_that_failed_are_sent_again(house, openai, status):
    fill(house)
    openai.fault("batch", LineFails(status, Lines(every=3)))
    house.settle()
    house.check_converged(4)
    first, second = openai.batches()
    assert second.total < first.total / 2
    assert any("of 34 texts got their vector" in reason for reason in house.reasons())


def test_row_16_a_line_that_always_fails_ends_as_a_dead_letter(house, openai):
    fill(house)
    openai.fault("batch", LineFails(500, Lines(containing="word2x1")), times=None)
    report = house.settle()
    assert list(report.failures) == ["docs:2.md"]
    assert "server had an error" in report.failures["docs:2.md"]
    assert len(openai.batches()) == 3
    openai.clear_faults()
    house.retry()
    house.settle()
    house.check_converged(4)


@pytest.mark.parametrize("ending", ["expired", "cancelled", "failed"])
def test_rows_16_and_19_what_was_not_executed_is_sent_again_and_the_rest_taken_in(house, openai, ending):
    fill(house)
    openai.fault("batch", Halfway(ending, 0.6))
    house.settle()
    first, second = openai.batches()
    assert first.completed + second.total in {first.total, first.total + 1}  # was the canary executed?
    lost = house.booked(Outcome.AGAIN_LOST)
    assert (lost > 0) == (ending == "failed")  # there nothing says that they were not executed
    house.check_converged(4, lost=lost)
    house.check_paid_once()
    assert any(ending in reason for reason in house.reasons())


def test_row_16_expiry_is_no_attempt(house, openai):
    fill(house)
    openai.fault("batch", Halfway("expired", 0.1), times=6)
    house.settle()
    house.check_converged(4)


@pytest.mark.parametrize("fails", [Halfway("failed", 0.0), Fails("internal_error", "")])
def test_row_19_a_batch_that_always_fails_ends(house, openai, fails):
    fill(house)
    openai.fault("batch", fails, times=None)
    report = house.settle()
    assert report.documents.failed == 4
    assert all("the batch failed" in reason for reason in report.failures.values())
    assert len(openai.batches()) == 3
    openai.clear_faults()
    house.retry()
    house.settle()
    house.check_converged(4)


def test_row_17_lines_in_neither_file_are_sent_again_and_counted(house, openai):
    fill(house)
    openai.fault("batch", Dropped(Lines(every=5)))
    house.settle()
    lost = house.booked(Outcome.AGAIN_LOST)
    assert lost == 6  # of 35 lines every fifth, and the first is the canary
    house.check_converged(4, lost=lost)
    assert any("6 not answered" in reason for reason in house.reasons())


def test_row_17_lines_that_never_come_end_as_dead_letters(house, openai):
    fill(house)
    openai.fault("batch", Dropped(Lines(containing="word1x1")), times=None)
    report = house.settle()
    assert list(report.failures) == ["docs:1.md"]
    assert "no answer" in report.failures["docs:1.md"]
    assert len(openai.batches()) == 3


@pytest.mark.parametrize("no_id", [None, ""])
def test_row_18_completed_without_an_output(house, openai, no_id):
    openai.options.no_id = no_id
    fill(house)
    openai.fault("batch", NoOutput())
    house.settle()
    house.check_converged(4, lost=34)


@pytest.mark.parametrize("no_id", [None, ""])
def test_row_18_all_lines_failed_and_the_error_file_says_so(house, openai, no_id):
    openai.options.no_id = no_id
    fill(house)
    openai.fault("batch", LineFails(500))
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 2


def test_row_21_lines_twice_and_lines_of_nobody(house, openai):
    fill(house)
    openai.fault("batch", Duplicated(Lines(every=3)))
    openai.fault("batch", Unknown(3))
    house.settle()
    house.check_converged(4)
    assert house.reasons() == ["3 lines that nobody asked for; 11 lines that came twice"]
    with house.app.ledger() as ledger:
        tokens = ledger.bookings.spend().tokens
    canary = openai.options.count_tokens("reindex canary 1")
    assert tokens == openai.tokens()["batch", "text-embedding-3-small"] - canary


@pytest.mark.parametrize("kind", sorted(set(WrongVector) - {WrongVector.SHIFTED, WrongVector.SWAPPED}))
def test_row_23_a_wrong_vector_is_never_indexed_and_its_text_alone_sent_again(house, openai, kind):
    fill(house)
    openai.fault("batch", WrongVectors(kind, Lines(containing="word2x1")))
    house.settle()
    wrong = house.booked(Outcome.UNUSABLE)
    assert 1 <= wrong <= 4
    house.check_converged(4, lost=wrong)
    assert openai.batches()[1].total == wrong + 1
    assert any(f"{wrong} answered wrongly" in reason for reason in house.reasons())


def test_row_23_vectors_that_stay_wrong_end_as_a_dead_letter(house, openai):
    fill(house)
    openai.fault("batch", WrongVectors(WrongVector.NAN, Lines(containing="word2x1")), times=None)
    report = house.settle()
    assert list(report.failures) == ["docs:2.md"]
    assert "length nan" in report.failures["docs:2.md"]
    assert len(openai.batches()) == 3
    with house.app.ledger() as ledger:
        spend = ledger.bookings.spend()
    canaries = 3 * openai.options.count_tokens("reindex canary 1")
    assert spend.tokens == openai.tokens()["batch", "text-embedding-3-small"] - canaries  # wrong ones too


def test_floats_are_read_though_base64_was_asked_for(house, openai):
    fill(house)
    openai.fault("batch", FloatsOnly())
    house.settle()
    house.check_converged(4)


@pytest.mark.parametrize("kind", [WrongVector.SHIFTED, WrongVector.SWAPPED])
def test_row_24_vectors_of_other_texts_are_told_by_the_canary(house, openai, kind):
    house.write("before.md", prose(100))
    house.settle()
    fill(house)
    openai.fault("batch", WrongVectors(kind))
    house.settle()
    wrong = house.booked(Outcome.UNUSABLE)
    assert wrong == 34
    house.check_converged(5, lost=wrong)
    assert any("canary" in reason for reason in house.reasons())


def test_the_canary_is_found_wherever_its_line_is(tmp_path, monkeypatch):
    """By the id alone, before or behind the vector, in any block, and not by what a text or a reason says."""
    monkeypatch.setattr(collecting, "_BLOCK_BYTES", 100)
    canaries = [
        f'{{"id":"l{n}", "custom_id" : "{CANARY_ID}", "response":{{"body":"{"v" * 300}"}}}}' for n in range(2)
    ] + [f'{{"response":{{"body":"{"v" * 300}"}},"custom_id":"{CANARY_ID}"}}']
    others = [
        f'{{"custom_id":"{"ab" * 32}","response":{{"body":"{CANARY_ID}{"w" * n}"}}}}' for n in (1, 90, 250)
    ]
    lines = [line for pair in zip(others, canaries, strict=True) for line in pair]
    path = tmp_path / "output.jsonl"
    for end in ("\n", ""):
        path.write_text("\n".join(lines) + end)
        assert [line.decode().rstrip("\n") for line in collecting._canary_lines(path)] == canaries
