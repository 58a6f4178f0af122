"""What befalls a daemon: it says what and what to do, goes on answering, and recovers by itself."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import time

import pytest

from doubles import paragraphs
from processes import wait_until

RECOVERS_WITHIN_S = 60.0  # some seconds, on a machine with much else to do


@pytest.fixture
def troubled(served):
    """Two documents, and a daemon that waits half a second for a locked database."""
    served.environment["BUSY_TIMEOUT_S"] = "0.5"
    served.write("second.md", "A heron stood by the weir.")
    served.up()
    return served


def until_degraded(served, *words, component="last pass"):
    """`status` and /readyz?verbose say why; it is ready and answers all the same."""
    wait_until(lambda: served.status()["state"] == "degraded", "the trouble to be told")
    wait_until(
        lambda: all(word in " ".join(served.status()["reasons"]) for word in words),
        f"{words} in the reasons, which are {served.status()['reasons']}",
    )
    wait_until(lambda: f"[-]{component} failed: " in served.ask("/readyz?verbose=true")[1], component)
    assert served.ask("/readyz")[0] == 200
    assert served.finds("copper lanterns")


def until_recovered(served, begun):
    served.until_ready()
    assert time.monotonic() - begun < RECOVERS_WITHIN_S
    assert served.status()["lag_s"] == 0.0
    assert served.house.verify().ok


def test_a_model_that_is_down(troubled):
    troubled.fault.write_text("down")
    troubled.write("third.md", paragraphs(1))
    until_degraded(troubled, "the model fails on every text: the provider is down (Check the model")
    first = troubled.status()["lag_s"]
    wait_until(lambda: troubled.status()["lag_s"] > first > 0, "the lag to grow")
    assert troubled.status()["documents"]["pending"] == 1
    by_words = troubled.get("/v1/search?query=a+heron+never+asked+for")
    assert by_words["degraded"]
    assert by_words["hits"]
    status, problem = troubled.ask("/v1/search?mode=vector&query=another")
    assert (status, json.loads(problem)["detail"]) == (503, "the provider is down")
    troubled.fault.unlink()
    until_recovered(troubled, time.monotonic())


def test_a_ledger_that_another_process_has_locked(troubled):
    other = sqlite3.connect(troubled.data_dir / "ledger.sqlite", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        troubled.write("third.md", paragraphs(1))
        until_degraded(troubled, "ledger.sqlite is locked by another process (")
    finally:
        other.close()
    until_recovered(troubled, time.monotonic())


@pytest.mark.parametrize("name", ["ledger.sqlite", "cache.sqlite"])
def test_a_store_that_is_damaged_under_it(troubled, name):
    database = troubled.data_dir / name
    assert database.exists()
    for path in (database, database.with_name(name + "-wal")):
        with path.open("r+b") as file:
            file.write(b"\xa5" * path.stat().st_size)
    if name == "ledger.sqlite":  # nothing needs to happen: whoever asks for the status meets it
        wait_until(lambda: troubled.status() and aside(troubled), "the damage to be met")
    troubled.write("third.md", "An ibis landed on the pier.")
    troubled.until_found("ibis landed")
    until_recovered(troubled, time.monotonic())
    assert troubled.run("restart").code == 0
    assert troubled.house.verify(deep=True).ok
    assert not troubled.sent_twice()


def aside(served):
    return list(served.data_dir.glob("ledger.damaged-*"))


def test_a_disk_that_takes_no_more(troubled):
    pid = troubled.presence.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        troubled.write("third.md", paragraphs(1))
        until_degraded(troubled, str(troubled.data_dir))
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    until_recovered(troubled, time.monotonic())
    assert troubled.presence.pid == pid


@pytest.mark.parametrize("how", ["removed", "moved away"])
def test_a_data_directory_that_vanishes(troubled, how):
    presence = troubled.presence
    gone = troubled.folder / "gone"
    troubled.data_dir.rename(gone)
    if how == "removed":
        shutil.rmtree(gone)
    wait_until(lambda: troubled.presence is not None, "the daemon to be found again")
    assert troubled.presence == presence
    wait_until(lambda: troubled.ask("/v1/search?mode=text&query=copper")[0] == 200, "an index made anew")
    troubled.until_ready()
    assert troubled.house.verify().ok
    assert troubled.run("stop").code == 0
    assert troubled.presence is None


def test_a_source_that_is_moved_away_and_comes_back(troubled):
    away = troubled.folder / "away"
    (troubled.folder / "docs").rename(away)
    until_degraded(troubled, "docs", "held", component="documents")
    away.rename(troubled.folder / "docs")
    until_recovered(troubled, time.monotonic())
    assert troubled.status()["documents"]["total"] == 2
    assert not troubled.sent_twice()


def test_a_configuration_that_is_refused(troubled):
    good = troubled.config.read_text()
    troubled.config.write_text(good.replace("[embedding]", "[embeding]"))
    os.kill(troubled.presence.pid, signal.SIGHUP)
    until_degraded(troubled, "embeding", "embedding", "config.toml:", component="configuration")
    assert "reindex_config_last_reload_successful 0.0" in troubled.ask("/metrics")[1]
    troubled.config.write_text(good + 'token = "another"\n')
    assert good.rstrip().endswith(':0"'), "the last table is [daemon]"
    os.kill(troubled.presence.pid, signal.SIGHUP)
    until_degraded(troubled, "token", "reindex restart", component="configuration")
    troubled.config.write_text(good)
    os.kill(troubled.presence.pid, signal.SIGHUP)
    until_recovered(troubled, time.monotonic())
    assert "reindex_config_last_reload_successful 1.0" in troubled.ask("/metrics")[1]


def test_a_clock_that_is_set(served):
    ahead = served.folder / "ahead"
    served.environment["CLOCK_AHEAD"] = str(ahead)
    served.up()
    for number, seconds in enumerate((3600, -3600, 0)):
        ahead.write_text(str(seconds))
        served.write("second.md", f"Hour {number} struck by the tower.")
        served.until_found(f"Hour {number} struck")
        served.until_ready()
    assert served.house.verify().ok
    assert not served.sent_twice()


def test_workers_that_are_killed(served):
    served.environment["MODEL_PROCESS"] = "1"
    served.up()
    for number in range(3):
        assert served.get(f"/v1/search?mode=vector&query=lantern+{number}")["hits"]
        for pid, command in served.children().items():
            assert "worker" in command or "child" in command, command
            os.kill(pid, signal.SIGKILL)
        served.write("second.md", f"Stork {number} came by the mill.")
        served.until_found(f"Stork {number}")
    served.until_ready()
    assert served.get("/v1/search?mode=vector&query=a+last+one")["hits"]
    commands = list(served.children().values())
    assert sum("logging_worker" in each for each in commands) == 2, "one embeds documents, one queries"
    assert not served.sent_twice()
