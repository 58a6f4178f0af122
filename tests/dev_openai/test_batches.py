"""Batches as the SDK sees them: their life, their lists and their limits."""

import openai
import pytest

from openai_calls import (
    LARGE,
    SMALL,
    create_batch,
    decoded,
    line_vector,
    read_lines,
    request_line,
    request_lines,
    upload,
)


def test_a_batch_is_answered_line_by_line_in_another_order(standin, client):
    batch = create_batch(client, request_lines(20), metadata={"job": "7"})
    assert (batch.object, batch.status, batch.completion_window) == ("batch", "validating", "24h")
    assert batch.expires_at == batch.created_at + 86_400
    standin.finish(batch)
    done = client.batches.retrieve(batch.id)
    assert (done.status, done.metadata, done.model, done.errors) == ("completed", {"job": "7"}, SMALL, None)
    assert done.error_file_id is None
    assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (
        20,
        20,
        0,
    )
    assert done.usage.input_tokens == done.usage.total_tokens == sum(standin.tokens().values()) == 80
    lines = read_lines(client, done.output_file_id)
    ids = [line["custom_id"] for line in lines]
    assert sorted(ids) == sorted(f"id-{number}" for number in range(20)) != ids
    for line in lines:
        assert (line["error"], line["response"]["status_code"]) == (None, 200)
        assert line["response"]["body"]["model"] == SMALL
        text = "text number " + line["custom_id"].removeprefix("id-")
        again = client.embeddings.create(model=SMALL, input=text).data[0].embedding
        assert line_vector(line).tolist() == decoded(again).tolist()


def test_output_files_are_files_of_the_account(standin, client):
    batch = create_batch(
        client, request_lines(2), output_expires_after={"anchor": "created_at", "seconds": 7200}
    )
    standin.finish(batch)
    output = client.files.retrieve(client.batches.retrieve(batch.id).output_file_id)
    assert (output.purpose, output.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    assert output.bytes == len(client.files.content(output.id).content)
    assert output.expires_at == output.created_at + 7200
    standin.advance(7201)
    with pytest.raises(openai.NotFoundError):
        client.files.content(output.id)


def test_lines_may_have_several_inputs_dimensions_and_floats(standin, client):
    lines = [
        request_line("one", ["a", "b", "c"], model=LARGE, dimensions=8, encoding_format="float"),
        request_line("two", "a", model=LARGE),
    ]
    batch = create_batch(client, lines)
    standin.finish(batch)
    output = {
        line["custom_id"]: line["response"]["body"]["data"]
        for line in read_lines(client, client.batches.retrieve(batch.id).output_file_id)
    }
    assert [item["index"] for item in output["one"]] == [0, 1, 2]
    assert isinstance(output["one"][0]["embedding"], list)
    assert [decoded(item["embedding"]).shape for item in output["one"] + output["two"]] == [(8,)] * 3 + [
        (3072,)
    ]


def test_held_statuses_are_left_when_the_test_says_so(standin, client):
    standin.options.hold |= {"validating", "in_progress", "finalizing"}
    batch = create_batch(client, request_lines(3))
    assert client.batches.retrieve(batch.id).status == "validating"
    standin.options.hold -= {"validating"}
    standin.service.worker.wake()
    standin.wait_for(batch, "in_progress")
    assert client.batches.retrieve(batch.id).request_counts.total == 3
    standin.options.hold -= {"in_progress"}
    standin.service.worker.wake()
    standin.wait_for(batch, "finalizing")
    waiting = client.batches.retrieve(batch.id)
    assert (waiting.output_file_id, waiting.error_file_id, waiting.usage) == (None, None, None)
    standin.release()
    standin.wait_for(batch)
    assert client.batches.retrieve(batch.id).output_file_id


def test_statuses_take_the_time_that_is_set(standin, client):
    standin.options.stage_s["in_progress"] = 600
    batch = create_batch(client, request_lines(3))
    standin.wait_for(batch, "in_progress")
    standin.advance(599)
    assert client.batches.retrieve(batch.id).status == "in_progress"
    standin.advance(2)
    standin.wait_for(batch)
    assert client.batches.retrieve(batch.id).completed_at >= batch.created_at + 600


def test_the_list_is_newest_first_in_pages(standin, client):
    made = [create_batch(client, request_lines(1), metadata={"n": str(n)}).id for n in range(5)]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    page = client.batches.list(limit=2, after=made[3])
    assert ([batch.id for batch in page.data], page.has_more) == ([made[2], made[1]], True)
    assert client.batches.list(after=made[0]).data == []
    for limit in (0, 101):
        with pytest.raises(openai.BadRequestError):
            client.batches.list(limit=limit)


def test_a_page_has_20_by_default(standin, client):
    file_id = upload(client, request_lines(1)).id
    for _ in range(21):
        client.batches.create(input_file_id=file_id, endpoint="/v1/embeddings", completion_window="24h")
    page = client.batches.list()
    assert (len(page.data), page.has_more) == (20, True)


def test_a_fresh_batch_may_be_missing_from_the_list_or_at_all(standin, client):
    standin.options.listing_lag_s = 5
    batch = create_batch(client, request_lines(1))
    assert client.batches.list().data == []
    assert client.batches.retrieve(batch.id).id == batch.id
    standin.options.fresh_missing_s = 10
    standin.advance(6)
    assert [listed.id for listed in client.batches.list()] == [batch.id]
    with pytest.raises(openai.NotFoundError) as missing:
        client.batches.retrieve(batch.id)
    assert missing.value.body["message"] == f"No batch found with id '{batch.id}'."
    standin.advance(6)
    assert client.batches.retrieve(batch.id).id == batch.id


def test_cancelling_keeps_what_is_done_and_may_be_repeated(standin, client):
    standin.options.hold |= {"in_progress", "cancelling"}
    batch = create_batch(client, request_lines(8))
    standin.wait_for(batch, "in_progress")
    standin.progress(batch, 0.5)
    cancelling = client.batches.cancel(batch.id)
    assert (cancelling.status, cancelling.output_file_id) == ("cancelling", None)
    assert cancelling.cancelling_at is not None
    assert client.batches.cancel(batch.id).status == "cancelling"
    standin.finish(batch)
    done = client.batches.cancel(batch.id)
    assert (done.status, done.usage.total_tokens) == ("cancelled", 16)
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (8, 4, 0)
    assert len(read_lines(client, done.output_file_id)) == 4
    assert {line["error"]["code"] for line in read_lines(client, done.error_file_id)} == {"batch_cancelled"}
    assert sum(standin.bill().values()) == 4


def test_what_is_over_is_not_cancelled(standin, client):
    batch = create_batch(client, request_lines(1))
    standin.finish(batch)
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


def test_a_batch_expires_with_what_is_done(standin, client):
    standin.options.hold.add("in_progress")
    batch = create_batch(client, request_lines(10))
    standin.wait_for(batch, "in_progress")
    standin.progress(batch, 0.1)
    standin.advance(86_401)
    standin.wait_for(batch)
    done = client.batches.retrieve(batch.id)
    assert (done.status, done.expired_at is not None) == ("expired", True)
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (
        10,
        1,
        0,
    )
    assert len(read_lines(client, done.output_file_id)) == 1
    late = read_lines(client, done.error_file_id)
    assert len(late) == 9
    assert late[0]["response"] is None
    assert late[0]["error"] == {
        "code": "batch_expired",
        "message": "This request could not be executed before the completion window expired.",
    }


def test_an_input_file_that_is_gone_fails_the_batch(standin, client):
    standin.options.hold.add("validating")
    batch = create_batch(client, request_lines(1))
    client.files.delete(batch.input_file_id)
    standin.finish(batch)
    assert client.batches.retrieve(batch.id).status == "failed"


def test_no_file_may_also_be_an_empty_string(standin, client):
    standin.options.no_id = ""
    batch = create_batch(client, request_lines(1))
    assert (batch.output_file_id, batch.error_file_id) == ("", "")
    standin.finish(batch)
    assert client.batches.retrieve(batch.id).error_file_id == ""


def test_other_requests_are_answered_while_a_batch_is_worked(standin, client):
    batch = create_batch(client, request_lines(4000))
    standin.wait_for(batch, "in_progress")
    seen = client.batches.retrieve(batch.id)
    assert (seen.status, seen.request_counts.total) == ("in_progress", 4000)
    standin.finish(batch)
    assert client.batches.retrieve(batch.id).request_counts.completed == 4000
