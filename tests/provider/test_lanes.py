"""Which lane texts take, what waits meanwhile, and that each is paid once."""

import pytest

from provider_house import MODEL, prose
from reindex.core.canary import CANARY_TEXT
from reindex.errors import NothingIndexedError
from reindex.planning import make_plan
from reindex.stores.booking_rows import Outcome


def fill(house, documents=4):
    for number in range(documents):
        house.write(f"{number}.md", prose(number))


def test_a_batch_is_sent_and_taken_in_by_the_next_sync(house, openai):
    fill(house)
    openai.options.hold.add("in_progress")
    sent = house.sync()
    assert (sent.generation, sent.version, sent.documents.pending) == (None, None, 4)
    assert sent.chunks.in_flight > 0
    assert [job.state for job in house.jobs()] == ["submitted"]
    with pytest.raises(NothingIndexedError):
        house.reader().search("anything")
    openai.finish_all()
    done = house.sync()
    assert done.documents.added == 4
    assert (done.documents.pending, done.chunks.in_flight) == (0, 0)
    assert done.chunks.embedded == sent.chunks.in_flight
    assert done.cost_usd > 0
    assert [job.state for job in house.jobs()] == ["done"]
    assert house.verify().ok
    house.check_vectors()
    house.check_paid_once()


def test_a_second_sync_pays_and_sends_nothing(house, openai):
    fill(house)
    openai.options.hold.add("in_progress")
    house.sync()
    before = openai.requests()
    again = house.sync()
    assert again.documents.pending == 4
    assert openai.requests()["batches.create"] == before["batches.create"] == 1
    assert openai.requests()["files.create"] == 1


def test_wait_stays_until_all_is_indexed(house, openai):
    fill(house)
    openai.options.stage_s["in_progress"] = 0.3
    report = house.sync(wait_s=30)
    assert report.documents.added == 4
    assert (report.documents.pending, report.chunks.in_flight) == (0, 0)
    assert report.generation == 1
    assert report.chunks.embedded + report.chunks.reused == report.chunks.total
    house.check_paid_once()


def test_auto_takes_the_fast_lane_below_the_limit_and_the_batch_from_it_on(house, openai):
    house.with_openai(lane="auto", batch_min_chunks=8)
    house.write("few.md", prose(100, paragraphs=2))
    assert house.sync().documents.added == 1
    assert openai.requests()["batches.create"] == 0
    fill(house, documents=6)
    report = house.sync()
    assert (report.documents.added, report.documents.pending) == (0, 6)
    assert openai.requests()["batches.create"] == 1
    house.settle()
    house.check_paid_once()
    assert house.verify().ok


def test_edits_are_indexed_at_once_while_a_batch_is_in_flight(house, openai):
    house.with_openai(lane="auto", batch_min_chunks=8)
    openai.options.hold.add("in_progress")
    fill(house, documents=6)
    house.sync()
    house.write("urgent.md", "# Urgent\n\nzebras cross the road\n")
    report = house.sync()
    assert (report.documents.added, report.documents.pending) == (1, 6)
    assert house.found("zebras") == ["urgent.md"]
    openai.finish_all()
    house.settle()
    house.check_paid_once()
    assert house.verify().ok


def test_the_old_revision_answers_until_the_new_vectors_are_there(house, openai):
    house.write("a.md", "# A\n\nthe elder text of apples\n")
    house.settle()
    openai.options.hold.add("in_progress")
    house.write("a.md", "# A\n\nthe newer text of pears\n")
    house.sync()
    assert house.found("apples") == ["a.md"]
    assert house.found("pears") == []
    openai.finish_all()
    house.sync()
    assert (house.found("apples"), house.found("pears")) == ([], ["a.md"])


def test_a_text_in_flight_is_not_sent_for_another_document(house, openai):
    openai.options.hold.add("in_progress")
    house.write("a.md", prose(1))
    house.sync()
    house.write("copy.md", prose(1))
    report = house.sync()
    assert report.documents.pending == 2
    assert openai.requests()["batches.create"] == 1
    openai.finish_all()
    assert house.sync().documents.added == 2
    house.check_paid_once()


def test_edit_rename_and_delete_while_their_batch_is_in_flight(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    house.write("0.md", prose(0) + "\none paragraph more\n")
    (house.docs / "1.md").rename(house.docs / "moved.md")
    (house.docs / "2.md").unlink()
    house.sync()
    openai.release()
    openai.finish_all()
    report = house.settle()
    assert report.documents.pending == 0
    assert house.verify().ok
    house.check_vectors()
    house.check_paid_once()
    house.write("2.md", prose(2))  # its late vectors were kept
    assert house.sync().documents.added == 1
    house.check_paid_once()


def test_now_pays_again_for_what_is_in_flight_and_counts_it(house, openai):
    openai.options.hold.add("in_progress")
    fill(house, documents=2)
    in_flight = house.sync().chunks.in_flight
    report = house.sync(is_now=True)
    assert report.documents.added == 2
    assert any("paid again" in notice for notice in report.notices)
    assert house.booked(Outcome.AGAIN_NOW) == in_flight
    openai.finish_all()
    house.sync()
    assert len(openai.billed_twice(except_texts=(CANARY_TEXT,))) == in_flight
    assert house.verify().ok


def test_a_server_without_batches_gets_everything_in_real_time(house, openai):
    openai.options.has_batches = False
    house.with_openai(has_batch=False)
    fill(house)
    assert house.sync().documents.added == 4
    assert openai.requests()["files.create"] == 0


def test_requests_are_as_few_as_the_caps_allow(house, openai):
    openai.options.items_max = 10
    house.with_openai(lane="realtime", max_inputs_per_request=10)
    fill(house, documents=7)
    report = house.sync()
    least = -(-report.chunks.embedded // 10)
    assert openai.requests()["embeddings"] <= least + 2  # windows are of whole documents; the canary


def test_plan_prices_both_lanes_and_leaves_out_what_is_in_flight(house, openai):
    fill(house)
    before = make_plan(house.app, house.told)
    assert before.to_embed > 0
    assert before.usd_realtime == pytest.approx(before.tokens * 0.02e-6)
    assert before.usd_batch == pytest.approx(before.tokens * 0.01e-6)
    assert openai.requests() == {}
    openai.options.hold.add("in_progress")
    house.sync()
    after = make_plan(house.app, house.told)
    assert (after.to_embed, after.in_flight) == (0, before.to_embed)


def test_the_bill_is_the_providers(house, openai):
    fill(house)
    house.settle()
    house.with_openai(lane="realtime")
    house.write("more.md", prose(50))
    house.sync()
    with house.app.ledger() as ledger:
        spend = ledger.bookings.spend()
    canary = openai.options.count_tokens(CANARY_TEXT)
    billed = openai.tokens()
    times = openai.billed(CANARY_TEXT)
    total = billed["batch", MODEL] + billed["realtime", MODEL] - times * canary
    assert abs(spend.tokens - total) <= 2  # the canary of a real-time request is estimated
    assert spend.usd == pytest.approx(spend.tokens * 0.02e-6 - spend.saved_usd, rel=1e-3)
    assert spend.saved_usd == pytest.approx((billed["batch", MODEL] - canary) * 0.01e-6, rel=1e-3)


def test_a_batch_can_be_cancelled_and_gives_what_it_has(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    openai.progress(openai.batches()[0], 0.5)
    house.cancel(1)
    openai.finish_all()
    openai.options.hold.clear()
    report = house.settle()
    assert report.documents.pending == 0
    assert openai.requests()["batches.create"] == 2
    house.check_paid_once()
    assert house.verify().ok


def test_a_rebuild_by_batch_reuses_nothing_that_it_embedded(house, openai):
    fill(house)
    house.settle()
    work = house.rebuild(model="text-embedding-3-large", wait_s=60).work
    assert work.chunks.embedded > 0
    assert work.chunks.reused == work.chunks.total - work.chunks.embedded, "the same text, elsewhere"
    work = house.rebuild().work
    assert (work.chunks.embedded, work.chunks.reused) == (0, work.chunks.total)
    house.check_paid_once()


def test_what_is_gathered_again_waits_since_the_first_time(house, openai):
    def waited_s():
        with house.app.ledger() as ledger:
            (wait,) = ledger.waits.all(1).values()
        assert wait.is_in_flight
        return house.clock.now() - wait.since

    openai.options.hold.add("in_progress")
    house.write("a.md", prose(1))
    house.sync()
    house.clock.ahead_s += 7_200
    house.cancel(1)
    openai.finish_all()
    house.sync()
    assert [job.state for job in house.jobs()] == ["done", "submitted"]
    assert waited_s() >= 7_200
    house.write("a.md", prose(2))
    house.sync()
    assert waited_s() < 7_200  # another revision
