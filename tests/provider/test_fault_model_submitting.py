"""Rows 1 to 10 of the fault model: what goes wrong on a batch's way to the provider."""

import pytest

from doubles import Crash
from provider_house import prose
from reindex.dev_openai.faults import Do, Reset
from reindex.dev_openai.refusals import Refusal, server_error
from reindex.embedders.openai_batch import OpenAIBatches
from reindex.errors import EmbeddingError, LockedError, OutageError
from reindex.stores.booking_rows import Outcome


def fill(house, documents=4):
    for number in range(documents):
        house.write(f"{number}.md", prose(number))


def dies(house, method, monkeypatch, *, after=False):
    """A sync whose process ends at that request."""
    plain = getattr(OpenAIBatches, method)

    def dying(self, *arguments):
        if after:
            plain(self, *arguments)
        raise Crash(method)

    with monkeypatch.context() as patch:
        patch.setattr(OpenAIBatches, method, dying)
        with pytest.raises(Crash):
            house.sync()


@pytest.mark.parametrize("after", [False, True], ids=["row 1, before it", "row 2, its id is lost"])
def test_rows_1_and_2_a_kill_around_the_upload(house, openai, monkeypatch, after):
    fill(house)
    dies(house, "upload", monkeypatch, after=after)
    house.settle()
    house.check_converged(4)
    assert openai.requests()["batches.create"] == 1
    assert openai.requests()["files.create"] == 1 + after  # one more is there: free, and it expires
    assert all(file.expires_at - file.created < 4 * 86_400 for file in openai.files("batch"))


def test_row_2_the_answer_to_the_upload_is_lost(house, openai):
    fill(house)
    openai.fault("files.create", Reset(after=True))
    with pytest.raises(OutageError, match="cut off") as caught:
        house.sync()
    assert "next run" in caught.value.hint
    house.settle()
    house.check_converged(4)
    assert openai.requests()["batches.create"] == 1


def test_row_3_a_kill_before_the_batch_was_asked_for(house, openai, monkeypatch):
    house.with_openai(batch_grace_s=120)
    fill(house)
    dies(house, "create", monkeypatch)
    for _ in range(3):
        house.sync()  # absent, but the grace is not over
    assert openai.requests()["batches.create"] == 0
    house.clock.ahead_s += 121
    openai.advance(121)
    house.settle()
    house.check_converged(4)
    assert openai.requests()["batches.create"] == 1
    assert openai.requests()["files.create"] == 1  # the same file


@pytest.mark.parametrize(
    "fault", [Reset(after=True), server_error(502)], ids=["reset after acceptance", "502 before it"]
)
def test_row_4_the_answer_to_the_creation_is_lost(house, openai, fault):
    fill(house)
    openai.fault("batches.create", fault)
    with pytest.raises(OutageError):
        house.sync()
    assert [job.state for job in house.jobs()] == ["submitting"]
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 1


def test_row_4_a_kill_after_acceptance(house, openai, monkeypatch):
    fill(house)
    dies(house, "create", monkeypatch, after=True)
    house.settle()
    house.check_converged(4)
    assert openai.requests()["batches.create"] == 1


def twins(house, openai):
    """An answer is lost, the list lags for longer than the grace: the batch is created again."""
    openai.options.hold.add("in_progress")
    openai.options.listing_lag_s = 300
    openai.fault("batches.create", Reset(after=True))
    fill(house)
    with pytest.raises(OutageError):
        house.sync()
    texts = house.jobs()[0].texts
    house.sync()
    house.sync()  # absent twice, and no grace in this house
    assert len(openai.batches()) == 2
    openai.advance(301)
    return texts


def test_row_5_a_twin_is_cancelled_and_counted(house, openai):
    texts = twins(house, openai)
    house.sync()
    assert any("twin" in warning for warning in house.told.warnings)
    assert len([batch for batch in openai.batches() if batch.status == "in_progress"]) == 1
    openai.release()
    house.settle()
    house.check_converged(4, stuck=texts)
    assert house.booked(Outcome.AGAIN_STUCK) == texts


def test_row_5_of_twins_the_one_that_is_further_on_is_kept(house, openai):
    texts = twins(house, openai)
    first, second = openai.batches()
    openai.finish(first)
    house.sync()
    assert (first.status, second.status) == ("completed", "cancelling") or second.status == "cancelled"
    house.settle()
    house.check_converged(4, stuck=texts)
    house.check_paid_once()  # the second had not begun


def test_row_5_both_outputs_are_taken_in(house, openai):
    texts = twins(house, openai)
    first, second = openai.batches()
    openai.expire(first, share=0.6)
    openai.finish(second)
    house.settle()
    house.check_converged(4, stuck=texts)
    assert len(openai.batches()) == 2  # what the one lacks, the other has


def test_row_5_the_job_is_not_over_before_both_have_ended(house, openai):
    texts = twins(house, openai)
    first, second = openai.batches()
    openai.options.hold.add("cancelling")
    openai.expire(first, share=0.5)
    house.sync()  # the second, which is under way, is kept
    assert house.record(1).batch_id == second.id
    house.sync()
    assert [job.state for job in house.jobs()] == ["submitted"]
    openai.release()
    house.settle()
    house.check_converged(4, stuck=texts)
    assert len(openai.batches()) == 2


def test_row_6_the_list_lags_less_than_the_grace(house, openai):
    house.with_openai(batch_grace_s=120)
    openai.options.listing_lag_s = 12
    openai.fault("batches.create", Reset(after=True))
    fill(house)
    with pytest.raises(OutageError):
        house.sync()
    for _ in range(4):
        house.sync()
    assert len(openai.batches()) == 1
    openai.advance(13)
    house.settle()
    house.check_converged(4)
    assert openai.requests()["batches.create"] == 1


def test_row_7_the_ledger_is_lost_while_a_batch_is_in_flight(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    lose_ledger(house)
    report = house.sync()
    assert report.documents.pending == 4
    assert any("does not know" in warning for warning in house.told.warnings)
    assert openai.requests()["batches.create"] == 1
    openai.release()
    house.settle()
    house.check_converged(4)
    assert openai.requests()["batches.create"] == 1


def test_row_7_nothing_is_sent_while_the_list_can_t_be_read(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    lose_ledger(house)
    openai.fault("batches.list", server_error(503), times=4)
    for _ in range(2):
        with pytest.raises(OutageError):
            house.sync()
    assert openai.requests()["batches.create"] == 1
    openai.clear_faults()
    house.sync()
    assert openai.requests()["batches.create"] == 1
    openai.release()
    house.settle()
    house.check_converged(4)
    assert openai.requests()["batches.create"] == 1


def lose_ledger(house):
    for path in house.data_dir.glob("ledger.sqlite*"):
        path.unlink()


def test_row_8_a_second_writer_is_turned_away(house, openai):
    fill(house)
    errors = []

    def second():
        try:
            type(house).sync(house)
        except LockedError as error:
            errors.append(error)

    openai.fault("batches.create", Do(second))
    house.sync()
    assert len(errors) == 1
    assert openai.requests()["batches.create"] == 1
    house.settle()
    house.check_converged(4)


def test_row_9_fresh_files_and_batches_are_not_there_yet(house, openai):
    """A file or batch that was just made is unknown for some seconds, on every route."""
    openai.options.fresh_missing_s = 20
    fill(house)
    for _ in range(5):  # too soon
        report = house.sync()
        assert report.documents.pending == 4
    assert openai.requests()["files.create"] == 1
    for _ in range(12):
        openai.advance(21)
        report = house.sync()
        if not report.documents.pending:
            break
        openai.finish_all()
        house.sync()  # its result is not there yet
    house.check_converged(4)
    assert len(openai.batches()) == 1


def test_row_9_a_file_that_stays_away_is_sent_again(house, openai):
    fill(house)
    openai.fault("batches.create", Refusal(404, "No such File object"), times=4)
    house.sync()
    assert any("No such File" in reason for reason in house.reasons())
    for _ in range(2):
        house.clock.ahead_s += 400
        house.sync()
    house.settle()
    house.check_converged(4)
    assert openai.requests()["files.create"] == 2
    assert len(openai.batches()) == 1


@pytest.mark.parametrize("route", ["files.create", "batches.create"])
def test_row_10_a_refused_batch_is_given_up_after_some_attempts(house, openai, route):
    fill(house)
    openai.fault(route, Refusal(400, "We do not like this file."), times=None)
    for _ in range(6):
        report = house.sync()
    assert report.documents.failed == 4
    assert openai.requests()[route] == 3
    (reason,) = set(report.failures.values())
    assert "We do not like this file." in reason
    openai.clear_faults()
    house.retry()
    house.settle()
    house.check_converged(4)


def test_row_10_a_file_that_is_too_large_is_sent_in_parts(house, openai):
    fill(house, documents=8)
    openai.options.file_bytes_max = 3_000
    report = house.settle()
    assert report.documents.failed == 0
    assert any("413" in reason or "large" in reason for reason in house.reasons())
    house.check_converged(8)


def test_a_server_without_a_batch_api_says_which_setting_it_is(house, openai):
    house.write("0.md", prose(0))
    house.with_openai(lane="realtime")
    house.sync()
    house.with_openai(lane="batch")
    openai.options.has_batches = False
    house.write("1.md", prose(1))
    (house.docs / "0.md").unlink()
    for _ in range(2):
        with pytest.raises(EmbeddingError) as caught:
            house.sync()
        assert "has_batch" in caught.value.hint
    assert house.found("document") == []  # what needs no provider was done
