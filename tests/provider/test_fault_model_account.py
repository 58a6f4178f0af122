"""Rows 11 to 13 and 35 of the fault model, and the budget: what the account may not, or not now."""

import pytest

from openai_standin import KEY, StandIn
from provider_house import MODEL, prose
from reindex.dev_openai.batch_faults import Fails
from reindex.dev_openai.refusals import forbidden, hard_limit, no_money, rate_limited, wrong_key
from reindex.document_status import DocumentState, document_status
from reindex.errors import OutageError
from reindex.search import SearchMode
from reindex.status import recorded_status, store_status
from reindex.stores.booking_rows import Outcome
from reindex.stores.snapshot import Filter

DAY_S = 86_400


def fill(house, documents=4):
    for number in range(documents):
        house.write(f"{number}.md", prose(number))


REFUSALS = [wrong_key(), forbidden(), no_money(), hard_limit()]
NAMES = ["wrong key", "forbidden", "no money", "hard limit"]


@pytest.mark.parametrize("refusal", REFUSALS, ids=NAMES)
@pytest.mark.parametrize("route", ["batches.create", "files.content"])
def test_row_11_everything_is_kept_and_goes_on_when_the_account_is_mended(house, openai, route, refusal):
    fill(house)
    if route == "files.content":
        house.sync()
        openai.finish_all()
    openai.fault(route, refusal, times=None)
    before = openai.requests()[route]
    for _ in range(5):
        with pytest.raises(OutageError) as caught:
            house.sync()
        assert caught.value.is_lasting
        assert caught.value.hint
    assert openai.requests()[route] - before <= 10  # two looks each: no storm
    status = store_status(house.app)
    assert (status.pending, status.failures) == (4, ())
    openai.clear_faults()
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 1


def test_row_11_waiting_ends_when_no_wait_helps(house, openai):
    fill(house)
    openai.options.hold.add("in_progress")
    house.sync()
    openai.fault("batches.list", no_money(), times=None)
    with pytest.raises(OutageError, match="quota"):
        house.sync(wait_s=60)
    assert openai.requests()["batches.list"] <= 4


@pytest.mark.parametrize("code", ["billing_hard_limit_reached", "insufficient_quota"])
def test_row_11_a_batch_that_fails_for_money_is_no_text_s_attempt(house, openai, code):
    fill(house)
    openai.fault("batch", Fails(code, "Billing hard limit has been reached."), times=3)
    errors = []
    for _ in range(12):
        try:
            house.sync()
        except OutageError as error:
            errors.append(error)
        openai.finish_all()
        house.clock.ahead_s += 200
    assert len(openai.batches()) == 4  # every ten minutes one
    assert len(errors) >= 6
    assert all("Billing hard limit" in error.message and error.is_lasting for error in errors)
    house.settle()
    house.check_converged(4)


def test_row_12_a_long_retry_after_is_waited_for(house, openai):
    fill(house)
    openai.options.hold.add("in_progress")
    house.sync()
    openai.fault("batches.list", rate_limited(3_600), times=None)
    with pytest.raises(OutageError) as caught:
        house.sync(wait_s=1.5)
    assert caught.value.wait_s == 3_600
    assert "3,600" in caught.value.message
    assert openai.requests()["batches.list"] <= 3  # it polls every 10 ms otherwise
    openai.clear_faults()
    openai.release()
    house.settle()
    house.check_converged(4)


def test_row_12_slow_down_at_the_creation(house, openai):
    fill(house)
    openai.fault("batches.create", rate_limited(1), times=3)
    house.settle(through=OutageError)
    house.check_converged(4)
    assert len(openai.batches()) == 1
    assert openai.requests()["files.create"] == 1


def test_row_13_the_queue_s_limit_is_learned_and_batches_are_smaller_from_then_on(house, openai):
    fill(house, documents=8)
    openai.options.queue_tokens_max = 500
    report = house.settle(rounds=30)
    assert report.documents.failed == 0
    house.check_converged(8)
    first, *others = openai.batches()
    assert first.status == "failed"
    assert all(batch.status == "completed" for batch in others)
    assert "Limit: 500 enqueued tokens" in house.reasons()[0]


def test_row_13_what_waits_for_the_queue_says_so(house, openai):
    openai.options.queue_tokens_max = 500
    house.with_openai(batch_queue_tokens=500)
    openai.options.hold.add("in_progress")
    fill(house, documents=8)
    house.sync()
    report = house.sync()
    assert any("waits for the provider's queue" in notice for notice in report.notices)
    assert all(batch.status != "failed" for batch in openai.batches())
    openai.release()
    house.settle(rounds=30)
    house.check_converged(8)
    assert all(batch.status == "completed" for batch in openai.batches())


def test_row_13_a_queue_that_others_fill_is_asked_rarely_and_nothing_is_refused(house, openai):
    fill(house)
    openai.fault("batch", Fails("token_limit_exceeded", "Limit: 3,000,000 enqueued tokens."), times=None)
    for _ in range(10):
        report = house.sync()
        openai.finish_all()
    assert report.documents.failed == 0
    assert report.documents.pending == 4
    assert len(openai.batches()) <= 3
    assert any("queue" in notice for notice in report.notices)
    openai.clear_faults()
    house.clock.ahead_s += 3_600
    house.settle()
    house.check_converged(4)


def test_row_13_a_queue_that_is_free_again_is_tried_within_seconds(house, openai):
    fill(house)
    openai.fault("batch", Fails("token_limit_exceeded", "Limit: 3,000,000 enqueued tokens."))
    house.sync()
    openai.finish_all()
    house.sync()
    house.clock.ahead_s += 5
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 2


def test_row_35_another_server_is_not_asked_and_nothing_is_sent_again(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    with StandIn() as other:
        home = house.openai
        house.openai = other
        house.with_openai(base_url=other.base_url)
        for _ in range(3):
            report = house.sync()
            assert report.documents.pending == 4
            assert any("another server, key or project" in notice for notice in report.notices)
        assert "another server, key or project" in house.reasons()[0]
        house.write("new.md", prose(50))
        house.sync()
        assert len(other.batches()) == 1  # what is new goes to where we are
        other.finish_all()
        assert house.sync().documents.added == 1
        house.openai = home
        house.with_openai(base_url=home.base_url)
    openai.release()
    house.settle()
    assert house.verify().ok
    house.check_vectors()
    house.check_paid_once()
    assert house.booked(Outcome.AGAIN_STUCK) == 0


def test_row_35_it_can_be_given_up_and_is_counted(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    texts = house.sync().chunks.in_flight
    with StandIn() as other:
        house.openai = other
        house.with_openai(base_url=other.base_url)
        house.sync()
        house.cancel(1)
        house.settle()
        house.check_converged(4, stuck=texts)
        house.openai = openai


def test_row_35_a_new_key_of_the_same_project_goes_on(house, openai):
    openai.options.hold.add("in_progress")
    fill(house)
    house.sync()
    openai.options.key = "sk-standin-another-9876543210"
    assert openai.key != KEY
    openai.release()
    house.settle()
    house.check_converged(4)
    assert len(openai.batches()) == 1


def test_row_35_what_was_gathered_under_another_key_is_sent_under_this_one(house, openai):
    fill(house)
    openai.fault("files.create", wrong_key(), times=1)
    with pytest.raises(OutageError):
        house.sync()
    openai.options.key = "sk-standin-another-9876543210"
    house.settle()
    house.check_converged(4)


# the budget: of a day, reserved when a batch is sent


def usd_of(tokens):
    return tokens * 0.01e-6


def test_what_the_budget_holds_back_says_so_and_goes_on_the_next_day(house, openai):
    house.with_openai(budget_usd_per_day=usd_of(600))
    openai.options.hold.add("in_progress")
    fill(house, documents=8)  # some 950 tokens as we count
    report = house.sync()
    assert any("held by the budget" in notice for notice in report.notices)
    assert any("held by the budget" in reason for reason in house.reasons())
    sent = len(openai.batches())
    assert sent >= 1
    openai.release()
    openai.finish_all()
    report = house.sync()
    assert 0 < report.documents.added < 8
    assert openai.tokens()["batch", MODEL] <= 600
    hits = house.reader().search("paragraph", 10, SearchMode.VECTOR, Filter(None, None)).hits
    assert hits  # queries are never held
    house.clock.ahead_s += DAY_S
    openai.finish_all()
    house.settle()
    house.check_converged(8)


def test_a_budget_smaller_than_a_batch_makes_batches_smaller(house, openai):
    fill(house, documents=8)
    house.with_openai(budget_usd_per_day=usd_of(200))
    for _ in range(12):
        report = house.sync()
        openai.finish_all()
        report = house.sync()
        if not report.documents.pending:
            break
        house.clock.ahead_s += DAY_S
        openai.advance(60)
    house.check_converged(8)
    assert all(batch.tokens <= 200 for batch in openai.batches())


def test_a_budget_that_is_lowered_cuts_what_was_sealed_already(house, openai):
    fill(house, documents=8)
    openai.fault("files.create", no_money(), times=1)
    with pytest.raises(OutageError):
        house.sync()
    house.with_openai(budget_usd_per_day=usd_of(300))
    for _ in range(12):
        house.sync()
        openai.finish_all()
        report = house.sync()
        if not report.documents.pending:
            break
        house.clock.ahead_s += DAY_S
    house.check_converged(8)


def test_the_budget_of_the_fast_lane(house, openai):
    house.with_openai(lane="realtime", budget_usd_per_day=2 * usd_of(300))
    fill(house, documents=8)
    report = house.sync()
    assert report.documents.pending > 0
    assert any("budget" in notice for notice in report.notices)
    assert openai.tokens()["realtime", MODEL] <= 300
    spend = store_status(house.app).spend
    assert report.tokens_embedded == spend.tokens > 0
    assert report.cost_usd == pytest.approx(spend.usd)
    assert report.chunks.embedded > 0
    assert report.commits == (1 if report.documents.added else 0)
    check_held_back(house, report.documents.pending)
    house.write("0.md", prose(100))  # no word of the budget holds for what changed since
    check_held_back(house, house.sync().documents.pending)
    for _ in range(8):
        house.clock.ahead_s += DAY_S
        report = house.sync()
    assert report.documents.pending == 0
    assert not any("budget" in reason for reason in store_status(house.app).reasons)
    house.check_converged(8)


def check_held_back(house, documents):
    """It is pending with its reason, for all who ask, and no drift."""
    status = store_status(house.app)
    assert status.pending == documents
    assert f"{documents} documents held back by the budget of the day (UTC)" in status.reasons
    recorded = recorded_status(house.app, state="ready", reasons=[], pending=0, lag_s=0.0)
    assert (recorded.pending, recorded.reasons) == (documents, status.reasons[-1:])
    states = [document_status(house.app, str(path)) for path in sorted(house.docs.iterdir())]
    reasons = [found.reason for found in states if found.state is DocumentState.PENDING]
    assert len(reasons) == documents
    assert all("budget" in reason for reason in reasons)
    if status.live is not None:
        found = house.verify()
        assert (found.ok, found.pending) == (True, documents)


def test_row_13_a_learned_limit_is_tried_out_again(house, openai):
    with house.app.writer("test", lambda _: None) as writer:
        context = house.app.batch_context(writer.stores)
        assert context.queue_limit("a model") == 0
        context.learn_queue_limit("a model", 5_000)
        assert context.queue_limit("a model") == 5_000
        house.clock.ahead_s += 7 * 3_600
        assert context.queue_limit("a model") == 0
