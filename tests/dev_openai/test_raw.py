"""What only a client without the SDK meets, and what a test can do to a client in another process."""

import os
import signal
import subprocess
import sys
import threading

import httpx2
import openai
import pytest

from openai_calls import SMALL, create_batch, read_lines, request_lines
from openai_standin import StandIn
from reindex.dev_openai.faults import ANY, Do, Reset

CREATE = """
import openai, sys
client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0)
print(client.batches.create(input_file_id=sys.argv[3], endpoint="/v1/embeddings", completion_window="24h").id)
"""


@pytest.fixture
def ask(standin):
    """A function: (method, path, ...) to the answer."""
    with httpx2.Client(
        base_url=standin.base_url, headers={"Authorization": f"Bearer {standin.key}"}
    ) as client:
        yield client.request


@pytest.mark.parametrize("key", ["", "Basic abc", "Bearer"])
def test_without_a_key_nothing_is_answered(standin, key):
    answer = httpx2.get(standin.base_url + "/models", headers={"Authorization": key} if key else {})
    assert answer.status_code == 401
    assert answer.json()["error"]["message"].startswith("You didn't provide an API key.")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff"])
def test_a_body_that_is_no_object_is_a_400(ask, content):
    answer = ask("POST", "/embeddings", content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("We could not parse the JSON body of your request.")


def test_addresses_and_methods_that_are_not_there(ask):
    assert ask("GET", "/embeddings").json()["error"]["code"] == "method_not_supported"
    assert ask("GET", "/embeddings").status_code == 405
    answer = ask("GET", "/nothing/here")
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        404,
        "Invalid URL (GET /v1/nothing/here)",
    )


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.js',
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n--y--\r\n',
        ),
    ],
)
def test_an_upload_that_is_none_is_a_400_and_leaves_nothing(standin, ask, kind, content):
    answer = ask("POST", "/files", content=content, headers={"Content-Type": kind})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert os.listdir(standin._folder.name) == []


def test_texts_with_half_a_surrogate_pair_are_texts(ask, standin):
    body = b'{"model": "text-embedding-3-small", "input": "half \\ud800 a pair"}'
    assert ask("POST", "/embeddings", content=body).status_code == 200
    assert standin.billed("half \ud800 a pair") == 1


@pytest.mark.parametrize("after", [False, True])
def test_a_client_is_killed_before_or_after_its_request_was_taken(standin, client, after):
    file_id = client.files.create(file=("a.jsonl", b""), purpose="batch").id
    child = subprocess.Popen(
        [sys.executable, "-c", CREATE, standin.base_url, standin.key, file_id], stdout=subprocess.PIPE
    )
    with child:
        standin.fault("batches.create", Do(lambda: child.send_signal(signal.SIGKILL), after=after))
        if not after:
            standin.fault("batches.create", Reset())  # it was killed before the request was whole
        assert child.wait(60) == -signal.SIGKILL
        assert child.stdout.read() == b""
    assert len(standin.batches()) == after


def test_an_outage_is_a_fault_of_any_route(standin, client):
    standin.fault(ANY, Reset(), times=None)
    for call in (client.models.list, client.batches.list, client.files.list):
        with pytest.raises(openai.APIConnectionError):
            call()
    standin.clear_faults()
    client.models.list()


def test_statuses_may_be_in_capitals(client, standin):
    standin.options.has_upper_case = True
    batch = create_batch(client, request_lines(1))
    standin.finish(batch)
    assert client.batches.retrieve(batch.id).status == "COMPLETED"


def test_an_input_file_may_go_while_its_batch_runs(standin, client):
    standin.options.hold.add("in_progress")
    batch = create_batch(client, request_lines(3))
    standin.wait_for(batch, "in_progress")
    client.files.delete(batch.input_file_id)
    standin.finish(batch)
    assert len(os.listdir(standin._folder.name)) == 1  # the output
    assert len(read_lines(client, client.batches.retrieve(batch.id).output_file_id)) == 3


def test_a_bill_of_very_many_texts_may_keep_digests():
    with StandIn(remembers_texts=False) as standin:
        for _ in range(2):
            standin.client().embeddings.create(model=SMALL, input=["one", "two"])
        assert standin.billed("one") == 2
        assert len(standin.billed_twice()) == 2
        assert len(standin.billed_twice(except_texts=["one"])) == 1
        assert "one" not in {text for _, text in standin.bill()}


def test_many_clients_at_once_are_billed_exactly(standin):
    client = standin.client()
    texts = [f"text {number}" for number in range(40)]

    def ask():
        for text in texts:
            client.embeddings.create(model=SMALL, input=text, dimensions=8)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert standin.bill() == {("realtime", text): 6 for text in texts}
