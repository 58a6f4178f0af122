"""`rebuild` and `generations` as a user and a script see them, and a rebuild that is killed."""

import json
import re
import signal

import pytest

from processes import wait_until


@pytest.fixture
def other_space(place):
    """The configuration asks for other dimensions than the live generation has."""
    config = place.folder / "config.toml"
    config.write_text(config.read_text().replace("[embedding]", "[embedding]\ndimensions = 16"))
    return place


def test_sync_and_plan_ask_for_it(other_space):
    for command in ("sync", "plan"):
        answer = other_space.run(command)
        assert "`reindex rebuild`" in answer.err
        assert re.search(r"16 dimensions.* \d+ tokens to embed", answer.err)
    assert "`reindex rebuild`" in other_space.run("status").out


def test_the_whole_way_and_back(other_space):
    place = other_space
    report = place.run("rebuild", "--json")
    assert report.code == 5, report.err  # one document is broken, in both
    value = report.json
    assert (value["from_generation"], value["generation"], value["promoted"]) == (1, 2, True)
    assert value["gate"]["passed"] is True
    assert value["gate"]["self_retrieval"] == 1.0
    assert value["documents"]["added"] == value["gate"]["documents"] == 8
    assert value["chunks"]["total"] == value["gate"]["chunks"]
    assert isinstance(value["version"], int)
    found = place.run("generations", "--json").json
    assert found["live"] == 2
    assert [(g["number"], g["state"], g["dimensions"]) for g in found["generations"]] == [
        (1, "retired", 384),
        (2, "live", 16),
    ]
    assert all(g["bytes"] > 0 for g in found["generations"])
    assert found["generations"][1]["promoted_by"] == "rebuild"
    assert place.run("query", "lantern", "--json").json["generation"] == 2
    assert place.run("query", "lantern", "--generation", "1", "--json").json["generation"] == 1
    difference = place.run("generations", "diff", "1", "2", "--query", "lantern", "--json").json
    assert difference["queries"][0]["query"] == "lantern"
    assert 0 <= difference["overlap"] <= 1
    back = place.run("generations", "rollback", "--json")
    assert back.code == 5
    assert (back.json["generation"], back.json["promoted"]) == (1, True)
    assert "generation 1 is live" in place.run("generations", "rollback").out.replace("2", "1")
    assert place.run("generations", "promote", "1", "--json").json["gate"]["passed"] is True
    assert place.run("generations", "drop", "2", "--json").json == {"dropped": 2}
    assert place.run("query", "lantern", "--generation", "2").code == 2
    assert place.run("generations", "rollback").code == 2
    assert place.run("verify", "--json").json["ok"]


def test_the_gate_refuses_with_7(other_space):
    place = other_space
    config = place.folder / "config.toml"
    config.write_text(config.read_text() + '\n[promotion]\nqueries = "probes.toml"\nmin_recall = 1.0\n')
    assert place.run("rebuild").code == 2  # there is no such file
    probes = place.folder / "probes.toml"
    probes.write_text('[[probe]]\nquery = "xylophone"\ndocuments = ["guide/nowhere.md"]\n')
    refused = place.run("rebuild", "--json")
    assert refused.code == 7
    assert refused.json["promoted"] is False
    assert "min_recall" in refused.err
    assert "guide/nowhere.md" in refused.err
    status = place.run("status", "--json").json
    assert status["live"]["generation"] == 1
    assert status["building"]["generation"] == 2
    assert status["building"]["state"] == "ready"
    assert "beside it: generation 2" in place.run("status").out
    assert place.run("generations", "promote", "2").code == 7
    forced = place.run("generations", "promote", "2", "--force", "--json")
    assert forced.code == 5
    assert forced.json["promoted"] is True


def test_wrong_use(place):
    for arguments, code, words in (
        (["rebuild", "--model", "no-such-model"], 1, "no-such-model"),
        (["rebuild", "--provider", "openai"], 2, "no model of OpenAI"),
        (["rebuild", "--abandon", "--fresh"], 2, "--abandon"),
        (["generations", "promote", "1"], 2, "is the live one already"),
        (["generations", "promote", "9"], 2, "no generation 9"),
        (["generations", "drop", "1"], 2, "is searched"),
        (["generations", "diff", "1", "9", "--query", "a"], 2, "no generation 9"),
        (["generations", "diff", "1", "1"], 2, "nothing to ask"),
    ):
        answer = place.run(*arguments)
        assert (answer.code, words in answer.err) == (code, True), (arguments, answer)
    assert place.run("rebuild", "--abandon", "--json").json == {"abandoned": None}


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_a_rebuild_that_is_ended_goes_on(other_space, by):
    place = other_space
    for number in range(12):
        place.write(f"more/{number}.md", f"# Page {number}\n\nSome words of page {number} and of no other.\n")
    place.run("sync")
    log = place.folder / "sent.log"
    place.environment |= {"SENT_LOG": str(log), "BATCH_DELAY_S": "0.02"}
    process = place.start("rebuild", "--json")
    wait_until(lambda: log.exists() and log.read_bytes().count(b"\n") >= 4, "some batches")
    process.send_signal(by)
    out, err = process.communicate()
    assert process.returncode == (-9 if by == signal.SIGKILL else 130)
    assert not out
    assert b"Traceback" not in err
    assert place.run("query", "lantern", "--json").json["generation"] == 1
    assert "is not done" in place.run("sync").err
    report = place.run("rebuild", "--json")
    assert (report.json["generation"], report.json["promoted"]) == (2, True)
    sent = [text for line in log.read_text().splitlines() for text in json.loads(line)]
    batch = max(len(json.loads(line)) for line in log.read_text().splitlines())
    assert len(sent) - len(set(sent)) <= batch
    assert place.run("verify", "--deep", "--json").json["ok"]
