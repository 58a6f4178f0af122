"""Rows 19, 20, 26 to 28, 33 and 34 of the fault model: how a batch ends, and how its result comes home."""

import errno
import os

import pytest

from provider_house import prose
from reindex.dev_openai.batch_faults import Garbled, LineFails, Stuck, TruncatedOutput
from reindex.dev_openai.faults import Cut, Lines, Reset
from reindex.dev_openai.files import File
from reindex.dev_openai.refusals import server_error
from reindex.errors import DiskError, OutageError
from reindex.stores.booking_rows import Outcome

DAY_S = 86_400


def fill(house, documents=4):
    for number in range(documents):
        house.write(f"{number}.md", prose(number))


def pass_time(house, openai, seconds):
    house.clock.ahead_s += seconds
    openai.advance(seconds)


def test_row_19_a_batch_that_expires_gives_its_part_first(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    (first,) = openai.batches()
    openai.progress(first, 0.5)
    pass_time(house, openai, DAY_S + 1)
    openai.wait_for(first)
    assert first.status == "expired"
    openai.release()
    house.settle()
    house.check_converged(4)


@pytest.mark.parametrize("status", ["validating", "finalizing"])
def test_row_20_a_stuck_batch_is_cancelled_after_the_deadline_and_gives_what_it_has(house, openai, status):
    openai.fault("batch", Stuck(status))
    fill(house)
    house.sync()
    (batch,) = openai.batches()
    openai.wait_for(batch, status)
    pass_time(house, openai, DAY_S + 3_000)
    house.sync()
    assert batch.status == status  # not an hour late yet
    pass_time(house, openai, 1_000)
    house.sync()
    assert any("cancelled" in warning for warning in house.told.warnings)
    openai.wait_for(batch)
    assert batch.status == "cancelled"
    house.settle()
    house.check_converged(4)


def test_row_20_one_that_can_t_be_cancelled_is_given_up_counted_and_sent_again(house, openai):
    openai.fault("batch", Stuck("in_progress"))
    openai.fault("batch", Stuck("cancelling"), times=1)
    openai.options.window_s = DAY_S
    openai.options.hold.add("in_progress")
    fill(house)
    texts = house.sync().chunks.in_flight
    (batch,) = openai.batches()
    openai.wait_for(batch, "in_progress")
    house.clock.ahead_s += DAY_S + 3_700  # our time alone: the server's own would let it expire
    for _ in range(3):
        house.sync()
    assert batch.status == "cancelling"
    assert openai.requests()["batches.cancel"] == 1
    assert len(openai.batches()) == 1
    house.clock.ahead_s += 3_700
    openai.release()
    house.sync()
    assert house.booked(Outcome.AGAIN_STUCK) == texts
    assert any("given up: cancelling" in reason for reason in house.reasons())
    assert len(openai.batches()) == 2
    openai.finish(openai.batches()[1])
    house.sync()
    assert house.verify().ok
    house.check_vectors()
    house.check_paid_once()  # nothing of it was ever worked on


@pytest.mark.parametrize("ahead_s", [2 * DAY_S, -2 * DAY_S], ids=["ahead", "behind"])
def test_row_33_a_clock_that_jumps_pays_nothing_twice(house, openai, ahead_s):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    openai.progress(openai.batches()[0], 0.4)
    house.clock.ahead_s += ahead_s
    for _ in range(3):
        house.sync()
    openai.release()
    house.settle()
    house.check_converged(4)


@pytest.mark.parametrize("ahead_s", [2 * DAY_S, -2 * DAY_S], ids=["ahead", "behind"])
def test_row_33_a_lost_answer_under_a_wrong_clock_is_found_all_the_same(house, openai, ahead_s):
    house.clock.ahead_s += ahead_s
    fill(house)
    openai.fault("batches.create", Reset(after=True))
    with pytest.raises(OutageError):
        house.sync()
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 1


@pytest.mark.parametrize(
    "fault", [Cut(0.5), Cut(0.9, reset=True), Reset(), server_error(502)], ids=["cut", "reset", "gone", "502"]
)
def test_row_26_a_download_that_fails_is_begun_again(house, openai, fault):
    fill(house)
    house.sync()
    openai.finish_all()
    openai.fault("files.content", fault, times=2)
    house.settle(through=OutageError)
    assert len(house.errors) == 1  # two looks, one sync
    assert "file-" in house.errors[0].message
    house.check_converged(4)
    assert len(openai.batches()) == 1


def test_row_26_one_result_that_never_comes_holds_up_no_other(house, openai):
    fill(house, documents=2)
    openai.options.hold.add("in_progress")
    house.sync()
    fill(house, documents=4)
    house.sync()
    openai.finish_all()
    broken = openai.batches()[0].output_file_id
    openai.fault("files.content", Cut(0.5), times=None, where=lambda call: broken in call.path)
    for _ in range(2):
        with pytest.raises(OutageError, match=broken):
            house.sync()
    assert sorted(set(house.found("document"))) == ["2.md", "3.md"]
    openai.clear_faults()
    openai.release()
    house.settle()
    house.check_converged(4)


@pytest.mark.parametrize("size_bytes", [0, 1, None], ids=["nothing", "less", "no size"])
def test_row_26_a_server_that_does_not_know_how_long_its_files_are(house, openai, monkeypatch, size_bytes):
    to_json = File.to_json
    monkeypatch.setattr(File, "to_json", lambda file: {**to_json(file), "bytes": size_bytes})
    fill(house)
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 1


def test_row_27_a_stored_file_that_is_torn_gives_its_good_lines(house, openai):
    fill(house)
    openai.fault("batch", TruncatedOutput(0.5))
    house.settle()
    lost = house.booked(Outcome.AGAIN_LOST)
    assert 15 <= lost <= 20
    house.check_converged(4, lost=lost)
    assert openai.batches()[1].total == lost + 1
    assert openai.requests()["files.content"] == 3  # once more, then the other batch's
    assert not any("twice" in reason or "nobody" in reason for reason in house.reasons())


def test_row_27_lines_that_can_t_be_read(house, openai):
    fill(house)
    openai.fault("batch", Garbled(Lines(every=4)))
    house.settle()
    lost = house.booked(Outcome.AGAIN_LOST)
    assert lost == 8
    house.check_converged(4, lost=lost)


def test_row_28_an_output_that_is_gone_is_paid_again_and_counted(house, openai):
    fill(house)
    house.sync()
    openai.finish_all()
    (batch,) = openai.batches()
    openai.service.files.discard(batch.output_file_id)
    report = house.sync()
    assert report.documents.pending == 4  # fresh files are unknown for some time: not lost yet
    assert any("result is not there" in notice for notice in report.notices)
    pass_time(house, openai, 601)
    house.sync()
    assert any("gone" in warning for warning in house.told.warnings)
    house.settle()
    house.check_converged(4, lost=34)


def test_row_28_the_whole_batch_is_gone(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    (batch,) = openai.batches()
    openai.finish(batch)
    del openai.service.batches._batches[batch.id]
    report = house.sync()
    assert report.documents.pending == 4
    assert any("batch is not there" in notice for notice in report.notices)
    pass_time(house, openai, 601)
    house.sync()
    openai.release()
    house.settle()
    assert any("no such batch" in reason for reason in house.reasons())
    house.check_converged(4, lost=34)


def test_row_28_a_batch_that_was_missed_once_is_not_gone_when_it_is_missed_again(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    (batch,) = openai.batches()
    openai.wait_for(batch, "in_progress")
    there = openai.service.batches._batches

    def is_missed():
        del there[batch.id]
        report = house.sync()
        there[batch.id] = batch
        return any("batch is not there" in notice for notice in report.notices)

    assert is_missed()
    house.sync()
    pass_time(house, openai, 3_600)
    assert is_missed()
    openai.finish(batch)
    house.settle()
    house.check_converged(4)


def test_row_28_a_file_that_was_missed_once_is_not_gone_when_it_is_missed_again(house, openai):
    openai.fault("batch", LineFails(500, Lines(every=3)))
    fill(house)
    house.sync()
    (batch,) = openai.batches()
    openai.finish(batch)
    there = openai.service.files._files

    def is_missed(file_id):
        file = there.pop(file_id)
        report = house.sync()
        there[file_id] = file
        return any("result is not there" in notice for notice in report.notices)

    assert is_missed(batch.output_file_id)
    assert is_missed(batch.error_file_id)  # the other was read
    pass_time(house, openai, 3_600)
    assert is_missed(batch.output_file_id)
    house.settle()
    house.check_converged(4)


def test_row_34_a_disk_that_is_full_while_a_result_comes(house, openai, monkeypatch):
    fill(house)
    house.sync()
    openai.finish_all()

    plain = os.fsync

    def full(fd):
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".part"):
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DiskError, match="No space left") as caught:
            house.sync()
        assert "space" in caught.value.hint
    assert not list((house.data_dir / "batches").glob("*")), "what was begun is taken away"
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 1
