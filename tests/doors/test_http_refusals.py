"""Who is turned away, and how: names of other sites, missing tokens, wrong options."""

import logging

import pytest

from reindex.errors import ConfigError
from reindex.http.address import check_address
from serving import refused, serving

TOKEN = "s3cret-t0ken"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def client():
    with serving() as client:
        yield client


def test_only_names_of_this_machine_are_answered_to(client):
    for host in ("127.0.0.1", "localhost", "[::1]", "LOCALHOST"):
        for named in (host, f"{host}:{client.port}"):
            assert client.get("/v1/status", {"Host": named}).status == 200, named
    for host in ("evil.example", f"evil.example:{client.port}", "localhost.evil.example", "127.0.0.1:1", ""):
        for path in ("/v1/search?query=x", "/", "/metrics", "/livez", "/nowhere"):
            refused(client.get(path, {"Host": host}), 421)
    with client.socket() as raw:
        raw.sendall(b"GET /v1/status HTTP/1.0\r\n\r\n")
        assert b" 421 " in raw.recv(1000)


def test_a_page_of_another_site_changes_nothing(client):
    here = f"http://127.0.0.1:{client.port}"
    before = len(client.surface.tasks.all())
    for origin in (
        "https://evil.example",
        "null",
        "http://127.0.0.1:1",
        f"http://evil.example:{client.port}",
        "",
    ):
        for path in ("/v1/sync", "/v1/pause", "/v1/generations/1/drop", "/v1/search"):
            refused(client.post(path, {"query": "x"}, {"Origin": origin}), 403)
        refused(client.ask("DELETE", "/v1/status", None, {"Origin": origin}), 403)
        assert client.get("/v1/status", {"Origin": origin}).status == 200
    assert len(client.surface.tasks.all()) == before
    assert client.post("/v1/sync", None, {"Origin": here}).status == 202
    local = {"Host": f"localhost:{client.port}", "Origin": f"http://localhost:{client.port}"}
    assert client.post("/v1/sync", None, local).status == 202
    refused(client.post("/v1/sync", None, {"Origin": f"http://localhost:{client.port}"}), 403)


def test_no_answer_lets_another_site_read_it(client):
    for answer in (client.get("/v1/status", {"Origin": "https://evil.example"}), client.get("/nowhere")):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Date" in answer.headers


def test_with_a_token_nothing_but_health_is_told_without_it(caplog):
    caplog.set_level(logging.DEBUG)
    with serving(token=TOKEN) as client:
        assert client.get("/").status == 200  # the page asks for it
        for path in ("/v1/status", "/v1/search?query=x", "/metrics", "/openapi.json", "/nowhere"):
            for headers in (
                {},
                {"Authorization": f"Bearer {TOKEN}x"},
                {"Authorization": f"Bearer x{TOKEN}"},
                {"Authorization": "Bearer "},
                {"Authorization": f"Basic {TOKEN}"},
                {"Authorization": TOKEN},
                {"Authorization": b"Bearer \xff"},
            ):
                answer = client.get(path, headers)
                refused(answer, 401)
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert TOKEN not in answer.body.decode()
            assert client.get(path, BEARER).status in {200, 404}
        assert client.post("/v1/sync").status == 401
        assert client.post("/v1/sync", None, BEARER).status == 202
        assert client.post("/v1/sync", None, {"Authorization": f"bearer {TOKEN}"}).status == 202
        for path in ("/livez", "/readyz", "/healthz"):
            assert client.get(path).status == 200
            assert client.get(f"{path}?verbose").status == 401
            assert client.get(f"{path}?verbose", BEARER).status == 200
        client.get(f"/v1/status?path={TOKEN}", BEARER)
        assert TOKEN not in client.get("/metrics", BEARER).body.decode()
    assert "GET /metrics 200" in caplog.text
    assert TOKEN not in caplog.text


def test_another_address_than_this_machines_own_needs_a_token():
    for http in ("0.0.0.0:7700", "[::]:7700", "192.0.2.7:7700"):
        with pytest.raises(ConfigError) as failure:
            check_address(http, "")
        assert "token" in failure.value.message
        assert "[daemon] token" in failure.value.hint
        assert not check_address(http, TOKEN).is_loopback
    for http in ("127.0.0.1:0", "localhost:7700", "[::1]:7700", "127.0.0.9:1"):
        assert check_address(http, "").is_loopback
    for http in ("127.0.0.1:65536", "nonsense", "host.invalid:1", ":1", "127.0.0.1:x"):
        with pytest.raises(ConfigError):
            check_address(http, TOKEN)


def test_behind_a_token_any_name_is_answered_to():
    with serving(http="0.0.0.0:0", token=TOKEN) as client:
        client.host = "127.0.0.1"
        headers = {**BEARER, "Host": "search.example"}
        assert client.get("/v1/status", headers).status == 200
        assert client.post("/v1/sync", None, {**headers, "Origin": "https://search.example"}).status == 202
        assert client.post("/v1/sync", None, {**headers, "Origin": "https://evil.example"}).status == 403


SEARCHES = [
    ({}, "query is missing"),
    ({"query": None}, "query is missing"),
    ({"query": 7}, "query must be a text"),
    ({"query": ["x"]}, "query must be a text"),
    ({"query": "a\0b"}, "query must be a text"),
    ({"query": "x" * 8001}, "at most 8000 characters"),
    ({"query": "x", "k": 0}, "k must be at least 1"),
    ({"query": "x", "k": 1001}, "k must be at most 1000"),
    ({"query": "x", "k": "ten"}, "k must be an integer"),
    ({"query": "x", "k": True}, "k must be an integer"),
    ({"query": "x", "k": 1.5}, "k must be an integer"),
    ({"query": "x", "mode": "magic"}, "mode must be one of hybrid, vector, text"),
    ({"query": "x", "generation": -1}, "generation must be at least 1"),
    ({"query": "x", "path_prefx": "a"}, 'no option "path_prefx"'),
    ({"text": "x"}, 'no option "text"'),
]


@pytest.mark.parametrize(("body", "detail"), SEARCHES)
def test_wrong_options_are_named(client, body, detail):
    problem = refused(client.post("/v1/search", body), 422)
    assert detail in problem["detail"]
    assert problem["exit_code"] == 2
    if "path_prefx" in body:
        assert problem["hint"] == "Did you mean path_prefix?"


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", "query is missing"),
        ("query=x&k=0", "at least 1"),
        ("query=x&k=1001", "at most 1000"),
        ("query=x&k=ten", "an integer"),
        ("query=x&k=1e3", "an integer"),
        ("query=x&k=" + "9" * 5000, "an integer"),
        ("query=x&query=y", "given twice"),
        ("query=%00", "a text"),
        ("query=x&mode=", "one of"),
        ("q=x", 'no option "q"'),
        ("query=" + "x" * 8001, "8000 characters"),
    ],
)
def test_wrong_options_in_a_query_are_named(client, query, detail):
    assert detail in refused(client.get(f"/v1/search?{query}"), 422)["detail"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/sync", {"accept_deletes": "yes"}),
        ("/v1/sync", {"wait": -1}),
        ("/v1/sync", {"wait": 10**400}),
        ("/v1/sync", {"wait": True}),
        ("/v1/sync", {"accept-deletes": True}),
        ("/v1/rebuild", {"provider": "elsewhere"}),
        ("/v1/rebuild", {"model": ""}),
        ("/v1/rebuild", {"abandon": True, "model": "m"}),
        ("/v1/gc", {"force": True}),
        ("/v1/sync?now=true", None),
        ("/v1/sync", []),
        ("/v1/sync", "x"),
    ],
)
def test_a_command_with_wrong_options_is_no_task(client, path, body):
    before = len(client.surface.tasks.all())
    assert refused(client.post(path, body), 422)["exit_code"] == 2
    assert len(client.surface.tasks.all()) == before


def test_what_is_no_json_is_said_to_be_none(client):
    for body in (b"{", b"\xff", b"query=x", b'{"query": NaN}', b"[" * 60_000, b'{"k":' + b"1" * 5000 + b"}"):
        refused(client.post("/v1/search", body), 400)
    refused(client.post("/v1/search", b'{"query": "x"}', {"Content-Type": "text/plain"}), 415)
    utf8 = {"Content-Type": "application/json; charset=utf-8"}
    assert client.post("/v1/search", b'{"query": "x"}', utf8).status == 200


def test_paths_and_methods_that_are_none(client):
    for path in (
        "/nowhere",
        "/v1",
        "/v1/search/",
        "/v1/generations/x/drop",
        "/v1/tasks/-1",
        "/v1/jobs/3;x",
        "//v1/status",
        "/../etc/passwd",
        "/%2e%2e/page.html",
        "/v1/tasks/" + "9" * 400,
    ):
        refused(client.ask("POST" if "drop" in path else "GET", path), 404)
    answer = client.ask("DELETE", "/v1/search")
    refused(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
    refused(client.get("/v1/sync"), 405)
    refused(client.ask("PUT", "/v1/status"), 405)
