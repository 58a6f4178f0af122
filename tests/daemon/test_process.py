"""The daemon as a process, by its commands: it keeps the index fresh, answers, and survives what may come."""

import os
import random
import signal
import time
from contextlib import suppress

import pytest

from doubles import paragraphs
from processes import CONFIG, wait_until
from served import EXTRA, Served


def test_a_saved_file_is_found_by_search_and_commands_go_through_the_daemon(served):
    served.up()
    served.write("second.md", "A quagga met an okapi by the orchard.")
    wait_until(lambda: served.finds("quagga met an okapi"), "the saved file")
    found = served.run("query", "quagga", "--mode", "text", "--json")
    assert found.json["hits"][0]["path"] == "second.md"
    status = served.run("status", "--json").json
    assert status["daemon"] == {
        "running": True,
        "pid": served.presence.pid,
        "url": served.presence.url,
        "version": status["daemon"]["version"],
    }
    assert status["documents"] == {"total": 2, "pending": 0, "failed": 0, "held": 0}
    synced = served.run("sync", "--json")
    assert synced.code == 0
    assert synced.json["documents"]["unchanged"] == 2
    assert served.is_equal()
    assert served.run("stop").code == 0
    assert served.presence is None
    assert served.run("query", "quagga", "--mode", "text", "--json").json["hits"][0]["path"] == "second.md"


def test_a_rebuild_and_a_rollback_through_the_daemon(served):
    served.up()
    built = served.run("rebuild", "--fresh", "--json")
    assert (built.code, built.json["from_generation"], built.json["promoted"]) == (0, None, True) or (
        built.json["from_generation"] == 1
    )
    config = served.folder / "config.toml"
    config.write_text(config.read_text().replace("[embedding]", "[embedding]\ndimensions = 64"))
    assert served.run("reload").code == 0
    built = served.run("rebuild", "--json").json
    assert built["promoted"]
    assert served.get("/v1/search?query=lanterns")["generation"] == built["generation"]
    served.write("later.md", "This came after the switch, said the heron.")
    wait_until(lambda: served.finds("said the heron"), "an edit after the switch")
    back = served.run("generations", "rollback", "--json")
    assert back.code == 0, back.err
    assert served.get("/v1/search?query=lanterns")["generation"] == back.json["generation"]
    assert served.finds("said the heron")
    assert served.is_equal()


def test_a_second_one_names_the_first(served):
    served.up()
    second = served.run("run")
    assert second.code == 4
    assert str(served.presence.pid) in second.err
    assert served.presence.url in second.err


def test_without_http_readers_work_and_writers_say_why_not(served):
    config = served.folder / "config.toml"
    config.write_text(config.read_text().replace('"127.0.0.1:0"', '""'))
    assert served.up()["url"] is None
    assert served.run("query", "copper", "--mode", "text", "--json").json["hits"]
    assert served.run("status", "--json").json["daemon"]["running"]
    refused = served.run("sync")
    assert refused.code == 4
    assert "http" in refused.err
    served.write("more.md", "More of it, said the badger.")
    wait_until(
        lambda: (
            served.run("query", "badger", "--mode", "text", "--json").json["hits"][0]["path"] == "more.md"
        ),
        "the saved file",
    )


def test_a_wrong_configuration_is_refused_at_start_and_at_reload(served):
    config = served.folder / "config.toml"
    good = config.read_text()
    config.write_text(good + "\nsettle = 3\n")
    started = served.run("start")
    assert started.code == 2
    assert served.presence is None
    config.write_text(good)
    served.up()
    pid = served.presence.pid
    config.write_text(good + "\nsettle = 3\n")
    # `reload` itself reads the configuration: the daemon is told by the signal.
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: served.get("/v1/status")["reload"] is not None, "the reload")
    assert not served.get("/v1/status")["reload"]["ok"]
    assert served.presence.pid == pid


def test_of_a_refused_configuration_nothing_is_taken(served):
    """Not even its log level."""
    served.up()
    log = served.data_dir / "logs" / "daemon.log"
    refused = EXTRA.replace('"127.0.0.1:0"', '"127.0.0.1:1"\nlog_level = "error"')
    served.config.write_text(served.config.read_text().replace(EXTRA, refused))
    os.kill(served.presence.pid, signal.SIGHUP)
    wait_until(lambda: "the configuration was not reloaded" in log.read_text(), "the refusal")
    before = len(log.read_text())
    served.write("later.md", "This is said in the log, by the heron.")
    wait_until(lambda: "documents worked on" in log.read_text()[before:], "the pass in the log")


def test_an_occupied_port_is_told_by_start(served, tmp_path):
    served.up()
    port = served.presence.url.rpartition(":")[2]
    (tmp_path / "other" / "docs").mkdir(parents=True)
    other = Served(tmp_path / "other")
    (other.folder / "config.toml").write_text(CONFIG + EXTRA.replace(":0", f":{port}"))
    failed = other.run("start")
    assert failed.code == 1
    assert port in failed.err
    assert other.presence is None


def test_a_stop_in_the_middle_of_a_first_load_is_quick_and_loses_nothing(served):
    for number in range(60):
        served.write(f"many/{number}.md", paragraphs(*range(10 * number, 10 * number + 10)))
    served.environment["BATCH_DELAY_S"] = "0.1"
    starting = served.start("start", "--quiet")
    wait_until(lambda: served.log.exists() and served.log.stat().st_size > 5000, "some batches")
    begun = time.monotonic()
    stopped = served.run("stop")
    assert stopped.code == 0, stopped.err
    assert time.monotonic() - begun < 60
    assert len(served.sent()) < 60 * 10, "the load was over before"
    starting.communicate(timeout=180)
    served.environment["BATCH_DELAY_S"] = "0"
    served.up()
    assert served.is_equal()
    assert not served.sent_twice()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2 if "EVERY_POINT" in os.environ else 1))
def test_killed_at_any_moment_of_a_burst_it_goes_on_where_it_was(served, seed):
    chooser = random.Random(seed)
    served.environment["BATCH_DELAY_S"] = "0.005"
    for round_number in range(3):
        served.up()
        for number in range(30):
            name = chooser.randrange(20)
            served.write(
                f"d{name % 4}/{name}.md", paragraphs(1000 * seed + 100 * round_number + number, 7 + number)
            )
        time_left = time.monotonic() + chooser.uniform(0.0, 1.5)
        while time.monotonic() < time_left:
            with suppress(OSError):  # of a daemon that is about to be killed
                served.finds("copper lanterns")
        served.kill()
        assert served.run("query", "copper", "--mode", "text", "--json").code == 0
    served.up()
    assert served.is_equal()
    assert not served.sent_twice()


def test_its_own_files_below_a_source_are_no_news(served):
    config = served.folder / "config.toml"
    # (The double's own log would be news with each text that it is sent.)
    config.write_text(config.read_text().replace('path = "docs"', 'path = "."\nexclude = ["sent.log"]'))
    served.up()
    served.write("second.md", "Something new for the thimble.")
    wait_until(lambda: served.finds("for the thimble"), "the saved file")
    version = served.get("/v1/status")["live"]["version"]
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert served.get("/v1/status")["live"]["version"] == version


def test_a_model_that_is_not_there_is_told_by_start_and_status(served):
    config = served.folder / "config.toml"
    good = config.read_text()
    config.write_text(good.replace("[embedding]", '[embedding]\nmodel = "./no-such-model"'))
    started = served.run("start", "--quiet")
    assert started.code == 0
    assert "no-such-model" in started.err
    status = served.run("status", "--json").json
    assert status["state"] == "degraded"
    assert any("no-such-model" in reason for reason in status["reasons"])
    config.write_text(good)
    assert served.run("reload").code == 0
    wait_until(lambda: served.get("/v1/status")["state"] == "ready", "the recovery")
    assert served.is_equal()
