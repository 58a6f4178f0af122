"""What the API refuses of a batch: at once, in validation, or line by line."""

import openai
import pytest

from openai_calls import LARGE, SMALL, create_batch, read_lines, request_line, request_lines, upload


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"completion_window": "12h"}, "completion_window"),
        ({"endpoint": "/v1/chat/completions"}, "endpoint"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 65: ""}}, f"metadata.{'k' * 64}"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "now", "seconds": 3600}}, "output_expires_after.anchor"),
        ({"input_file_id": "file-unknown"}, "input_file_id"),
    ],
)
def test_creating_is_refused_at_once(standin, client, options, param):
    right = {
        "input_file_id": upload(client, request_lines(1)).id,
        "endpoint": "/v1/embeddings",
        "completion_window": "24h",
        "metadata": {"k" * 64: "v" * 512, **{str(n): "" for n in range(15)}},
    }
    client.batches.create(**right)
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(**(right | options))
    assert refused.value.param == param
    assert len(standin.batches()) == 1


GOOD = request_line("good", "text")


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        (b"", "empty_file", None),
        (b"\n\n", "empty_file", None),
        (b'{"custom_id": "1"\n', "invalid_json_line", 1),
        (b"[]\n", "invalid_json_line", 1),
        ([GOOD, GOOD], "duplicate_custom_id", 2),
        ([GOOD, GOOD | {"custom_id": "2", "url": "/v1/completions"}], "url_mismatch", 2),
        ([GOOD, request_line("2", "text", model=LARGE)], "model_mismatch", 2),
        ([request_line("1", "text", model="no-model")], "model_not_found", 1),
        ([GOOD | {"method": "GET"}], "invalid_method", 1),
        ([GOOD | {"custom_id": None}], "missing_required_parameter", 1),
    ],
)
def test_what_is_wrong_with_an_input_file_shows_in_validation(standin, client, lines, code, number):
    batch = create_batch(client, lines)
    assert batch.status == "validating"
    standin.finish(batch)
    failed = client.batches.retrieve(batch.id)
    assert (failed.status, failed.failed_at is not None) == ("failed", True)
    assert (failed.output_file_id, failed.error_file_id) == (None, None)
    assert [(error.code, error.line) for error in failed.errors.data] == [(code, number)]
    assert standin.bill() == {}


def test_limits_of_a_batch(standin, client):
    standin.options.batch_lines_max, standin.options.batch_inputs_max = 3, 4
    for lines, code in (
        (request_lines(3), None),
        (request_lines(4), "too_many_tasks"),
        ([request_line("1", ["a", "b"]), request_line("2", ["c", "d"])], None),
        ([request_line("1", ["a", "b"]), request_line("2", ["c", "d", "e"])], "too_many_tasks"),
    ):
        batch = create_batch(client, lines)
        standin.finish(batch)
        errors = client.batches.retrieve(batch.id).errors
        assert (errors and errors.data[0].code) == code


def test_the_queue_of_a_model_is_limited_and_refuses_after_the_answer(standin, client):
    standin.options.queue_tokens_max = 20
    standin.options.hold.add("in_progress")
    first = create_batch(client, request_lines(3))
    standin.wait_for(first, "in_progress")
    second = create_batch(client, request_lines(3))
    standin.wait_for(second, "failed")
    error = client.batches.retrieve(second.id).errors.data[0]
    assert error.code == "token_limit_exceeded"
    assert error.message == (
        f"Enqueued token limit reached for {SMALL} in organization org-standin. Limit: 20 enqueued tokens. "
        "Please try again once some in_progress batches have been completed."
    )
    other = create_batch(client, request_lines(3, model=LARGE))
    standin.wait_for(other, "in_progress")
    standin.finish(first)
    again = client.batches.create(
        input_file_id=second.input_file_id, endpoint="/v1/embeddings", completion_window="24h"
    )
    standin.wait_for(again, "in_progress")


def test_bad_requests_fail_by_themselves_in_the_shape_of_the_endpoint(standin, client):
    lines = [GOOD, request_line("long", "abcd" * 8193), request_line("empty", ""), request_line("none", None)]
    batch = create_batch(client, lines)
    standin.finish(batch)
    done = client.batches.retrieve(batch.id)
    assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 1, 3)
    failed = {line["custom_id"]: line for line in read_lines(client, done.error_file_id)}
    assert failed.keys() == {"long", "empty", "none"}
    assert failed["long"]["error"] is None
    assert failed["long"]["response"]["status_code"] == 400
    assert "8193 tokens" in failed["long"]["response"]["body"]["error"]["message"]
    assert sum(standin.bill().values()) == 1
