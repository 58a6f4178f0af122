"""What a daemon tells of itself while it starts and works, and what it never tells."""

import os
import time
from pathlib import Path

import pytest

from doubles import paragraphs
from processes import wait_until

KEY, TOKEN = "canary-key-5f1d", "canary-token-9c02"


@pytest.fixture
def starting(served):
    """A daemon whose first pass hangs in the model."""
    served.environment |= {"OPENAI_API_KEY": KEY, "MODEL_PROCESS": "1"}
    served.config.write_text(served.config.read_text() + f'token = "{TOKEN}"\nlog_level = "debug"\n')
    served.token = TOKEN
    served.fault.write_text("hang")
    process = served.start("start", "--quiet")
    wait_until(lambda: served.presence is not None and served.presence.url, "it to be reachable")
    yield served
    served.fault.unlink(missing_ok=True)
    process.communicate(timeout=120)


def test_it_is_alive_and_not_ready_while_it_starts(starting):
    assert starting.ask("/livez")[0] == 200
    status, text = starting.ask("/readyz?verbose=true")
    assert (status, text.splitlines()[-1]) == (503, "failed")
    assert starting.status()["state"] == "starting"
    status, problem = starting.ask("/v1/search?query=copper&mode=text")
    assert status in {404, 409, 503}
    assert "nothing indexed yet" in problem
    starting.fault.unlink()
    wait_until(lambda: starting.ask("/readyz")[0] == 200, "it to be ready")
    assert starting.status()["state"] == "ready"


def test_no_secret_is_told(starting):
    """Neither in answers nor in errors, logs or metrics, nor to who may see a command line."""
    starting.fault.unlink()
    wait_until(lambda: starting.ask("/readyz")[0] == 200, "it to be ready")
    starting.fault.write_text("down")
    starting.write("second.md", paragraphs(1))
    wait_until(lambda: starting.status()["state"] == "degraded", "the trouble")
    pages = ("/v1/status", "/v1/jobs", "/v1/generations", "/v1/tasks", "/metrics", "/livez?verbose=true", "/")
    told = [starting.ask(page)[1] for page in (*pages, "/openapi.json", "/v1/search?k=0&query=x")]
    token, starting.token = starting.token, "wrong"
    assert starting.ask("/v1/status")[0] == 401
    told.append(starting.ask("/v1/status")[1])
    starting.token = token
    for arguments in (("config", "show"), ("status",), ("doctor",), ("logs",), ("jobs",), ("sync",)):
        answer = starting.run(*arguments)
        told += [answer.out, answer.err]
    starting.config.write_text(starting.config.read_text() + f'tokn = "{TOKEN}"\n')
    told += [(answer := starting.run("config", "validate")).out, answer.err]
    told += [path.read_text() for path in (starting.data_dir / "logs").iterdir()]
    told += [(starting.data_dir / name).read_text() for name in ("daemon.json", "lock")]
    told += [Path(f"/proc/{starting.presence.pid}/cmdline").read_text(), *starting.children().values()]
    assert len("".join(told)) > 10_000
    for each in told:
        assert KEY not in each
        assert TOKEN not in each


def test_status_is_the_same_object_with_a_daemon_and_without(served):
    served.write("broken.md", b"a NUL \0 in it")
    served.up()
    by_http, by_command = served.status(), served.run("status", "--json").json
    assert by_http.keys() == by_command.keys()
    assert served.run("stop").code == 0
    direct = served.run("status", "--json").json
    own = by_http.keys() - direct.keys()
    assert own == {"phase", "watching", "reload"}
    for name in direct.keys() - {"lag_s", "daemon", "live", "reasons", "spend"}:
        assert direct[name] == by_http[name], name
    assert direct["live"].keys() == by_http["live"].keys()
    assert direct["daemon"].keys() == by_http["daemon"].keys()


def test_what_embeds_documents_gives_way_and_what_embeds_queries_does_not(served):
    served.environment["MODEL_PROCESS"] = "1"
    served.up()
    assert served.get("/v1/search?mode=vector&query=lantern")["hits"]
    niceness = {
        os.getpriority(os.PRIO_PROCESS, pid) - os.getpriority(os.PRIO_PROCESS, served.presence.pid)
        for pid, command in served.children().items()
        if "logging_worker" in command
    }
    assert niceness == {0, 10}


def test_models_end_when_nobody_asks_for_them_and_come_back(served):
    served.environment |= {"MODEL_PROCESS": "1", "REINDEX_DAEMON__MODEL_IDLE_S": "0.1"}
    served.up()
    assert served.get("/v1/search?mode=vector&query=lantern")["hits"]
    wait_until(lambda: not any("logging_worker" in each for each in served.children().values()), "their end")
    begun = time.monotonic()
    assert served.get("/v1/search?mode=vector&query=another+lantern")["hits"]
    assert time.monotonic() - begun < 30
