"""Commands with a daemon up (one that stands in): the same output, messages and exit codes as without."""

import json
import re
import subprocess
import sys

import pytest

from processes import LIMIT_S, NOT_UTF8
from reindex.cli import progress
from stand_in import CLOSED, SYNCED, TASK, failed, succeeded, task

GATE = {
    "passed": False,
    "documents": 8,
    "chunks": 20,
    "self_retrieval": 1.0,
    "recall": 0.5,
    "recall_change": -0.25,
    "overlap": 0.9,
    "probes": 4,
}
REBUILT = SYNCED | {"from_generation": 1, "generation": 2, "promoted": False, "gate": GATE}


def words(value):
    return ascii(" ".join(value)) if isinstance(value, tuple) else ""


def timeless(text):
    return re.sub(r"in \d+\.\d s$", "in N s", text, flags=re.MULTILINE)


READERS = [
    (("query", "lantern", "-k", "3"), "POST /v1/search", {"query": "lantern", "k": 3, "mode": "hybrid"}),
    (
        ("query", "é", "--mode", "text", "--source", "docs", "--path-prefix", NOT_UTF8, "--generation", "1"),
        "POST /v1/search",
        {
            "query": "é",
            "k": 10,
            "mode": "text",
            "source": "docs",
            "path_prefix": NOT_UTF8,
            "generation": 1,
        },
    ),
    (("status",), "GET /v1/status", []),
    (("status", "docs/guide/harbour.md"), "GET /v1/status", [("path", "docs:guide/harbour.md")]),
    (("status", "guide/orchard.txt"), "GET /v1/status", [("path", "docs:guide/orchard.txt")]),
    (("status", f"docs/{NOT_UTF8}"), "GET /v1/status", [("path", f"docs:{NOT_UTF8}")]),
    (("jobs",), "GET /v1/jobs", []),
    (("jobs", "show", "d1"), "GET /v1/jobs/d1", []),
    (("generations",), "GET /v1/generations", []),
    (
        ("generations", "diff", "1", "1", "--query", "lantern", "--query", "a & b"),
        "GET /v1/generations/diff",
        [("a", "1"), ("b", "1"), ("query", "lantern"), ("query", "a & b")],
    ),
]


@pytest.mark.parametrize(("arguments", "asks", "options"), READERS, ids=words)
def test_a_reader_says_the_same(shell, arguments, asks, options):
    direct, direct_text = shell.run(*arguments, "--json"), shell.run(*arguments)
    assert direct.code == 0, direct
    with shell.daemon() as stand_in:
        stand_in.answers[asks] = (200, direct.json)
        assert shell.run_by_daemon_only(*arguments, "--json") == direct
        assert shell.run_by_daemon_only(*arguments) == direct_text
    for asked in stand_in.seen:
        assert (asked.query if asked.method == "GET" else asked.body) == options


@pytest.mark.parametrize("name", ["x/y", "7/cancel", "d", "", "..", "9" * 30, NOT_UTF8])
def test_what_is_no_name_of_a_job_goes_nowhere(shell, name):
    with shell.daemon() as stand_in:
        for verb in ("show", "retry"):
            answer = shell.run("jobs", verb, name)
            assert (answer.code, answer.out) == (2, "")
            assert answer.err.startswith("error: there is no job ")
    assert stand_in.seen == []


def test_what_an_answer_lacks_is_said(shell):
    found = shell.run("query", "lantern", "--mode", "text", "--json").json
    found |= {"degraded": True, "degraded_reason": "no model", "behind": {"documents": 1, "age_s": 5.4}}
    with shell.daemon() as stand_in:
        stand_in.answers["POST /v1/search"] = (200, found)
        answer = shell.run("query", "lantern", "--json")
    assert answer.json == found
    assert answer.err.splitlines() == [
        "note: answered by words alone, because no model",
        "note: generation 1 is 1 document behind, for 5 s",
    ]


WRITERS = [
    (("sync",), "/v1/sync", {"now": False, "accept_deletes": False}),
    (("sync", "--wait", "2", "--now", "--accept-deletes"), "/v1/sync", None),
    (("jobs", "retry"), "/v1/jobs/retry", {}),
    (("jobs", "retry", "d1"), "/v1/jobs/d1/retry", {}),
    (("gc",), "/v1/gc", {}),
]


@pytest.mark.parametrize(("arguments", "path", "options"), WRITERS, ids=words)
def test_a_writer_says_the_same(shell, arguments, path, options):
    direct = shell.run(*arguments, "--json")
    direct_text = shell.run(*arguments)
    with shell.daemon() as stand_in:
        over = succeeded(direct.json, messages=direct.err.splitlines(), exit_code=direct.code)
        for how in ([], ["--json"]):
            stand_in.tells(path, task("queued"), task(), over)
            answer = shell.run_by_daemon_only(*arguments, *how)
            if how:
                assert answer == direct
            elif arguments[0] == "sync":  # the others have less to do the second time
                assert timeless(answer.out) == timeless(direct_text.out)
            assert (answer.code, answer.err) == (direct.code, direct.err)
    assert stand_in.orders == [path, path]
    given = next(asked.body for asked in stand_in.seen if asked.method == "POST")
    assert given == (options if options is not None else {"wait": 2.0, "now": True, "accept_deletes": True})


@pytest.mark.parametrize(
    ("arguments", "path", "options", "result", "said"),
    [
        (
            ("rebuild", "--model", "m", "--provider", "local", "--fresh", "--no-promote", "--wait", "1"),
            "/v1/rebuild",
            {"model": "m", "provider": "local", "fresh": True, "no_promote": True, "wait": 1.0},
            REBUILT,
            "generation 2 is NOT live",
        ),
        (
            ("rebuild", "--model", "docs"),
            "/v1/rebuild",
            None,  # a folder is meant from here
            REBUILT | {"gate": GATE | {"passed": True}},
            "generation 2 is ready",
        ),
        (("rebuild", "--abandon"), "/v1/rebuild", {"abandon": True}, {"abandoned": 2}, "2 is dropped"),
        (
            ("generations", "promote", "2", "--force"),
            "/v1/generations/2/promote",
            {"force": True},
            REBUILT | {"promoted": True},
            "recall@10 0.500 (-0.250) on 4 probes",
        ),
        (
            ("generations", "rollback"),
            "/v1/rollback",
            {"force": False},
            REBUILT | {"promoted": True, "gate": {}},
            "generation 2 is live, before it 1",
        ),
        (("generations", "drop", "2"), "/v1/generations/2/drop", {}, {"dropped": 2}, "2 is dropped"),
        (("pause",), "/v1/pause", {}, {"paused": True}, "paused"),
        (("resume",), "/v1/resume", {}, {"paused": False}, "taken up again"),
    ],
    ids=words,
)
def test_every_other_writer_goes_there(shell, arguments, path, options, result, said):
    with shell.daemon() as stand_in:
        stand_in.tells(path, succeeded(result))
        answer = shell.run_by_daemon_only(*arguments)
        assert (answer.code, answer.err) == (0, "")
        assert said in answer.out
        assert shell.run_by_daemon_only(*arguments, "--json").json == result
    assert stand_in.orders == [path, path]
    if options is None:
        options = {"model": str(shell.place.folder / "docs"), "fresh": False, "no_promote": False}
    assert stand_in.seen[0].body == options


@pytest.mark.parametrize("code", [0, 5, 6, 7])
def test_the_exit_code_of_a_task_is_the_commands(shell, code):
    with shell.daemon() as stand_in:
        stand_in.tells("/v1/sync", task(), succeeded(SYNCED, messages=["failed: a: b"], exit_code=code))
        answer = shell.run("sync", "--json")
    assert (answer.code, answer.json, answer.err) == (code, SYNCED, "failed: a: b\n")


@pytest.mark.parametrize("code", [1, 2, 4])
def test_a_task_that_failed_is_an_error(shell, code):
    with shell.daemon() as stand_in:
        stand_in.tells("/v1/sync", task(), failed("no room", "Free some.", code, messages=["warning: full"]))
        answer = shell.run("sync", "--json")
    assert (answer.code, answer.out) == (code, "")
    assert answer.err == "warning: full\nerror: no room\nhint: Free some.\n"


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        ({"title": "Unprocessable", "detail": "no generation 9", "hint": "Look.", "exit_code": 2}, 2),
        ({"title": "Conflict", "detail": "no generation 9", "hint": "Look.", "exit_code": 4}, 4),
        ({"title": "no generation 9", "hint": "Look.", "exit_code": 99}, 1),
        ({"title": "no generation 9", "hint": "Look.", "exit_code": 0}, 1),
        ({"title": "no generation 9", "hint": "Look."}, 1),
    ],
)
@pytest.mark.parametrize("arguments", [("query", "x"), ("sync",)], ids=" ".join)
def test_a_problem_is_an_error(shell, arguments, problem, code):
    with shell.daemon() as stand_in:
        stand_in.answers |= dict.fromkeys(("POST /v1/search", "POST /v1/sync"), (422, problem))
        answer = shell.run(*arguments, "--json")
    assert (answer.code, answer.out) == (code, "")
    assert answer.err == "error: no generation 9\nhint: Look.\n"


def test_no_news_are_missed_between_two_questions(shell):
    with shell.daemon() as stand_in:
        stand_in.tells("/v1/sync", task(revision=4), task(revision=9), succeeded(SYNCED))
        assert shell.run("sync").code == 0
    since = [dict(asked.query)["since"] for asked in stand_in.seen if asked.method == "GET"]
    assert since == ["4", "9"]


def test_progress_and_messages_come_once_and_in_order(shell, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    embedding = {"phase": "embedding", "unit": "tokens", "total": 200, "documents": 1, "chunks": 5}
    with shell.daemon() as stand_in:
        stand_in.tells(
            "/v1/sync",
            task("queued"),
            task(),
            task(progress={"phase": "scanning", "unit": "files", "done": 3}),
            task(progress=embedding | {"done": 10}, messages=["warning: slow"]),
            task(progress=embedding | {"done": 100}, messages=["warning: slow", "warning: slower"]),
            succeeded(SYNCED, messages=["warning: slow", "warning: slower", "note: done"]),
        )
        answer = shell.run("sync", "--json")
    said = re.sub(r"about \d+ s", "about N s", answer.err).splitlines()
    assert said == [
        "scanning: 3 files, 0 documents published, 0 chunks embedded",
        "embedding: 5 %, about N s left, 0 documents published, 0 chunks embedded",
        "warning: slow",
        "embedding: 50 %, about N s left, 1 documents published, 5 chunks embedded",
        "warning: slower",
        "note: done",
    ]


@pytest.mark.parametrize("token", ["", "s3cret!"])
def test_the_token_is_shown_where_there_is_one(shell, token):
    if token:
        config = shell.place.folder / "config.toml"
        config.write_text(config.read_text() + f'\n[daemon]\ntoken = "{token}"\n')
    with shell.daemon() as stand_in:
        stand_in.answers["GET /v1/jobs"] = (200, {"jobs": [], "dead_letters": []})
        stand_in.tells("/v1/sync", task(), succeeded(SYNCED))
        shell.run("jobs")
        shell.run("sync")
    assert [asked.path for asked in stand_in.seen] == ["/v1/jobs", "/v1/sync", f"/v1/tasks/{TASK}"]
    for asked in stand_in.seen:
        assert asked.headers.get("Authorization") == (f"Bearer {token}" if token else None)


def test_no_proxy_is_asked(shell, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, CLOSED)
    monkeypatch.delenv("no_proxy", raising=False)
    with shell.daemon() as stand_in:
        stand_in.answers["GET /v1/jobs"] = (200, {"jobs": [], "dead_letters": []})
        assert shell.run_by_daemon_only("jobs").out == "no jobs\n"


def test_plan_and_verify_never_ask(shell):
    with shell.daemon() as stand_in:
        assert shell.run("plan", "--json").json["documents"]["unchanged"] == 8
        assert shell.run("verify", "--json").json["ok"]
    assert stand_in.seen == []


def test_nothing_heavy_is_imported(shell):
    found = shell.run("query", "lantern", "--mode", "text", "--json").json
    heavy = [
        "lancedb",
        "numpy",
        "pyarrow",
        "sqlite3",
        "rich",
        "reindex.app",
        "reindex.search",
        "reindex.stores.lance",
    ]
    code = (
        "import atexit, json, sys\n"
        "from reindex.cli.main import main\n"
        f"found = lambda: [name for name in {heavy} if name in sys.modules]\n"
        "atexit.register(lambda: print(json.dumps(found()), file=sys.stderr))\n"
        "main()\n"
    )
    with shell.daemon() as stand_in:
        stand_in.answers |= {
            "POST /v1/search": (200, found),
            "GET /v1/generations": (200, {"generations": []}),
        }
        stand_in.tells("/v1/sync", task(), succeeded(SYNCED))
        for arguments in (["query", "lantern"], ["generations"], ["sync"]):
            done = subprocess.run(
                [sys.executable, "-c", code, *arguments],
                cwd=shell.place.folder,
                capture_output=True,
                check=True,
                timeout=LIMIT_S,
            )
            assert json.loads(done.stderr) == []
    assert len(stand_in.seen) == 4
