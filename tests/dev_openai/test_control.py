"""`reindex dev-openai` as a process, and its faults by HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

import openai
import pytest

from openai_calls import SMALL, create_batch, decoded, request_lines
from openai_standin import StandIn
from processes import wait_until
from reindex.dev_openai.fault_names import NAMES, fault_of

_RUN = "from reindex.cli.main import main; main()"


@contextmanager
def process(*arguments):
    """The command on a free port: (process, base URL)."""
    command = [sys.executable, "-c", _RUN, "dev-openai", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            line = child.stdout.readline()
            yield child, re.search(r'base_url = "(.*)"', line)[1]
        finally:
            child.kill()


def control(base_url, path, body=None, method=None):
    """The JSON that /dev answers."""
    request = urllib.request.Request(
        base_url.replace("/v1", "/dev") + path,
        data=None if body is None else json.dumps(body).encode(),
        method=method or ("GET" if body is None else "POST"),
    )
    with urllib.request.urlopen(request, timeout=180) as answer:
        return json.load(answer)


@pytest.fixture
def controlled():
    with StandIn(control=True) as standin:
        yield standin


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_end_and_leaves_nothing(tmp_path, monkeypatch, ending):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with process("--dimensions", "64", "--batch-delay", "0") as (child, base_url):
        with openai.OpenAI(base_url=base_url, api_key="anything", max_retries=0) as client:
            assert len(client.embeddings.create(model=SMALL, input="a").data[0].embedding) == 64
            batch = create_batch(client, request_lines(3))
            wait_until(lambda: client.batches.retrieve(batch.id).status == "completed", "the batch")
            assert client.batches.retrieve(batch.id).request_counts.completed == 3
        assert os.listdir(tmp_path)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            control(base_url, "/state")
        child.send_signal(ending)
        assert child.wait(30) == 0
        assert child.stderr.read() == ""
    assert os.listdir(tmp_path) == []


def test_an_address_that_is_taken_is_an_error_with_a_hint():
    with process() as (_, base_url):
        port = base_url.split(":")[2].removesuffix("/v1")
        done = subprocess.run(
            [sys.executable, "-c", _RUN, "dev-openai", "--port", port],
            capture_output=True,
            text=True,
            timeout=180,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"can't listen on 127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


def test_control_is_for_loopback_only():
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "dev-openai", "--host", "0.0.0.0", "--control"],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 2


def test_faults_are_asked_for_by_http(controlled):
    client, url = controlled.client(), controlled.base_url
    control(url, "/faults", {"route": "embeddings", "fault": "rate_limited", "retry_after_s": 9, "n": 2})
    client.embeddings.create(model=SMALL, input="a")
    with pytest.raises(openai.RateLimitError):
        client.embeddings.create(model=SMALL, input="a")
    control(url, "/faults", {"route": "embeddings", "fault": "reset", "after": True, "containing": "needle"})
    client.embeddings.create(model=SMALL, input="hay")
    with pytest.raises(openai.APIConnectionError):
        client.embeddings.create(model=SMALL, input="needle")
    assert controlled.billed("needle") == 1
    control(url, "/faults", {"route": "embeddings", "fault": "server_error", "times": None})
    control(url, "/faults", method="DELETE")
    client.embeddings.create(model=SMALL, input="a")


def test_batches_are_led_by_http(controlled):
    client, url = controlled.client(), controlled.base_url
    control(url, "/options", {"hold": ["in_progress"], "listing_lag_s": 5, "base64": "ignored"})
    dropped = {"route": "batch", "fault": "dropped", "lines": {"first": 1}, "containing": "seven"}
    control(url, "/faults", dropped)
    control(
        url, "/faults", {"route": "batch", "fault": "wrong_vectors", "kind": "zero", "containing": "seven"}
    )
    other = create_batch(client, request_lines(2), metadata={"job": "six"})
    batch = create_batch(client, request_lines(2), metadata={"job": "seven"})
    assert client.batches.list().data == []
    control(url, "/advance", {"seconds": 6})
    assert len(client.batches.list().data) == 2
    assert control(url, "/finish", {"batch": batch.id})["status"] == "completed"
    output = client.batches.retrieve(batch.id).output_file_id
    lines = [json.loads(line) for line in client.files.content(output).text.splitlines()]
    assert [line["custom_id"] for line in lines] == ["id-1"]
    assert not decoded(lines[0]["response"]["body"]["data"][0]["embedding"]).any()
    state = control(url, "/state")
    assert state["billed"] == 2
    assert state["orphans"] == [other.id]
    assert state["requests"]["batches.list"] == 2
    control(url, "/release", {})
    controlled.wait_for(other)
    assert {row["count"] for row in control(url, "/bill")["bill"]} == {2}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"route": "embeddings", "fault": "no such"}),
        ("/faults", {"route": "embeddings", "fault": "reset", "how": 1}),
        ("/faults", {"fault": "reset"}),
        ("/faults", {"route": "batch", "fault": "wrong_vectors", "kind": "odd"}),
        ("/options", {"no_such": 1}),
    ],
)
def test_what_can_not_be_asked_for_is_a_400(controlled, path, body):
    with pytest.raises(urllib.error.HTTPError, match="400"):
        control(controlled.base_url, path, body)


def test_every_fault_has_a_name():
    needs = {"hang": {"seconds": 1}, "slow": {"bytes_per_s": 1}, "wrong_vectors": {"kind": "nan"}}
    needs |= {"stuck": {"status": "finalizing"}, "fails": {"code": "x"}, "rate_limited": {"retry_after_s": 1}}
    needs |= {"refusal": {"status": 418, "message": "no"}}
    assert len(NAMES) == 28
    for name in NAMES:
        assert fault_of(name, needs.get(name, {})) is not None
