"""The keeper with a provider's model: batches come and go beside edits, and nobody has to ask."""

from dataclasses import replace

import pytest

from daemon.conftest import Kept
from openai_standin import StandIn
from provider_house import ProviderHouse, prose
from reindex.attending import attend
from reindex.core.jobs import JobState
from reindex.daemon import batch_rounds
from reindex.daemon.commands import Commands
from reindex.dev_openai import refusals
from reindex.dev_openai.faults import Hang, Slow
from reindex.dev_openai.refusals import Refusal
from reindex.errors import OutageError
from reindex.report import PassReport
from reindex.settings import DaemonSettings
from reindex.status import recorded_status

LARGE = "text-embedding-3-large"


@pytest.fixture
def house(tmp_path, openai):
    made = ProviderHouse(tmp_path, openai, lane="auto", batch_min_chunks=8, batch_max_wait_s=0, retries_max=0)
    made.settings = replace(made.settings, daemon=DaemonSettings(http="", reconcile_s=1e9, poll_s=0.3))
    return made


def keep(house):
    kept = Kept(house)
    kept.keeper._perform = Commands(kept.condition).perform
    return kept


def fill(house, documents=6):
    for number in range(documents):
        house.write(f"{number}.md", prose(number))


def lose_a_batch(house, openai, job):
    """It is cancelled before it brought a vector, and nobody has had a pass since."""
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    house.cancel(job)
    openai.finish_all()
    with house.app.writer("look", str) as writer:
        attend(house.app, writer, PassReport(), is_last=False)


def test_a_backlog_goes_by_batch_and_edits_at_once(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    with keep(house) as kept:
        kept.until(lambda: [job.state for job in house.jobs()] == ["submitted"])
        house.write("urgent.md", "# Urgent\n\nzebras cross the road\n")
        kept.until(lambda: house.published() is not None and house.found("zebras") == ["urgent.md"])
        status = recorded_status(house.app, state="ready", reasons=(), pending=0, lag_s=0)
        assert status.pending == 6
        assert status.lag_s > 0
        assert any("wait for a batch" in reason for reason in status.reasons)
        openai.release()
        kept.until(lambda: "3.md" in house.found("word3x1"))
        kept.until_equal()
        assert not house.verify().pending
    house.check_paid_once()
    house.check_vectors()


def test_what_was_in_flight_is_taken_in_after_a_restart(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    with keep(house) as kept:
        kept.until(lambda: [job.state for job in house.jobs()] == ["submitted"])
    openai.release()
    openai.finish_all()
    with keep(house) as kept:
        kept.until(lambda: house.published() is not None)
        kept.until_equal()
    house.check_paid_once()
    assert openai.orphans() == []


def test_few_texts_gather_until_the_batch_is_of_age(house, openai):
    house.with_openai(lane="batch", batch_max_wait_s=3600)
    house.write("a.md", prose(1))
    with keep(house) as kept:
        kept.until(lambda: [job.state for job in house.jobs()] == ["planned"])
        house.write("b.md", prose(2))
        kept.until(lambda: house.jobs()[0].texts > len(prose(1).split("\n\n")) + 4)
        assert len(house.jobs()) == 1
        assert openai.requests()["files.create"] == 0
        house.clock.ahead_s += 3601
        kept.until(lambda: house.published() is not None)
        kept.until_equal()
        assert "age" in house.record(1).sealed_by
    house.check_paid_once()


def test_a_rebuild_by_batch_goes_on_by_itself(house, openai):
    fill(house)
    with keep(house) as kept:
        kept.until(lambda: house.published() is not None)
        kept.until_equal()
        openai.options.hold.add("in_progress")
        task = kept.tasks.submit("rebuild", {"model": LARGE})
        kept.until(lambda: task.result is not None or task.error is not None)
        assert task.error is None
        assert task.result["promoted"] is False
        assert task.result["chunks"]["in_flight"] > 8
        house.write("urgent.md", "# Urgent\n\nzebras cross the road\n")
        kept.until(lambda: house.found("zebras") == ["urgent.md"])
        assert house.published().recipe.model != LARGE
        openai.release()
        kept.until(lambda: house.published().recipe.model == LARGE)
        kept.until_equal()
        assert house.found("zebras") == ["urgent.md"]
    assert openai.billed_twice(except_texts=("reindex canary 1",)) == {}


def test_an_outage_is_told_and_over_when_it_is_over(house, openai):
    house.write("a.md", prose(1, paragraphs=1))
    with keep(house) as kept:
        kept.until_equal()
        down = openai.fault("embeddings", Refusal(503, "down for now"), times=10**6)
        house.write("a.md", "# A\n\nnothing but zebras\n")
        kept.until(lambda: kept.condition.failure != "")
        assert kept.condition.state == "degraded"
        assert house.found("zebras") == []
        assert down.met < 10
        openai.clear_faults()
        kept.until(lambda: house.found("zebras") == ["a.md"])
        kept.until(lambda: kept.condition.state == "ready")
    house.check_paid_once()


def test_an_outage_stops_nothing_that_needs_no_provider(house, openai):
    for number in range(3):
        house.write(f"{number}.md", prose(number, paragraphs=1))
    with keep(house) as kept:
        kept.until(lambda: house.published() is not None)
        kept.until_equal()
        poor = openai.fault("embeddings", refusals.no_money(), times=10**6)
        house.write("a.md", "# A\n\nnothing but zebras\n")
        kept.until(lambda: kept.condition.failure != "")
        met = poor.met
        (house.docs / "0.md").unlink()
        (house.docs / "1.md").rename(house.docs / "moved.md")
        house.write("b.md", "# B\n\nnothing but lions\n")
        names = {"moved.md", "2.md"}
        kept.until(lambda: {layout.name.path for layout in house.snapshot().layouts()} == names)
        assert poor.met == met, "it was asked for nothing"
        assert kept.condition.state == "degraded"
        assert kept.condition.pending
        openai.clear_faults()
        task = kept.tasks.submit("sync", {})
        kept.until(lambda: task.is_over)
        assert task.error is None
        kept.until(lambda: kept.condition.state == "ready")
        kept.until_equal()
    house.check_paid_once()


def test_a_document_is_pending_until_it_is_indexed(house, openai):
    """Also between the end of its batch and the pass that takes it in, and when that brought nothing."""
    lose_a_batch(house, openai, job=1)
    assert not house.open_jobs()
    status = recorded_status(house.app, state="ready", reasons=(), pending=0, lag_s=0)
    assert (status.pending, status.live) == (6, None)
    assert status.lag_s > 0
    openai.options.hold.clear()
    house.write("5.md", prose(100))
    (house.docs / "4.md").unlink()
    house.settle()
    status = recorded_status(house.app, state="ready", reasons=(), pending=0, lag_s=0)
    assert (status.pending, status.documents, status.lag_s) == (0, 5, 0)


def test_verify_knows_what_is_due(house, openai):
    house.write("first.md", prose(50))
    house.settle()
    lose_a_batch(house, openai, job=2)
    found = house.verify()
    assert (found.ok, found.pending, found.missing) == (True, 6, 0)
    house.write("0.md", prose(100))
    found = house.verify()
    assert (found.ok, found.pending, found.missing) == (False, 5, 1)


def test_what_is_saved_during_a_slow_answer_is_heard_of(house, openai):
    house.write("first.md", prose(50))
    with keep(house) as kept:
        kept.until(lambda: house.published() is not None)
        kept.until_equal()
        hanging = openai.fault("embeddings", Hang(4))
        house.write("slow.md", "# Slow\n\nsnails\n")
        kept.until(lambda: hanging.met == 1)
        house.write("urgent.md", "# Urgent\n\nzebras cross the road\n")
        kept.until(lambda: kept.condition.waiting == 1)
        assert hanging.met == 1
        assert "slow.md" not in house.found("snails")
        kept.until_equal()


def test_a_cancelled_batch_is_planned_anew(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    with keep(house) as kept:
        kept.until(lambda: [job.state for job in house.jobs()] == ["submitted"])
        task = kept.tasks.submit("cancel", {"job": "1"})
        kept.until(lambda: task.result is not None or task.error is not None)
        assert task.error is None
        openai.options.hold.clear()
        openai.release()
        kept.until(lambda: house.jobs()[0].state not in {JobState.SUBMITTED, JobState.PLANNED})
        kept.until(lambda: house.published() is not None)
        kept.until_equal()
    house.check_paid_once()


def test_two_providers_one_store(tmp_path, openai):
    """A switch of the key while a batch is in flight: it is kept, reported, and taken in when it is back."""
    openai.options.key = ""
    openai.options.hold.add("in_progress")
    house = ProviderHouse(tmp_path, openai)
    fill(house)
    house.sync()
    with StandIn() as other:
        house.with_openai(base_url=other.base_url)
        report = house.sync()
        assert any("another server, key or project" in notice for notice in report.notices)
        assert house.jobs()[0].state == "submitted"
        house.with_openai(base_url=openai.base_url)
    openai.release()
    house.settle()
    house.check_paid_once()


def test_a_saved_file_waits_for_no_slow_download(house, openai):
    fill(house)
    openai.options.hold.add("in_progress")
    with keep(house) as kept:
        kept.until(lambda: [job.state for job in house.jobs()] == ["submitted"])
        slow = openai.fault("files.content", Slow(20_000))
        openai.release()
        kept.until(lambda: slow.met == 1)
        house.write("urgent.md", "# Urgent\n\nzebras cross the road\n")
        kept.until(lambda: house.published() is not None and house.found("zebras") == ["urgent.md"])
        assert house.jobs()[0].state == "submitted"
        kept.until(lambda: house.jobs()[0].state == "done")
        kept.until_equal()
    house.check_paid_once()


def rebuild_and_let_a_sync_take_it_in(house, openai):
    """All its batches have ended, and it waits for somebody to go on with it."""
    fill(house)
    house.settle()
    openai.options.hold.add("in_progress")
    assert house.rebuild(model=LARGE).work.chunks.in_flight > 0
    openai.release()
    openai.finish_all()
    house.sync()


def test_a_rebuild_whose_batch_was_taken_in_by_another_goes_on_too(house, openai):
    rebuild_and_let_a_sync_take_it_in(house, openai)
    assert not house.open_jobs()
    with keep(house) as kept:
        kept.until(lambda: house.published().recipe.model == LARGE)
    assert house.verify().ok


def test_a_rebuild_that_failed_when_it_was_gone_on_with_is_tried_again(house, openai, monkeypatch):
    """All its batches have ended: nothing else would ever bring it up again."""
    monkeypatch.setattr(batch_rounds, "GO_ON_S", (0.05, 0.2))
    rebuild_and_let_a_sync_take_it_in(house, openai)
    kept, failures = keep(house), []
    perform = kept.keeper._perform

    def fails_at_first(app, task, progress):
        if task.options.get("go_on") and len(failures) < 2:
            failures.append(task)
            raise OutageError("the network is away")
        return perform(app, task, progress)

    kept.keeper._perform = fails_at_first
    with kept:
        kept.until(lambda: house.published().recipe.model == LARGE)
    assert len(failures) == 2
    assert house.verify().ok
