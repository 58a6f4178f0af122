"""Server-sent events: what is told, how a client goes on where it was, and when a stream ends."""

import json
import socket
import threading
import time

import pytest

from reindex.http import events as events_module
from reindex.http import protocol, streams
from reindex.http.events import EVENTS_KEPT, PROGRESS_S, Events, Missed
from reindex.tasks import Outcome, TaskReporting
from serving import LIMIT_S, serving, until

ODD = b"\x80".decode("utf-8", "surrogateescape")


@pytest.fixture
def client():
    with serving() as client:
        yield client


def last_id(value):
    return {"Last-Event-ID": value}


def test_events_come_in_order_with_their_ids(client):
    stream = client.stream()
    assert stream.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    for number in range(50):
        client.surface.events.publish("pass", {"number": number, "path": f"a\n\r{ODD}"})
    found = [stream.next() for _ in range(50)]
    assert [(kind, data["number"]) for _, kind, data in found] == [("pass", n) for n in range(50)]
    assert found[0][2]["path"] == f"a\n\r{ODD}"
    assert len({identity for identity, _, _ in found}) == 50


def test_a_client_goes_on_after_the_last_event_that_it_saw(client):
    stream = client.stream()
    for number in range(3):
        client.surface.events.publish("pass", {"number": number})
    seen = stream.next()[0]
    stream.close()
    client.surface.events.publish("pass", {"number": 3})
    for again in (client.stream(headers=last_id(seen)), client.stream(f"/v1/events?last_event_id={seen}")):
        assert [again.next()[2]["number"] for _ in range(3)] == [1, 2, 3]
        again.close()
    fresh = client.stream()
    client.surface.events.publish("pass", {"number": 4})
    assert fresh.next()[2]["number"] == 4


@pytest.mark.parametrize("identity", ["ffffffff-3", "x", "-", "0-0", "{run}-99", "{run}-x", "{run}--1"])
def test_who_asks_for_what_is_not_remembered_is_told_to_look_anew(client, identity):
    events = client.surface.events
    number = events.publish("pass", {})
    run = events.event_id(number).partition("-")[0]
    stream = client.stream(headers=last_id(identity.replace("{run}", run)))
    assert stream.next()[1] == "reset"
    events.publish("pass", {"number": 2})
    assert stream.next()[1:] == ("pass", {"number": 2})


def test_who_is_too_far_behind_is_told_so(client):
    first = client.surface.events.event_id(client.surface.events.publish("pass", {}))
    for _ in range(EVENTS_KEPT):
        client.surface.events.publish("pass", {})
    whole = client.stream(headers=last_id(first))
    assert whole.next()[1] == "pass"
    client.surface.events.publish("pass", {})
    assert client.stream(headers=last_id(first)).next()[1] == "reset"


def small_window(client):
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(LIMIT_S)
    raw.connect((client.host, client.port))
    raw.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"retry" in raw.recv(4096) or b"retry" in raw.recv(4096)
    return raw


def fill(client, count=3 * EVENTS_KEPT):
    """More than sockets and memory hold. In steps, so that the stream takes part of it."""
    for number in range(count):
        client.surface.events.publish("pass", {"number": number, "text": "x" * 10_000})
        if number % 100 == 0:
            client.get("/livez")


def test_a_slow_client_is_cut_with_a_notice_and_holds_no_one_up(client):
    with small_window(client) as slow:
        quick = client.stream()
        fill(client)
        assert quick.next()
        quick.close()
        found = b""
        while part := slow.recv(1 << 20):
            found += part
    assert b"event: cut\n" in found
    assert found.count(b"event: pass") < 3 * EVENTS_KEPT
    assert found.endswith(b"0\r\n\r\n")


def test_a_client_that_reads_nothing_at_all_is_cut_off(client, monkeypatch):
    monkeypatch.setattr(protocol, "WRITE_S", 0.1)
    with small_window(client) as dead:
        fill(client)
        until(lambda: is_gone(client))
        assert dead.fileno() >= 0


def is_gone(client):
    """No connection but that of an asker."""
    uvicorn = client.server._uvicorn
    return not uvicorn.server_state.connections


def test_a_quiet_stream_has_a_heartbeat(monkeypatch):
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.02)
    with serving() as client:
        stream = client.stream()
        lines = [stream.response.readline() for _ in range(6)]
        assert lines == [b": still here\n", b"\n"] * 3


def test_a_client_that_goes_leaves_nothing_behind(client):
    for _ in range(3):
        all_streams = [client.stream() for _ in range(streams.STREAMS_MAX)]
        answer = client.get("/v1/events")
        assert (answer.status, answer.json["status"]) == (503, 503)
        for stream in all_streams:
            stream.close()
        until(lambda: is_gone(client))
    assert client.ask("HEAD", "/v1/events").status == 200


def test_a_stream_ends_with_the_daemon():
    with serving() as client:
        stream = client.stream()
        client.surface.events.publish("pass", {"number": 1})
        client.server.stop(limit_s=LIMIT_S)
        assert [stream.next()[1], stream.next()[1], stream.next()] == ["pass", "end", None]


def test_a_task_is_told_from_its_beginning_to_its_end(client):
    stream = client.stream()
    tasks = client.surface.tasks
    tasks.submit("sync", {})
    task = tasks.take()

    def work(task):
        told = TaskReporting(tasks, task)
        told.phase("embedding", 10_000, "chunks")
        for _ in range(10_000):
            told.advance(1)
        return Outcome({"generation": 1})

    started = time.monotonic()
    tasks.run(task, work)
    took_s = time.monotonic() - started
    found = []
    while not found or found[-1]["state"] != "succeeded":
        found.append(stream.next()[2])
    assert [event["state"] for event in found[:2]] == ["queued", "running"]
    assert len(found) <= 4 + took_s / PROGRESS_S
    assert found[-1]["progress"]["done"] == 10_000
    revisions = [event["revision"] for event in found]
    assert revisions == sorted(set(revisions))


def test_the_last_progress_before_a_pause_is_told(client):
    stream = client.stream()
    tasks = client.surface.tasks
    tasks.submit("sync", {})
    told = TaskReporting(tasks, tasks.take())
    told.phase("embedding", 3, "chunks")
    told.advance(1)
    told.advance(1)  # within the same tenth of a second, and then nothing more
    while stream.next()[2]["progress"]["done"] != 2:
        pass


def test_many_threads_may_tell_at_once(client):
    stream = client.stream()

    def tell(who):
        for number in range(100):
            client.surface.events.publish("pass", {"who": who, "number": number})

    threads = [threading.Thread(target=tell, args=(who,)) for who in range(5)]
    for thread in threads:
        thread.start()
    found = [stream.next()[2] for _ in range(500)]
    for who in range(5):
        assert [event["number"] for event in found if event["who"] == who] == list(range(100))
    for thread in threads:
        thread.join(LIMIT_S)


def test_the_memory_is_bounded_and_needs_no_listener():
    events = Events()
    for number in range(3 * EVENTS_KEPT):
        events.publish("pass", {"number": number})
    assert isinstance(events.after(0), Missed)
    kept = events.after(2 * EVENTS_KEPT)
    assert [json.loads(event.data)["number"] for event in kept] == list(
        range(2 * EVENTS_KEPT, 3 * EVENTS_KEPT)
    )
    assert events.after(3 * EVENTS_KEPT) == []
    assert events_module.EVENTS_KEPT == 1000
