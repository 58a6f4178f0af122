"""Commands beside a daemon that starts, ends, hangs or can not be asked: readers answer, writers say why."""

import contextlib
import re
import signal
import threading

import pytest

from processes import LIMIT_S, wait_until
from reindex.cli import connection, remote
from stand_in import CLOSED, HANG_UP, SYNCED, TASK, succeeded, task


def test_ctrl_c_leaves_the_task_to_the_daemon(shell):
    asked_again, let_go = threading.Event(), threading.Event()

    def never_over(_):
        asked_again.set()
        let_go.wait(LIMIT_S)
        return HANG_UP

    with shell.daemon() as stand_in:
        stand_in.tells("/v1/sync", task())
        stand_in.answers[f"GET /v1/tasks/{TASK}"] = never_over
        process = shell.place.start("sync", "--json")
        try:
            wait_until(asked_again.is_set, "the second question")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            let_go.set()
            process.kill()
    assert (process.returncode, out) == (130, b"")
    assert err.decode().splitlines() == [
        f"interrupted: task {TASK} goes on in the daemon",
        "hint: `reindex status` shows how the index stands.",
    ]


def test_without_http_writers_exit_4_and_readers_work(shell):
    with shell.daemon(url=""):
        for arguments in (("sync",), ("gc",), ("jobs", "retry"), ("generations", "drop", "1"), ("pause",)):
            answer = shell.run(*arguments, "--json")
            assert (answer.code, answer.out) == (4, "")
            assert "[daemon] http is off" in answer.err
        assert shell.run("query", "lantern", "--mode", "text", "--json").json["hits"]
        daemon = shell.run("status", "--json").json["daemon"]
        assert (daemon["running"], daemon["url"]) == (True, None)
        assert "no HTTP" in shell.run("status").out


@pytest.mark.parametrize("answer", [None, HANG_UP, (503, {"detail": "starting"})], ids=str)
def test_readers_do_not_wait_for_a_daemon_that_starts(shell, answer):
    with shell.daemon(is_ready=False, url="" if answer is None else None) as stand_in:
        stand_in.answers["POST /v1/search"] = answer
        assert shell.run("query", "lantern", "--mode", "text", "--json").json["hits"]
    assert len(stand_in.seen) == (answer is not None)


def test_a_daemon_that_starts_and_answers_is_heard(shell):
    with shell.daemon(is_ready=False) as stand_in:
        stand_in.answers["GET /v1/jobs"] = (200, {"jobs": [], "dead_letters": []})
        assert shell.run("jobs").out == "no jobs\n"


@pytest.mark.parametrize("url", ["", CLOSED])
def test_writers_wait_for_a_daemon_that_starts(shell, monkeypatch, url):
    with shell.daemon(is_ready=False, url=url) as stand_in:
        stand_in.tells("/v1/sync", succeeded(SYNCED))
        monkeypatch.setattr(
            remote.time, "sleep", lambda _: stand_in.announcement.change(url=stand_in.url, is_ready=True)
        )
        assert shell.run_by_daemon_only("sync", "--json").json == SYNCED


@pytest.mark.parametrize(("is_ready", "why"), [(False, "still starting"), (True, "does not listen")])
def test_writers_wait_no_longer_than_the_limit(shell, monkeypatch, is_ready, why):
    monkeypatch.setattr(remote, "START_WAIT_S", 0.1)
    monkeypatch.setattr(remote, "_SAID_AFTER_S", 0.0)
    with shell.daemon(is_ready=is_ready, url=CLOSED):
        answer = shell.run("sync", "--json")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err.count("note: the daemon") == 1
    assert why in answer.err.splitlines()[1]


def test_a_daemon_that_ends_leaves_the_work_to_the_command(shell, monkeypatch):
    with contextlib.ExitStack() as stack:
        stack.enter_context(shell.daemon(url=CLOSED))
        monkeypatch.setattr(remote.time, "sleep", lambda _: stack.close())
        answer = shell.run("sync", "--json")
    assert answer.code == 5  # one of the documents is broken
    assert answer.json["documents"]["unchanged"] == 8


@pytest.mark.parametrize(
    "answer", [HANG_UP, (200, ["no object"]), "closed"], ids=["hangs up", "nonsense", "refuses"]
)
def test_a_reader_without_an_answer_works_directly(shell, answer):
    with shell.daemon(url=CLOSED if answer == "closed" else None) as stand_in:
        stand_in.answers["POST /v1/search"] = answer
        found = shell.run("query", "lantern", "--mode", "text", "--json")
    assert found.json["hits"]
    assert found.err == ""
    assert len(stand_in.seen) == (answer != "closed")


def test_a_reader_does_not_wait_for_ever(shell, monkeypatch):
    monkeypatch.setattr(connection.Connection.ask, "__defaults__", (0.05,))
    let_go = threading.Event()

    def hangs(_):
        let_go.wait(LIMIT_S)
        return HANG_UP

    with shell.daemon() as stand_in:
        stand_in.answers["GET /v1/generations"] = hangs
        try:
            assert shell.run("generations", "--json").json["live"] == 1
        finally:
            let_go.set()


def test_an_order_without_an_answer_is_not_given_twice(shell):
    with shell.daemon() as stand_in:
        stand_in.answers["POST /v1/sync"] = HANG_UP
        answer = shell.run("sync", "--json")
    assert (answer.code, answer.out) == (1, "")
    assert "was asked and did not answer" in answer.err
    assert "run the command again" in answer.err
    assert stand_in.orders == ["/v1/sync"]


@pytest.mark.parametrize(
    ("then", "words"),
    [
        (HANG_UP, "the daemon ended before the task was done, or hangs"),
        ((404, {"title": "Not Found"}), "the daemon was restarted before the task was done"),
        ((200, task(created_at="later")), "the daemon was restarted before the task was done"),
    ],
    ids=["hangs up", "unknown", "another"],
)
def test_a_daemon_that_ends_while_it_is_followed(shell, then, words):
    with shell.daemon() as stand_in:
        stand_in.tells("/v1/sync", task(messages=["warning: slow"]))
        stand_in.answers[f"GET /v1/tasks/{TASK}"] = then
        answer = shell.run("sync", "--json")
    assert (answer.code, answer.out) == (1, "")
    warning, error, hint = answer.err.splitlines()
    assert warning == "warning: slow"
    assert error.startswith(f"error: {words}")
    assert "run the command again" in hint


@pytest.mark.parametrize(
    ("arguments", "over"),
    [
        (("status",), None),
        (("sync",), succeeded({})),
        (("sync",), succeeded(SYNCED, exit_code=99)),
        (("sync",), {"id": TASK}),
    ],
)
def test_what_another_version_says_may_not_be_understood(shell, arguments, over):
    with shell.daemon(version="9.9.9") as stand_in:
        stand_in.answers["GET /v1/status"] = (200, {"state": "ready"})
        stand_in.tells("/v1/sync", over)
        answer = shell.run(*arguments)
    assert answer.code == 1
    assert "error: the answer of the daemon can't be understood: it is version 9.9.9" in answer.err
    assert "`reindex restart`" in answer.err


def test_another_version_is_said_and_no_hindrance(shell):
    with shell.daemon(version="9.9.9") as stand_in:
        stand_in.answers["GET /v1/jobs"] = (200, {"jobs": [], "dead_letters": []})
        stand_in.tells("/v1/sync", succeeded(SYNCED))
        for arguments in (("jobs",), ("sync",)):
            answer = shell.run_by_daemon_only(*arguments, "--json")
            assert answer.code == 0
            assert re.fullmatch(
                r"note: the daemon is version 9\.9\.9, this is \S+: reindex restart\n", answer.err
            )


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_without_a_daemon_there_is_nothing_to_pause(shell, command):
    answer = shell.run(command, "--json")
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("error: no daemon is running\nhint: `reindex start`")
