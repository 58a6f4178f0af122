"""A daemon is started, found, told, and ended: by commands, as processes."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from processes import wait_until
from reindex.presence import Presence, started_ticks


def is_alive(pid):
    """A process that ended and was not yet asked for by its parent is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_start_returns_when_it_is_ready_and_stop_when_it_is_gone(daemon_place):
    started = daemon_place.run("start")
    presence = daemon_place.presence
    assert started.code == 0
    assert presence.is_ready
    assert started.out.startswith(f"ready: process {presence.pid}, no HTTP, since 20")
    assert "starting: process" in started.err
    assert os.getsid(presence.pid) == presence.pid
    assert os.readlink(f"/proc/{presence.pid}/cwd") == "/"
    assert os.readlink(f"/proc/{presence.pid}/fd/0") == "/dev/null"
    assert {os.readlink(f"/proc/{presence.pid}/fd/{n}") for n in (1, 2)} == {str(daemon_place.log)}
    stopped = daemon_place.run("stop")
    assert stopped.code == 0
    assert stopped.out.startswith(f"stopped: process {presence.pid}, after ")
    assert not is_alive(presence.pid)
    assert daemon_place.presence is None


def test_twice_is_no_error(daemon_place):
    assert daemon_place.run("stop").out == "not running\n"
    first = daemon_place.run("start", "--json").json
    second = daemon_place.run("start", "--json")
    assert second.json == {**first, "already_running": True}
    assert "already running: process" in daemon_place.run("start").out
    assert daemon_place.run("stop", "--json").json["ending"] == "stopped"
    again = daemon_place.run("stop", "--json")
    assert (again.code, again.json["ending"]) == (0, "not running")


def test_two_starts_at_the_same_moment_make_one_daemon(daemon_place):
    both = [daemon_place.start("start", "--json") for _ in range(2)]
    answers = [json.loads(each.communicate(timeout=180)[0]) for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert answers[0]["pid"] == answers[1]["pid"] == daemon_place.presence.pid
    assert sorted(each["already_running"] for each in answers) == [False, True]
    assert daemon_place.processes() == [daemon_place.presence.pid]


def test_a_second_run_is_locked_out_and_names_the_first(daemon_place):
    daemon_place.environment["DAEMON_HTTP"] = "1"
    started = daemon_place.run("start", "--json").json
    second = daemon_place.run("run")
    assert second.code == 4
    assert f"process {started['pid']}, {started['url']}" in second.err


def test_after_kill_9_it_starts_at_once(daemon_place):
    first = daemon_place.run("start", "--json").json["pid"]
    os.kill(first, signal.SIGKILL)
    started = daemon_place.run("start", "--json")
    assert started.code == 0
    assert started.json["pid"] != first
    assert not started.json["already_running"]


def test_restart_is_another_process_and_a_wrong_configuration_costs_nothing(daemon_place):
    first = daemon_place.run("restart", "--json").json["pid"]
    second = daemon_place.run("restart", "--json").json["pid"]
    assert first != second
    assert not is_alive(first)
    (daemon_place.folder / "config.toml").write_text("[daemon]\nhtp = 1\n")
    refused = daemon_place.run("restart")
    assert refused.code == 2
    assert "config.toml:2" in refused.err
    assert daemon_place.presence.pid == second


def test_a_wrong_configuration_is_told_at_once_and_leaves_no_process(daemon_place):
    (daemon_place.folder / "config.toml").write_text("data_dri = 1\n")
    for verb in ("start", "run"):
        refused = daemon_place.run(verb)
        assert refused.code == 2
        assert "config.toml:1" in refused.err
        assert "data_dir" in refused.err
    assert daemon_place.processes() == []


def test_a_daemon_can_be_stopped_whatever_became_of_its_configuration(daemon_place):
    daemon_place.run("start")
    (daemon_place.folder / "config.toml").write_text("[broken")
    assert daemon_place.run("stop").code == 2
    assert daemon_place.presence is not None
    stopped = daemon_place.run("stop", "--data-dir", ".reindex")
    assert stopped.code == 0
    assert stopped.out.startswith("stopped: ")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("fail", "error: 127.0.0.1:7700 is in use\nhint: Choose another [daemon] http.\n"),
        ("die", "SIGABRT"),
        ("bug", "AssertionError: a bug"),
    ],
)
def test_the_error_of_a_daemon_that_does_not_start_is_told(daemon_place, how, words):
    daemon_place.environment["DAEMON"] = how
    failed = daemon_place.run("start")
    assert failed.code == 1
    assert words in failed.err
    assert failed.out == ""
    assert daemon_place.processes() == []


def test_the_last_words_of_an_earlier_failure_are_not_taken_for_the_next_one(daemon_place):
    daemon_place.environment["DAEMON"] = "fail"
    daemon_place.run("start")
    daemon_place.environment["DAEMON"] = "die"
    assert "is in use" not in daemon_place.run("start").err


@pytest.mark.parametrize("how", ["hang", "linger"])
def test_a_start_that_hangs_ends_at_its_limit_and_leaves_no_process(daemon_place, how):
    daemon_place.environment["DAEMON"] = how
    late = daemon_place.run("start", "--timeout", "2")
    assert late.code == 1
    assert "not ready within 2 s" in late.err
    assert "--timeout" in late.err
    assert daemon_place.processes() == []


def test_ctrl_c_while_it_starts_leaves_no_process(daemon_place):
    daemon_place.environment["DAEMON"] = "linger"
    starting = daemon_place.start("start")
    wait_until(lambda: daemon_place.presence is not None, "the daemon to announce itself")
    starting.send_signal(signal.SIGINT)
    starting.communicate(timeout=180)
    assert starting.returncode == 130
    assert daemon_place.processes() == []


def test_a_daemon_that_does_not_end_is_told_of_and_killed_only_on_request(daemon_place):
    daemon_place.environment |= {"DAEMON": "stubborn", "REINDEX_DAEMON__STOP_S": "0.1"}
    pid = daemon_place.run("start", "--json").json["pid"]
    refused = daemon_place.run("stop")
    assert refused.code == 1
    assert f"process {pid} has not ended" in refused.err
    assert "--kill" in refused.err
    assert is_alive(pid)
    killed = daemon_place.run("stop", "--kill", "--json")
    assert (killed.code, killed.json["ending"]) == (0, "killed")
    assert not is_alive(pid)


def test_a_number_that_is_another_process_by_now_is_never_signalled(daemon_place):
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        daemon_place.data_dir.mkdir()
        note = Presence(bystander.pid, "", "0.1.0", time.time(), is_ready=True, started_ticks=1)
        assert started_ticks(bystander.pid) != note.started_ticks
        with (daemon_place.data_dir / "daemon.json").open("w+") as file:
            file.write(json.dumps(asdict(note)))
            file.flush()
            fcntl.flock(file, fcntl.LOCK_EX)
            for verb in ("stop", "reload"):
                refused = daemon_place.run(verb)
                assert refused.code == 1
                assert f"process {bystander.pid} is not that daemon here" in refused.err
            assert daemon_place.run("stop", "--kill").code == 1
            fcntl.flock(file, fcntl.LOCK_UN)
        assert daemon_place.run("stop", "--kill").out == "not running\n"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_reload_tells_what_came_of_it(daemon_place):
    assert daemon_place.run("reload").code == 3
    daemon_place.environment["DAEMON_HTTP"] = "1"
    pid = daemon_place.run("start", "--json").json["pid"]
    for _ in range(2):
        done = daemon_place.run("reload", "--json")
        assert (done.code, done.json) == (0, {"pid": pid, "ok": True, "error": None})
    other = daemon_place.folder / "other.toml"
    other.write_text((daemon_place.folder / "config.toml").read_text())
    (daemon_place.folder / "config.toml").write_text("broken = 1")
    assert daemon_place.run("reload").code == 2
    failed = daemon_place.run("reload", "--config", "other.toml")
    assert failed.code == 2
    assert f"process {pid} goes on with its old configuration" in failed.err
    assert "broken" in failed.err


def test_reload_without_http_says_that_it_was_sent(daemon_place):
    daemon_place.run("start")
    sent = daemon_place.run("reload", "--json")
    assert (sent.code, sent.json["ok"]) == (0, None)
    wait_until(lambda: '"reloaded"' in daemon_place.log.read_text(), "the daemon to have reloaded")


def test_a_reload_changes_what_is_logged(daemon_place):
    daemon_place.environment["DAEMON_HTTP"] = "1"
    daemon_place.run("start")
    daemon_place.run("reload")
    assert "a detail" not in daemon_place.log.read_text()
    with (daemon_place.folder / "config.toml").open("a") as file:
        file.write('[daemon]\nlog_level = "debug"\n')
    daemon_place.run("reload")
    wait_until(lambda: "a detail" in daemon_place.log.read_text(), "the line that only debug has")


def test_a_manager_that_waits_for_the_command_is_not_told_by_the_daemon(daemon_place):
    paths = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), "nowhere"]))
    daemon_place.environment |= {"NOTIFY_SOCKET": "/run/manager", "PYTHONPATH": paths}
    assert daemon_place.run("start").code == 0
    assert '"manager": null' in daemon_place.log.read_text()
    environment = Path(f"/proc/{daemon_place.presence.pid}/environ").read_bytes().split(b"\0")
    (told,) = [each.decode() for each in environment if each.startswith(b"PYTHONPATH=")]
    assert told.endswith(str(daemon_place.folder / "nowhere")), "another folder is its own"


def test_the_key_is_not_in_the_log(daemon_place):
    daemon_place.environment["OPENAI_API_KEY"] = "canary-key-1"
    assert daemon_place.run("start").code == 0
    assert '"key": "***"' in daemon_place.log.read_text()
    assert "canary" not in daemon_place.log.read_text()


@pytest.mark.parametrize("verb", ["run", "start", "stop", "restart", "reload"])
def test_help_has_an_example(daemon_place, verb):
    assert f"Example: reindex {verb}" in " ".join(daemon_place.run(verb, "--help").out.split()).replace(
        "config validate && reindex ", ""
    )
