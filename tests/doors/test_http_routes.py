"""What each route answers when it is asked rightly."""

import json
import threading
from dataclasses import replace

import pytest

from reindex.core.generations import Behind
from reindex.http.commands import COMMANDS
from reindex.http.routes import ROUTES
from reindex.http.surface import Health, SearchRequest
from reindex.objects import query_object
from reindex.search import SearchMode
from reindex.tasks import Outcome, TaskState
from serving import HIT, RESULT, Searches, make_surface, serving, until

ODD = b"odd-\x80\xff.md".decode("utf-8", "surrogateescape")


@pytest.fixture(scope="module")
def client():
    with serving() as client:
        yield client


def path_of(route):
    return route.path.replace("{generation}", "2").replace("{task}", "1").replace("{job}", "3")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_served_and_its_options_are_those_of_the_table(client, route):
    client.surface.tasks.submit("sync", {})
    values = {
        field.name: 1 if field.kind == "integer" else "x" for field in route.fields if field.is_required
    }
    if route.method == "POST":
        found = client.post(path_of(route), values)
        unknown = client.post(path_of(route), values | {"unknown_option": 1})
    else:
        query = "&".join(f"{name}={value}" for name, value in values.items())
        method = "HEAD" if "events" in route.path else "GET"
        found = client.ask(method, f"{path_of(route)}?{query}")
        unknown = client.get(f"{path_of(route)}?{query}&unknown_option=1")
    assert found.status == route.status, found.body
    expected = route.answer if "/" in route.answer else "application/json"
    assert found.headers["Content-Type"].partition(";")[0] == expected
    if route.fields:
        assert unknown.status == 422
        assert "unknown_option" in unknown.json["detail"]


def test_head_answers_as_get_without_a_body(client):
    for path in ("/", "/v1/status", "/v1/search?query=x", "/livez", "/metrics", "/openapi.json"):
        got, head = client.get(path), client.ask("HEAD", path)
        assert (head.status, head.body) == (got.status, b"")
        if path != "/metrics":
            assert head.headers["Content-Length"] == str(len(got.body))


def test_a_search_takes_the_same_options_by_get_and_post(client):
    options = {
        "query": "grüße & more",
        "k": 3,
        "mode": "text",
        "source": "docs",
        "path_prefix": "a/",
        "generation": 2,
    }
    asked = client.surface.search.asked
    posted = client.post("/v1/search", options)
    got = client.get(
        "/v1/search?query=gr%C3%BC%C3%9Fe+%26+more&k=3&mode=text&source=docs&path_prefix=a/&generation=2"
    )
    expected = SearchRequest("grüße & more", 3, SearchMode.TEXT, "docs", "a/", 2)
    assert asked[-2:] == [expected, expected]
    assert (
        posted.json
        == got.json
        == {
            "generation": 2,
            "version": 14,
            "model": "a-model",
            "degraded": False,
            "took_ms": 1.5,
            "hits": [
                {
                    "rank": 1,
                    "score": 0.5,
                    "source": "docs",
                    "path": "a/b.md",
                    "heading": "A > B",
                    "line_start": 3,
                    "line_end": 7,
                    "text": HIT.text,
                    "chunk_id": "00ff",
                }
            ],
        }
    )
    client.post("/v1/search", {"query": "x"})
    assert asked[-1] == SearchRequest("x")


def test_an_answer_without_the_model_says_why_and_one_behind_by_how_much():
    found = query_object(replace(RESULT, degraded="no model", behind=Behind(7, 0.0)))
    assert (found["degraded"], found["degraded_reason"], found["behind"]["documents"]) == (
        True,
        "no model",
        7,
    )


def test_file_names_of_any_bytes_go_in_and_come_out():
    searches = Searches(replace(RESULT, hits=[replace(HIT, path=ODD)]))
    status = {"reasons": [ODD]}
    with serving(make_surface(search=searches, status=lambda: status)) as client:
        found = client.get("/v1/search?query=x&path_prefix=odd-%80%ff.md")
        assert found.json["hits"][0]["path"] == ODD
        assert searches.asked[-1].path_prefix == ODD
        client.post("/v1/search", {"query": ODD, "path_prefix": ODD})
        assert searches.asked[-1].path_prefix == ODD
        assert client.get("/v1/status").json == status
        assert client.get("/v1/status?path=odd-%80%ff.md").json["path"] == ODD
        assert found.body.isascii()


def test_reading_routes_give_the_daemons_objects(client):
    assert client.get("/v1/status").json == {"state": "ready", "reasons": []}
    assert client.get("/v1/status?path=a%20b.md").json == {"path": "a b.md", "state": "indexed"}
    assert client.get("/v1/jobs").json == {"jobs": [], "dead_letters": []}
    assert client.get("/v1/jobs/d4").json == {"id": "d4"}
    assert client.get("/v1/jobs/5").status == 404
    assert client.get("/v1/jobs/5").json["exit_code"] == 2
    assert client.get("/v1/jobs/x").status == 404
    assert client.get("/v1/generations").json == {"live": 2, "generations": []}
    diff = client.get("/v1/generations/diff?a=1&b=2&query=x&query=y").json
    assert diff == {"a": 1, "b": 2, "overlap": 1.0, "queries": ["x", "y"]}


DEFAULTS = {
    "/v1/sync": {"accept_deletes": False, "wait": None, "now": False},
    "/v1/rebuild": {
        "model": None,
        "provider": None,
        "fresh": False,
        "no_promote": False,
        "abandon": False,
        "wait": None,
    },
    "/v1/generations/{generation}/promote": {"generation": 2, "force": False},
    "/v1/rollback": {"force": False},
    "/v1/generations/{generation}/drop": {"generation": 2},
    "/v1/jobs/retry": {"job": None},
    "/v1/jobs/{job}/cancel": {"job": "3"},
    "/v1/jobs/{job}/retry": {"job": "3"},
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.path)
def test_a_command_becomes_a_task_with_all_its_options(client, command):
    answer = client.post(command.path.replace("{generation}", "2").replace("{job}", "3"))
    task = client.surface.tasks.get(answer.json["id"])
    assert answer.status == 202
    assert answer.headers["Location"] == f"/v1/tasks/{task.id}"
    assert (task.command, task.options) == (command.name, DEFAULTS.get(command.path, {}))
    assert client.get(answer.headers["Location"]).json == answer.json


def test_the_options_of_commands_reach_the_task(client):
    def options(path, body):
        return client.surface.tasks.get(client.post(path, body).json["id"]).options

    given = {"accept_deletes": True, "wait": 3, "now": True}
    assert options("/v1/sync", given) == given
    given = {"model": "./m", "provider": "local", "fresh": True, "no_promote": True, "wait": 0.5}
    assert options("/v1/rebuild", given) == given | {"abandon": False}
    assert options("/v1/rollback", {"force": True}) == {"force": True}
    refused = client.post("/v1/rebuild", {"abandon": True, "fresh": True})
    assert (refused.status, refused.json["detail"]) == (422, "--abandon goes with no other option")


def test_a_task_is_followed_without_a_tight_loop():
    with serving() as client:
        tasks = client.surface.tasks
        posted = client.post("/v1/sync").json
        answers = []

        def poll():
            answers.append(client.get(f"/v1/tasks/{posted['id']}?wait=20&since={posted['revision']}").json)

        poller = threading.Thread(target=poll)
        poller.start()
        task = tasks.take()
        poller.join(20)
        assert answers[0]["state"] == "running"
        poller = threading.Thread(
            target=lambda: answers.append(client.get(f"/v1/tasks/{task.id}?wait=20").json)
        )
        poller.start()
        tasks.run(task, lambda _: Outcome({"generation": 1}, ("note: done",)))
        poller.join(20)
        last = client.get(f"/v1/tasks/{task.id}?wait=20&since=9999999").json  # over: no waiting
        assert (last["state"], last["result"], last["exit_code"]) == ("succeeded", {"generation": 1}, 0)
        assert last["messages"] == ["note: done"]
        assert answers[0]["revision"] < last["revision"]
        assert [task["id"] for task in client.get("/v1/tasks").json["tasks"]] == [task.id]
        assert client.get("/v1/tasks/77").status == 404


def test_a_poll_ends_when_its_time_is_over():
    with serving() as client:
        client.post("/v1/sync")
        assert client.get("/v1/tasks/1?wait=0.05").json["state"] == TaskState.QUEUED
        assert client.get("/v1/tasks/1?wait=61").status == 422


def test_health_is_told_to_supervisors():
    health = Health(
        is_alive=True, is_ready=False, components={"a": (True, "fine"), "reconcile": (False, ODD)}
    )
    with serving(make_surface(health=lambda: health)) as client:
        assert (client.get("/livez").status, client.get("/livez").body) == (200, b"ok\n")
        assert client.get("/healthz").status == 200
        assert (client.get("/readyz").status, client.get("/readyz").body) == (503, b"failed\n")
        verbose = client.get("/readyz?verbose").body
        assert verbose == b"[+]a ok: fine\n[-]reconcile failed: odd-\\udc80\\udcff.md\nfailed\n"
    with serving(make_surface(health=lambda: Health(is_alive=False, is_ready=True))) as client:
        assert (client.get("/livez").status, client.get("/readyz").status) == (503, 200)


def test_liveness_is_answered_while_everything_else_hangs():
    free = threading.Event()
    entered = []

    def hanging():
        entered.append(1)
        assert free.wait(20)
        return {}

    with serving(make_surface(status=hanging)) as client:
        hung = [threading.Thread(target=client.get, args=("/v1/status",)) for _ in range(8)]
        for thread in hung:
            thread.start()
        until(lambda: len(entered) >= 4)
        assert client.get("/livez").status == 200
        free.set()
        for thread in hung:
            thread.join(20)


def test_the_answers_are_json_for_any_reader(client):
    for path in ("/v1/status", "/v1/jobs", "/v1/tasks", "/v1/generations", "/openapi.json"):
        assert isinstance(json.loads(client.get(path).body), dict)
