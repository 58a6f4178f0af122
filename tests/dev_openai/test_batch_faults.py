"""What becomes of a batch that does not go well."""

import json

import openai
import pytest

from openai_calls import SMALL, create_batch, read_lines, request_lines, upload
from reindex.dev_openai.batch_faults import (
    Dropped,
    Duplicated,
    Fails,
    Garbled,
    GoneOutput,
    Halfway,
    LineFails,
    NoOutput,
    Stuck,
    TruncatedOutput,
    Unknown,
)
from reindex.dev_openai.faults import Lines


@pytest.fixture
def outcome(standin, client):
    """A function: the fault, to the batch of ten lines that it happened to."""

    def run(*faults):
        for fault in faults:
            standin.fault("batch", fault)
        batch = create_batch(client, request_lines(10))
        standin.finish(batch)
        return client.batches.retrieve(batch.id)

    return run


def counts(batch):
    return batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed


def ids(lines):
    return sorted(line["custom_id"] for line in lines)


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
def test_it_is_stuck_past_its_expiry(standin, client, status):
    standin.fault("batch", Stuck(status))
    if status == "cancelling":
        standin.options.hold.add("in_progress")
    batch = create_batch(client, request_lines(2))
    if status == "cancelling":
        client.batches.cancel(batch.id)
    standin.wait_for(batch, status)
    standin.advance(200_000)
    well = create_batch(client, request_lines(1))
    standin.options.hold.clear()
    standin.finish(well)  # the worker has looked at both since
    assert client.batches.retrieve(batch.id).status == status
    standin.finish(batch)
    assert not standin.batch(batch).is_open


def test_it_can_be_cancelled_where_it_is_stuck(standin, client):
    standin.fault("batch", Stuck("finalizing"))
    batch = create_batch(client, request_lines(2))
    standin.wait_for(batch, "finalizing")
    client.batches.cancel(batch.id)
    standin.wait_for(batch, "cancelled")
    assert len(read_lines(client, client.batches.retrieve(batch.id).output_file_id)) == 2


@pytest.mark.parametrize("code", ["token_limit_exceeded", "billing_hard_limit_reached", "server_error"])
def test_it_fails_in_validation_and_nothing_is_billed(standin, outcome, code):
    batch = outcome(Fails(code))
    assert (batch.status, batch.errors.data[0].code) == ("failed", code)
    assert standin.bill() == {}


@pytest.mark.parametrize(
    ("ending", "code"), [("expired", "batch_expired"), ("cancelled", "batch_cancelled"), ("failed", None)]
)
def test_it_ends_halfway(standin, client, outcome, ending, code):
    batch = outcome(Halfway(ending, 0.3))
    assert (batch.status, counts(batch)) == (ending, (10, 3, 0))
    done = ids(read_lines(client, batch.output_file_id))
    assert sum(standin.bill().values()) == len(done) == 3
    if code is None:
        assert batch.error_file_id is None
        assert batch.errors.data
        return
    left = read_lines(client, batch.error_file_id)
    assert sorted(done + ids(left)) == ids(request_lines(10))
    assert {line["error"]["code"] for line in left} == {code}
    assert {line["response"] for line in left} == {None}


def test_a_test_lets_its_window_close(standin, client):
    standin.options.hold.add("in_progress")
    batch = create_batch(client, request_lines(10))
    standin.wait_for(batch, "in_progress")
    assert standin.expire(batch, 0.2).status == "expired"
    assert counts(client.batches.retrieve(batch.id)) == (10, 2, 0)


def test_lines_are_dropped(standin, client, outcome):
    batch = outcome(Dropped(Lines(every=5)))
    assert (counts(batch), batch.error_file_id) == ((10, 10, 0), None)
    assert ids(request_lines(10)) != ids(read_lines(client, batch.output_file_id))
    assert not {"id-0", "id-5"} & set(ids(read_lines(client, batch.output_file_id)))
    assert standin.billed("text number 5") == 1
    outcome(Dropped(Lines(every=5), is_billed=False))
    assert (standin.billed("text number 5"), standin.billed("text number 4")) == (1, 2)


def test_lines_are_there_twice_and_some_were_never_asked_for(standin, client, outcome):
    batch = outcome(Duplicated(Lines(first=2)), Unknown(3))
    got = ids(read_lines(client, batch.output_file_id))
    assert len(got) == 15
    assert got.count("id-0") == got.count("id-1") == 2
    assert sum(name.startswith("unknown-") for name in got) == 3
    assert standin.billed_twice() == {}
    assert sum(standin.bill().values()) == 10


@pytest.mark.parametrize("status", [400, 429, 500])
def test_lines_fail(standin, client, outcome, status):
    batch = outcome(LineFails(status, Lines(every=2)))
    assert (batch.status, counts(batch)) == ("completed", (10, 5, 5))
    lines = read_lines(client, batch.error_file_id)
    assert {(line["error"], line["response"]["status_code"]) for line in lines} == {(None, status)}
    assert lines[0]["response"]["body"]["error"]["message"]
    assert standin.billed("text number 0") == 0


@pytest.mark.parametrize("no_id", [None, ""])
def test_all_lines_fail_and_it_completes_without_output(standin, outcome, no_id):
    standin.options.no_id = no_id
    batch = outcome(LineFails(500))
    assert (batch.status, batch.output_file_id, counts(batch)) == ("completed", no_id, (10, 0, 10))
    assert batch.error_file_id
    assert standin.bill() == {}


def test_it_completes_without_the_output_that_was_paid(standin, outcome):
    batch = outcome(NoOutput())
    assert (batch.output_file_id, batch.error_file_id, counts(batch)) == (None, None, (10, 10, 0))
    assert sum(standin.bill().values()) == 10


def test_the_stored_output_ends_early_and_its_size_agrees(client, outcome):
    batch = outcome(TruncatedOutput(0.55))
    content = client.files.content(batch.output_file_id).content
    assert client.files.retrieve(batch.output_file_id).bytes == len(content)
    assert not content.endswith(b"\n")
    *whole, last = content.split(b"\n")
    assert len([json.loads(line) for line in whole]) == 5
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(last)


def test_a_line_of_the_output_is_no_json(client, outcome):
    batch = outcome(Garbled(Lines(first=1)))
    lines = client.files.content(batch.output_file_id).content.splitlines()
    broken = [line for line in lines if not line.endswith(b"}")]
    assert (len(lines), len(broken)) == (10, 1)


def test_the_output_is_gone_before_it_is_read(standin, client):
    standin.options.fresh_missing_s = 1
    standin.fault("batch", GoneOutput())
    file_id = upload(client, request_lines(10)).id
    standin.advance(2)
    batch = client.batches.create(input_file_id=file_id, endpoint="/v1/embeddings", completion_window="24h")
    standin.finish(batch)
    standin.advance(2)
    batch = client.batches.retrieve(batch.id)
    assert batch.output_file_id
    with pytest.raises(openai.NotFoundError):
        client.files.content(batch.output_file_id)


def test_faults_are_for_the_batch_that_is_meant(standin, client):
    standin.fault("batch", Fails("server_error"), where=lambda batch: batch.metadata == {"job": "2"})
    made = [create_batch(client, request_lines(1), metadata={"job": str(n)}) for n in range(4)]
    standin.finish_all()
    assert [standin.batch(batch).status for batch in made] == [
        "completed",
        "completed",
        "failed",
        "completed",
    ]


def test_orphans_are_what_nobody_fetched(standin, client, outcome):
    batch = outcome()
    assert [orphan.id for orphan in standin.orphans()] == [batch.id]
    read_lines(client, batch.output_file_id)
    assert standin.orphans() == []
    standin.options.hold.add("in_progress")
    still = create_batch(client, request_lines(1))
    assert [orphan.id for orphan in standin.orphans()] == [still.id]


def test_the_bill_knows_lanes_and_models(standin, client, outcome):
    outcome()
    client.embeddings.create(model=SMALL, input="text number 3")
    client.embeddings.create(model="text-embedding-ada-002", input="text number 4")
    client.embeddings.create(model=SMALL, input="text number 4", dimensions=8)
    assert standin.bill()["realtime", "text number 3"] == standin.bill()["batch", "text number 3"] == 1
    assert standin.billed_twice() == {"text number 3": 2}
    assert standin.billed_twice(except_texts=["text number 3"]) == {}
    assert (standin.billed("text number 4"), standin.billed("text number 4", SMALL)) == (3, 2)
    assert standin.tokens() == {
        ("batch", SMALL): 40,
        ("realtime", SMALL): 8,
        ("realtime", "text-embedding-ada-002"): 4,
    }
