"""What a service manager is told, read from a real socket."""

import os
import socket
import time

import pytest

from reindex.daemon.notify import Notifier, watchdog_interval_s


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """A manager's socket, and its address as the environment names it."""
    name = f"reindex-test-{os.getpid()}-{request.node.name}"
    address = str(tmp_path / "notify") if request.param == "path" else f"@{name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address if request.param == "path" else f"\0{name}")
        listening.settimeout(10)
        yield listening, Notifier.from_environment({"NOTIFY_SOCKET": address})


def test_each_message_arrives_whole(manager):
    listening, notifier = manager
    for send, expected in (
        (lambda: notifier.ready("10 documents"), b"READY=1\nSTATUS=10 documents"),
        (notifier.ready, b"READY=1"),
        (lambda: notifier.status("two\nlines\x00and a name: caf\udce9"), None),
        (lambda: notifier.stopping("draining"), b"STOPPING=1\nSTATUS=draining"),
        (notifier.watchdog, b"WATCHDOG=1"),
    ):
        assert send()
        message = listening.recv(4096)
        if expected is None:
            assert message.startswith(b"STATUS=two lines")
            assert b"\n" not in message, "no line of it can be taken for another assignment"
        else:
            assert message == expected


def test_reloading_names_its_moment_in_the_same_message(manager):
    listening, notifier = manager
    before_us = time.monotonic_ns() // 1000
    assert notifier.reloading()
    first, second = listening.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    name, _, moment = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before_us <= int(moment) <= time.monotonic_ns() // 1000


def test_without_a_manager_nothing_happens(tmp_path):
    assert not Notifier.from_environment({}).ready()
    assert not Notifier.from_environment({"NOTIFY_SOCKET": ""}).ready()
    assert not Notifier.from_environment({"NOTIFY_SOCKET": "vsock:2:1234"}).ready()
    assert not Notifier(str(tmp_path / "nobody")).watchdog()


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path):
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address)
        notifier = Notifier(address)
        sent = 0
        while notifier.watchdog():
            sent += 1
            assert sent < 100_000, "the queue of a socket is bounded"
        assert sent


def test_the_watchdog_is_ours_only_if_it_names_us():
    allowed = {"WATCHDOG_USEC": "30000000"}
    assert watchdog_interval_s(allowed) == 15
    assert watchdog_interval_s({**allowed, "WATCHDOG_PID": str(os.getpid())}) == 15
    assert watchdog_interval_s({**allowed, "WATCHDOG_PID": "77"}, pid=77) == 15
    assert watchdog_interval_s({**allowed, "WATCHDOG_PID": str(os.getpid() + 1)}) is None
    for nonsense in ({}, {"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}):
        assert watchdog_interval_s(nonsense) is None
