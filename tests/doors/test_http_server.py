"""The server's life: taking the address, starting, answering, stopping with requests under way."""

import asyncio
import http.client
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from reindex.errors import ConfigError, ExitCode
from reindex.http.address import AddressError
from reindex.http.server import Server
from reindex.tasks import TaskReporting
from serving import LIMIT_S, RESULT, Client, Searches, make_surface, serving, until


def in_thread(function, *arguments):
    """Runs it; `answers` gets what it returned or raised."""
    answers = []

    def run():
        try:
            answers.append(function(*arguments))
        except (OSError, http.client.HTTPException) as error:
            answers.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, answers


def test_the_real_address_is_known_after_binding():
    server = Server(make_surface(), "localhost:0")
    assert server.url == ""
    url = server.bind()
    assert url == server.url
    assert url.startswith("http://localhost:")
    assert int(url.rpartition(":")[2]) > 0
    client = Client(server, None)
    thread, answers = in_thread(client.get, "/livez")  # waits until there is someone
    assert server.start() == url
    thread.join(LIMIT_S)
    assert answers[0].status == 200
    server.stop()
    server.stop()
    assert not server.is_running
    with pytest.raises(OSError, match="refused"):
        client.socket()


def test_the_other_protocol_of_addresses():
    with serving(http="[::1]:0") as client:
        assert client.server.url.startswith("http://[::1]:")
        assert client.get("/livez").status == 200
        assert client.get("/livez", {"Host": f"[::1]:{client.port}"}).status == 200


def test_a_bound_server_that_never_starts_gives_the_address_back():
    server = Server(make_surface(), "127.0.0.1:0")
    address = server.bind().removeprefix("http://")
    server.stop()
    with serving(http=address) as client:
        assert client.get("/livez").status == 200


def test_an_occupied_port_is_named_with_the_way_out():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressError) as failure:
            Server(make_surface(), f"127.0.0.1:{port}").bind()
        assert f"127.0.0.1:{port}" in failure.value.message
        assert "in use" in failure.value.message
        assert "[daemon] http" in failure.value.hint
        assert failure.value.exit_code is ExitCode.ERROR


def test_a_port_of_another_of_our_daemons_is_named_as_such():
    with serving() as client:
        with pytest.raises(AddressError) as failure:
            Server(make_surface(), f"127.0.0.1:{client.port}").start()
        assert "a reindex daemon, version" in failure.value.message
        assert client.get("/livez").status == 200


def test_an_address_that_is_not_this_machines():
    with pytest.raises(AddressError, match=r"192\.0\.2\.7:80"):
        Server(make_surface(), "192.0.2.7:80", "token").bind()
    with pytest.raises(ConfigError, match="no token"):
        Server(make_surface(), "0.0.0.0:0")


def test_the_address_is_free_again_at_once():
    with serving() as client:
        address = client.server.url.removeprefix("http://")
        client.get("/livez")
    for _ in range(3):
        with serving(http=address) as client:
            assert client.get("/livez").status == 200


def test_another_server_goes_on_with_the_same_surface():
    surface = make_surface()
    numbers = []
    for number in range(3):
        with serving(surface) as client:
            stream = client.stream()
            surface.tasks.submit("sync", {})
            task = surface.tasks.take()
            told = TaskReporting(surface.tasks, task)
            told.phase("embedding", 2, "chunks")
            told.advance(1)
            found = stream.next()[2]
            while not found["progress"]["done"]:
                found = stream.next()[2]
            numbers.append(found["id"])
            polled, answers = in_thread(client.get, f"/v1/tasks/{task.id}?wait=60")
            until(lambda client=client: len(client.server._uvicorn.server_state.tasks) == 2)
            told.advance(1)  # may still be untold when this server ends
        polled.join(LIMIT_S)
        assert answers[0].json["id"] == number + 1
    assert numbers == [1, 2, 3]


def test_what_belongs_to_the_loop_is_made_and_closed_on_it():
    loops = []

    async def note():
        loops.append(asyncio.get_running_loop())

    searches = Searches()

    async def search(request):
        await note()
        return await searches(request)

    with serving(make_surface(search=search), on_start=note, on_stop=note) as client:
        assert len(loops) == 1
        client.get("/v1/search?query=x")
    assert len(loops) == 3
    assert len(set(loops)) == 1


def test_a_start_that_fails_is_told_to_who_started():
    async def fail():
        raise ConfigError("can't begin")

    stopped = []

    async def stop():
        stopped.append(1)

    server = Server(make_surface(), "127.0.0.1:0", on_start=fail, on_stop=stop)
    with pytest.raises(ConfigError, match="can't begin"):
        server.start()
    assert not server.is_running
    assert stopped == []
    server.stop()
    with pytest.raises(OSError, match="refused"):
        Client(server, None).socket()


def test_requests_under_way_are_answered_before_the_end():
    searches = Searches()
    searches.hold()
    stopped = []

    async def on_stop():
        stopped.append(searches.under_way)

    with serving(make_surface(search=searches), on_stop=on_stop) as client:
        client.surface.tasks.submit("sync", {})
        idle = client.socket()
        idle.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not idle.recv(10_000).endswith(b"ok\n"):
            pass
        asked, answers = in_thread(client.get, "/v1/search?query=x")
        polled, polls = in_thread(client.get, "/v1/tasks/1?wait=60")
        until(lambda: len(client.server._uvicorn.server_state.tasks) == 2)
        stopping, _ = in_thread(client.server.stop, LIMIT_S)
        polled.join(LIMIT_S)
        assert polls[0].json["state"] == "queued"
        assert idle.recv(10) == b""
        idle.close()
        assert is_refused(client)
        assert stopping.is_alive()
        searches.let_go()
        asked.join(LIMIT_S)
        assert answers[0].status == 200
        assert answers[0].json["version"] == RESULT.version
        stopping.join(LIMIT_S)
        assert stopped == [0]


def test_what_takes_too_long_is_cut_off(caplog):
    searches = Searches()
    searches.hold()
    with serving(make_surface(search=searches)) as client:
        asked, answers = in_thread(client.get, "/v1/search?query=x")
        until(lambda: searches.under_way)
        started = time.monotonic()
        client.server.stop(limit_s=0.5)
        assert time.monotonic() - started < LIMIT_S
        assert not client.server.is_running
        asked.join(LIMIT_S)
        assert isinstance(answers[0], Exception) or answers[0].json["detail"] == "the daemon stops"
    assert "Traceback" not in caplog.text


def is_refused(client):
    try:
        client.socket().close()
    except OSError:
        return True
    return False


def test_an_answer_is_sent_at_once_and_waits_for_no_acknowledgement():
    with serving() as client, client.socket() as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw.recv(1)
        (connection,) = client.server._uvicorn.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_no_signal_handler_is_touched():
    import signal

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with serving() as client:
        client.get("/livez")
        assert {number: signal.getsignal(number) for number in before} == before
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_nobody_asks_and_nothing_wakes_up():
    """An idle thread gives the processor up once, when it begins to wait, and not ten times a second."""
    with serving() as client:
        client.get("/livez")
        status = Path(f"/proc/self/task/{client.server._thread.native_id}/status")

        def switches():
            return [line for line in status.read_text().splitlines() if line.startswith("voluntary")]

        def is_quiet():
            before = switches()
            time.sleep(1.0)  # the measurement itself
            return switches() == before

        until(is_quiet)


def test_descriptors_and_threads_stay_as_they_are():
    descriptors = Path("/proc/self/fd")
    with serving() as client:
        for _ in range(20):
            client.get("/v1/status")
        until(lambda: not client.server._uvicorn.server_state.connections)
        before = len(list(descriptors.iterdir())), threading.active_count()
        for _ in range(50):
            client.get("/v1/status")
            client.get("/v1/search?query=x")
            client.stream().close()
        until(lambda: not client.server._uvicorn.server_state.connections)
        assert (len(list(descriptors.iterdir())), threading.active_count()) == before
