"""The fault model in real time: lost answers, wrong ones, a provider that is down, and texts that it refuses
(rows 4, 11, 12, 15, 17 and 22 to 24).
"""

import pytest

from doubles import Told
from provider_house import MODEL, prose
from reindex.core.canary import CANARY_TEXT
from reindex.dev_openai.faults import (
    Cut,
    FewerItems,
    Hang,
    Lines,
    NoIndex,
    Reordered,
    Reset,
    SameIndex,
    WrongVector,
    WrongVectors,
)
from reindex.dev_openai.refusals import Refusal, no_money, rate_limited, server_error
from reindex.errors import OutageError
from reindex.status import store_status
from reindex.stores.booking_rows import Outcome
from reindex.syncing import sync


@pytest.fixture(autouse=True)
def in_real_time(house):
    house.with_openai(lane="realtime", retries_max=2, retry_wait_max_s=5)


def fill(house, documents=4):
    for number in range(documents):
        house.write(f"{number}.md", prose(number))


def check_bill(house, openai):
    """Every token of the provider's is booked, but for those of answers that were lost."""
    with house.app.ledger() as ledger:
        spend = ledger.bookings.spend()
    canaries = openai.billed(CANARY_TEXT) * openai.options.count_tokens(CANARY_TEXT)
    assert abs(spend.tokens - (openai.tokens()["realtime", MODEL] - canaries)) <= 8


@pytest.mark.parametrize(
    ("fault", "timeout_s"),
    [(Reset(after=True), 60), (Cut(0.5), 60), (Hang(3600, after=True), 3)],
    ids=["reset", "cut", "late"],
)
def test_row_4_a_lost_answer_is_counted_and_sent_again(house, openai, fault, timeout_s):
    house.with_openai(timeout_s=timeout_s)  # not shorter: the answer that comes may take its time as well
    fill(house)
    openai.fault("embeddings", fault)
    assert house.sync().documents.added == 4
    lost = house.booked(Outcome.AGAIN_LOST)
    assert lost == 34
    house.check_converged(4, lost=lost)
    assert openai.requests()["embeddings"] == 2


@pytest.mark.parametrize("fault", [Reset(), server_error(503)])
def test_row_4_what_did_not_arrive_is_not_paid_twice(house, openai, fault):
    fill(house)
    openai.fault("embeddings", fault)
    house.sync()
    house.check_converged(4, lost=house.booked(Outcome.AGAIN_LOST))
    house.check_paid_once()


@pytest.mark.parametrize(
    "kind", sorted(set(WrongVector) - {WrongVector.OTHER_MODEL, WrongVector.SHIFTED, WrongVector.SWAPPED})
)
def test_row_23_one_wrong_vector_costs_one_text(house, openai, kind):
    fill(house)
    openai.fault("embeddings", WrongVectors(kind, Lines(containing="word2x1")))
    assert house.sync().documents.added == 4
    wrong = house.booked(Outcome.UNUSABLE)
    assert 1 <= wrong <= 4
    house.check_converged(4, lost=wrong)
    assert len(openai.billed_twice(except_texts=(CANARY_TEXT,))) == wrong
    assert openai.requests()["embeddings"] == 2
    check_bill(house, openai)


def test_row_23_a_vector_that_stays_wrong_fails_its_document(house, openai):
    fill(house)
    openai.fault("embeddings", WrongVectors(WrongVector.NAN, Lines(containing="word2x1")), times=None)
    report = house.sync()
    assert list(report.failures) == ["docs:2.md"]
    assert "wrong" in report.failures["docs:2.md"]
    assert report.documents.added == 3
    requests = openai.requests()["embeddings"]
    assert requests <= 24
    house.sync()
    assert openai.requests()["embeddings"] == requests  # it is a dead letter
    openai.clear_faults()
    house.retry()
    house.sync()
    again = house.booked(Outcome.AGAIN_LOST)
    house.check_converged(4, lost=again)
    assert again <= 4 * 4
    check_bill(house, openai)


@pytest.mark.parametrize("fault", [FewerItems(2), SameIndex(), FewerItems(30)])
def test_row_22_what_is_missing_or_there_twice_is_sent_again_alone(house, openai, fault):
    fill(house)
    openai.fault("embeddings", fault)
    assert house.sync().documents.added == 4
    again = house.booked(Outcome.AGAIN_LOST)
    assert 1 <= again <= 30
    house.check_converged(4, lost=again)
    assert openai.requests()["embeddings"] <= 3
    check_bill(house, openai)


def test_row_22_another_order_is_no_fault(house, openai):
    fill(house)
    openai.fault("embeddings", Reordered(), times=None)
    house.sync()
    house.check_converged(4)


@pytest.mark.parametrize(
    "fault",
    [NoIndex(), WrongVectors(WrongVector.NAN), WrongVectors(WrongVector.OTHER_MODEL), FewerItems(2048)],
    ids=["no index", "NaN", "other model", "no items"],
)
def test_rows_22_and_23_a_server_that_is_always_wrong_is_an_outage_and_no_text_s_fault(house, openai, fault):
    fill(house)
    openai.fault("embeddings", fault, times=None)
    for _ in range(2):
        with pytest.raises(OutageError, match="answered wrongly") as caught:
            house.sync()
        assert caught.value.is_lasting
    assert openai.requests()["embeddings"] <= 2 * (3 + 3)  # the canary's own among them
    status = store_status(house.app)
    assert (status.pending, status.failures) == (4, ())
    assert house.booked(Outcome.UNUSABLE) == 6 * 34
    openai.clear_faults()
    house.sync()
    house.check_converged(4, lost=6 * 34)


@pytest.mark.parametrize("kind", [WrongVector.SHIFTED, WrongVector.SWAPPED])
def test_row_24_the_canary_tells_of_vectors_of_other_texts(house, openai, kind):
    house.write("before.md", prose(100))
    house.sync()
    fill(house)
    openai.fault("embeddings", WrongVectors(kind))
    with pytest.raises(OutageError, match="canary"):
        house.sync()
    assert house.booked(Outcome.UNUSABLE) == 34
    house.sync()
    house.check_converged(5, lost=34)
    check_bill(house, openai)


def test_row_24_the_canary_is_in_every_pass_of_a_process_that_lives_long(house, openai):
    app = house.app

    def edit(number):
        house.write("a.md", prose(number))
        sync(app, Told(), accept_deletes=False)

    edit(0)
    openai.fault("embeddings", WrongVectors(WrongVector.SWAPPED))
    with pytest.raises(OutageError, match="canary"):
        edit(1)
    edit(2)
    assert openai.billed(CANARY_TEXT) == openai.requests()["embeddings"] == 3
    house.check_vectors()


def test_a_canary_that_is_wrong_alone_sings_once_more(house, openai):
    fill(house)
    openai.fault("embeddings", WrongVectors(WrongVector.NAN, Lines(first=1)))
    house.sync()
    house.check_converged(4)
    assert openai.requests()["embeddings"] == 2


def test_a_request_that_is_full_has_no_room_for_the_canary(house, openai):
    house.with_openai(max_inputs_per_request=17, retries_max=0)
    fill(house)  # 34 texts
    openai.fault("embeddings", server_error(500), n=3)
    with pytest.raises(OutageError):
        house.sync()
    house.sync()
    house.check_converged(4, lost=house.booked(Outcome.AGAIN_LOST))
    house.check_paid_once()


def test_row_15_texts_that_are_refused_fail_alone(house, openai):
    fill(house, documents=6)
    openai.fault(
        "embeddings",
        Refusal(400, "this text offends us"),
        times=None,
        where=lambda call: b"word2x1" in call.body or b"word5x0" in call.body,
    )
    report = house.sync()
    assert sorted(report.failures) == ["docs:2.md", "docs:5.md"]
    assert all("offends us" in reason for reason in report.failures.values())
    assert openai.requests()["embeddings"] <= 80
    house.check_paid_once()
    openai.clear_faults()
    house.retry()
    house.sync()
    house.check_converged(6)


# a provider that is down


DOWN = {
    "503": server_error(503),
    "no money": no_money(),
    "slow down for an hour": rate_limited(3_600),
    "reset": Reset(),
}


@pytest.mark.parametrize("fault", DOWN.values(), ids=DOWN)
def test_what_needs_no_provider_is_published_in_an_outage(house, openai, fault):
    fill(house, documents=6)
    house.sync()
    before = openai.requests()["embeddings"]
    openai.fault("embeddings", fault, times=None)
    (house.docs / "0.md").unlink()
    (house.docs / "1.md").rename(house.docs / "moved.md")
    house.write("copy.md", prose(2))
    house.write("3.md", prose(3) + "\nanother paragraph about zebras\n")
    house.write("new.md", prose(90))
    for _ in range(2):
        with pytest.raises(OutageError) as caught:
            house.sync()
        assert caught.value.hint
        assert set(house.found("document")) == {"2.md", "3.md", "4.md", "5.md", "copy.md", "moved.md"}
    assert openai.requests()["embeddings"] - before <= 6
    status = store_status(house.app)
    assert (status.pending, status.failures) == (2, ())
    assert house.found("zebras") == []
    openai.clear_faults()
    house.sync()
    house.check_converged(7, lost=house.booked(Outcome.AGAIN_LOST))
    house.check_paid_once()


def test_row_12_slow_down_and_try_again(house, openai):
    fill(house)
    openai.fault("embeddings", rate_limited(0.2), times=2)
    house.sync()
    house.check_converged(4)
    assert openai.requests()["embeddings"] == 3
