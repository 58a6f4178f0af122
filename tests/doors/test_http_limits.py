"""What one client may take from the others: sizes, times, and how much at once."""

import threading
import time

import pytest

from reindex.http import application, guard, protocol, searching
from serving import LIMIT_S, Searches, make_surface, serving, until


def test_a_body_has_a_limit():
    with serving() as client:
        fits = b'{"query": "x"' + b" " * (65_536 - 14) + b"}"
        assert len(fits) == 65_536
        assert client.post("/v1/search", fits).status == 200
        answer = client.post("/v1/search", fits + b" ")
        assert (answer.status, answer.headers["Connection"]) == (413, "close")
        assert answer.json["detail"] == "a body may have 65536 bytes"


def test_an_endless_body_is_cut_off_early():
    with serving() as client, client.socket() as raw:
        raw.sendall(b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with pytest.raises(OSError, match=r"reset|pipe|Broken"):
            while sent < 100_000_000:
                raw.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
        assert sent < 20_000_000


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(application, "BODY_S", 0.1)
    with serving() as client, client.socket() as raw:
        raw.sendall(b"POST /v1/sync HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        answer = read_to_end(raw)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"problem+json" in answer
        assert client.surface.tasks.all() == []


@pytest.mark.parametrize("sent", [b"", b"GET /v1/st", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch, sent):
    monkeypatch.setattr(protocol, "HEAD_S", 0.1)
    with serving() as client, client.socket() as raw:
        raw.sendall(sent)
        assert read_to_end(raw) == b""
        monkeypatch.setattr(protocol, "HEAD_S", LIMIT_S)  # this one may take its time
        assert client.get("/livez").status == 200


def test_a_second_head_that_trickles_in_is_not_waited_for_either(monkeypatch):
    with serving() as client, client.socket() as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not raw.recv(10_000).endswith(b"ok\n"):
            pass
        monkeypatch.setattr(protocol, "HEAD_S", 0.3)
        started = time.monotonic()
        try:
            while time.monotonic() - started < LIMIT_S:
                raw.sendall(b"G")
                raw.settimeout(0.02)
                try:
                    if raw.recv(100) == b"":
                        break
                except TimeoutError:
                    continue
        except OSError:
            pass
        assert time.monotonic() - started < LIMIT_S


def test_a_slow_search_is_not_cut_off_by_the_time_for_heads(monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S", 0.5)
    searches = Searches()
    searches.hold()
    with serving(make_surface(search=searches)) as client:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(client.get("/v1/search?query=x")))
        thread.start()
        until(lambda: searches.under_way)
        time.sleep(1.0)  # twice the limit: it must not matter
        searches.let_go()
        thread.join(LIMIT_S)
        assert answers[0].status == 200


def test_a_head_has_a_size():
    with serving() as client:
        for begun in (b"GET /" + b"x" * 17_000, b"GET / HTTP/1.1\r\nA: " + b"y" * 17_000):
            with client.socket() as raw:
                raw.sendall(begun)
                assert read_to_end(raw).startswith(b"HTTP/1.1 400 ")
        assert client.get("/" + "x" * 17_000).status in {400, 431}
        assert client.get("/livez", {"A": "y" * 17_000}).status in {400, 431}
        assert client.get("/v1/search?query=" + "%C3%A4" * 3000).status in {400, 431}
        longest = "%C3%A4" * 2500  # in another script, as long as a head lets it be
        assert client.get(f"/v1/search?query={longest}").status == 200


def test_so_many_searches_at_a_time_the_others_wait_a_moment(monkeypatch):
    monkeypatch.setattr(searching, "WAIT_S", 0.1)
    searches = Searches()
    searches.hold()
    with serving(make_surface(search=searches), searches_max=2) as client:
        answers = []

        def ask():
            answers.append(client.get("/v1/search?query=x"))

        first = [threading.Thread(target=ask) for _ in range(2)]
        for thread in first:
            thread.start()
        until(lambda: searches.under_way == 2)
        answer = client.get("/v1/search?query=x")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert "2 searches are under way" in answer.json["detail"]
        assert client.get("/v1/status").status == 200
        assert b'reindex_searches_total{outcome="refused"} 1.0' in client.get("/metrics").body
        monkeypatch.setattr(searching, "WAIT_S", LIMIT_S)
        waiting = [threading.Thread(target=ask) for _ in range(2)]
        for thread in waiting:
            thread.start()
        until(lambda: len(client.server._uvicorn.server_state.tasks) == 4)
        assert client.get("/v1/search?query=x").status == 503  # as many wait already: at once
        assert searches.under_way == 2
        searches.let_go()
        for thread in (*first, *waiting):
            thread.join(LIMIT_S)
        assert [answer.status for answer in answers] == [200] * 4
        assert client.get("/v1/search?query=x").status == 200


def test_a_search_that_never_ends_gives_its_place_back(monkeypatch):
    monkeypatch.setattr(searching, "SEARCH_S", 0.1)
    searches = Searches()
    searches.hold()
    with serving(make_surface(search=searches), searches_max=1) as client:
        for _ in range(3):
            assert client.get("/v1/search?query=x").status == 504
        searches.let_go()
        monkeypatch.setattr(searching, "SEARCH_S", LIMIT_S)
        assert client.get("/v1/search?query=x").status == 200


def test_so_many_requests_at_a_time(monkeypatch):
    monkeypatch.setattr(guard, "REQUESTS_MAX", 3)
    with serving() as client:
        streams = [client.stream() for _ in range(3)]
        answer = client.get("/v1/status")
        assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
        assert client.get("/livez").status == 200
        for stream in streams:
            stream.close()
        until(lambda: client.get("/v1/status").status == 200)


def test_so_many_connections(monkeypatch):
    monkeypatch.setattr(protocol, "CONNECTIONS_MAX", 3)
    with serving() as client:
        idle = [client.socket() for _ in range(3)]
        for each in idle:
            each.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert each.recv(10_000)
        with pytest.raises((OSError, ConnectionError, EOFError, Exception), match=r"reset|closed"):
            client.get("/livez")
        idle.pop().close()

        def is_served():
            try:
                return client.get("/livez").status == 200
            except OSError:
                return False

        until(is_served)
        for each in idle:
            each.close()


def test_pipelined_and_repeated_requests_on_one_connection():
    with serving() as client, client.socket() as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5)
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert read_to_end(raw).count(b"HTTP/1.1 200 OK") == 6


def read_to_end(raw):
    found = b""
    while part := raw.recv(65_536):
        found += part
    return found
