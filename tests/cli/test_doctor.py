"""`doctor`: each fault is found, named, and comes with what to do; a sound place has none."""

import json
import shutil
import socket
import time
from pathlib import Path

import pytest

from openai_double import KEY, MODEL, Reply, error_body, openai_double
from reindex.core.canary import CANARY_TEXT
from reindex.doctor.documents import filesystem_of, is_silent
from reindex.doctor.findings import State
from reindex.doctor.machine import Inotify, check_clock, check_inotify, check_space, read_inotify

CHECKS = {
    "configuration",
    "data directory",
    "disk space",
    "clock",
    "source docs",
    "inotify",
    "ledger",
    "vector cache",
    "published index",
    "leftovers",
    "daemon",
    "address",
    "model",
}


@pytest.fixture
def sick(place):
    """The indexed place, at a port that is free."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        place.port = trial.getsockname()[1]
    place.environment["REINDEX_DAEMON__HTTP"] = f"127.0.0.1:{place.port}"
    return place


def findings(place, *arguments, real_model=False):
    answer = place.run("doctor", "--json", *arguments, real_model=real_model)
    found = {each["check"]: each for each in answer.json["checks"]}
    states = {each["state"] for each in found.values()}
    assert answer.json["ok"] == ("failed" not in states)
    assert answer.code == (6 if "failed" in states else 0)
    for each in found.values():
        assert bool(each["fix"]) == (each["state"] != "ok"), each
    return found


def test_a_sound_place(sick):
    found = findings(sick, real_model=True)
    assert set(found) == CHECKS
    assert {name for name, each in found.items() if each["state"] != "ok"} <= {"disk space", "inotify"}
    assert "as it should (cosine 1.0" in found["model"]["found"]
    assert "ok       configuration: valid, 1 source\n" in sick.run("doctor").out
    assert "Example: reindex doctor" in sick.run("doctor", "--help").out


def test_a_place_where_nothing_is_yet(empty_place):
    found = findings(empty_place)
    assert found["data directory"]["found"].endswith("can be written to")
    assert found["source docs"]["state"] == "warning", "it has no documents"
    assert found["published index"]["state"] == "ok"


def test_a_wrong_configuration(sick):
    (sick.folder / "config.toml").write_text("[daemon]\nhtp = 1\n")
    found = findings(sick)
    assert list(found) == ["configuration"]
    assert "config.toml:2" in found["configuration"]["found"]


def test_a_source_that_is_gone(sick):
    (sick.folder / "docs").rename(sick.folder / "elsewhere")
    assert findings(sick)["source docs"]["state"] == "failed"


def test_documents_of_the_future(sick):
    import os

    os.utime(sick.folder / "docs/guide/harbour.md", (time.time() + 9e6,) * 2)
    found = findings(sick)["times of documents"]
    assert (found["state"], found["found"][:12]) == ("warning", "1 documents ")


def test_a_data_directory_that_is_a_file(sick):
    (sick.folder / "file").write_text("")
    found = findings(sick, "--data-dir", "file/inside")
    assert found["data directory"]["state"] == "failed"


def test_a_data_directory_for_everybody(sick):
    (sick.folder / ".reindex").chmod(0o777)
    found = findings(sick)["data directory"]
    assert (found["state"], found["fix"][:9]) == ("warning", "chmod o-w")


@pytest.mark.parametrize(("name", "check"), [("ledger", "ledger"), ("cache", "vector cache")])
def test_a_damaged_database(sick, name, check):
    path = sick.folder / f".reindex/{name}.sqlite"
    content = bytearray(path.read_bytes())
    page_bytes = int.from_bytes(content[16:18], "big")
    content[page_bytes : 2 * page_bytes] = b"\xff" * page_bytes
    path.write_bytes(content)
    before = path.read_bytes()
    assert findings(sick)[check]["state"] == "failed"
    assert path.read_bytes() == before, "a doctor looks"


def test_a_table_that_is_gone_and_a_pointer_that_is_none(sick):
    shutil.rmtree(sick.folder / ".reindex/lance")
    assert "is gone" in findings(sick)["published index"]["found"]
    (sick.folder / ".reindex/published.json").write_text("{")
    assert "not a valid pointer" in findings(sick)["published index"]["found"]
    (sick.folder / ".reindex/published.json").unlink()
    assert findings(sick)["published index"]["state"] == "failed"


def test_what_was_left_behind(sick):
    (sick.folder / ".reindex/published.json.new").write_text("")
    (sick.folder / ".reindex/lance/gone.lance").mkdir()
    found = findings(sick)["leftovers"]
    assert found["found"] == "2 that nothing uses: published.json.new, table gone"


def test_a_port_that_another_program_has(sick):
    with socket.socket() as other:
        other.bind(("127.0.0.1", sick.port))
        other.listen()
        found = findings(sick)["address"]
    assert (found["state"], found["found"]) == (
        "failed",
        f"127.0.0.1:{sick.port} is in use by another program",
    )


def test_an_address_for_others_needs_a_token(sick):
    sick.environment["REINDEX_DAEMON__HTTP"] = f"0.0.0.0:{sick.port}"
    found = findings(sick)["address"]
    assert found["state"] == "failed"
    assert "token" in found["fix"]
    sick.environment["REINDEX_DAEMON__TOKEN"] = "a-long-token"
    assert findings(sick)["address"]["state"] == "ok"


def test_a_model_that_is_not_there(sick):
    sick.environment["REINDEX_EMBEDDING__MODEL"] = "./no-such-model"
    found = findings(sick)["model"]
    assert found["state"] == "failed"
    assert "no-such-model" in found["found"]


def test_a_model_that_embeds_otherwise_than_it_should(sick):
    found = findings(sick)["model"]  # the double's vectors are hashes
    assert found["state"] == "failed"
    assert "not as it should: cosine" in found["found"]


def test_a_provider_is_asked_and_its_key_never_shown(sick):
    sick.environment |= {
        "REINDEX_EMBEDDING__PROVIDER": "openai",
        "REINDEX_EMBEDDING__MODEL": MODEL,
        "OPENAI_API_KEY": "",
        "OPENAI_BASE_URL": "",
    }
    assert "$OPENAI_API_KEY is not set" in findings(sick)["provider"]["found"]
    sick.environment["OPENAI_API_KEY"] = KEY
    with openai_double() as double:
        sick.environment["REINDEX_EMBEDDING__OPENAI__BASE_URL"] = double.url
        found = findings(sick)
        assert f"{MODEL} embeds at 127.0.0.1:" in found["model"]["found"]
        assert {found[name]["state"] for name in ("base64", "dimensions", "batches", "rate limits")} == {"ok"}
        assert set(double.texts) == {CANARY_TEXT}
        double.always = Reply(401, error_body(f"Incorrect API key provided: {KEY}", "invalid_api_key"))
        answer = sick.run("doctor", "--json")
    assert answer.code == 6
    assert "does not take the key" in answer.out
    assert KEY not in answer.out + answer.err


def test_the_daemon_that_runs(daemon_place):
    daemon_place.environment["DAEMON_HTTP"] = "1"
    presence = daemon_place.run("start", "--json").json
    daemon_place.environment["REINDEX_DAEMON__HTTP"] = presence["url"].removeprefix("http://")
    found = findings(daemon_place)
    assert found["daemon"]["state"] == "ok"
    assert "is our daemon's" in found["address"]["found"]
    note = daemon_place.data_dir / "daemon.json"
    told = json.loads(note.read_text())
    note.write_text(json.dumps({**told, "version": "0.0.9"}))
    assert "version 0.0.9; this command is" in findings(daemon_place)["daemon"]["found"]
    note.write_text(json.dumps({**told, "url": "http://127.0.0.1:1"}))
    assert "does not answer" in findings(daemon_place)["daemon"]["found"]


def test_space_runs_out(tmp_path):
    states = [check_space(tmp_path, used, free).state for used, free in ((0, 9e9), (8e9, 7e9), (0, 9e7))]
    assert states == [State.OK, State.WARNING, State.FAILED]
    assert check_space(tmp_path, 0).found


def test_the_clock(tmp_path):
    assert check_clock(tmp_path).state is State.OK
    assert check_clock(tmp_path, now=lambda: 0.0).state is State.FAILED
    assert "+60" in check_clock(tmp_path, now=lambda: time.time() - 60).found


def test_the_limits_of_inotify():
    def state(folders, *, is_watching=False, **there):
        limits = {"watches_max": 1000, "watches_used": 0, "instances_max": 128, "instances_used": 0}
        return check_inotify(folders, Inotify(**(limits | there)), is_watching=is_watching)

    assert state(100).state is State.OK
    assert state(900).state is State.WARNING
    short = state(900, watches_used=200)
    assert short.state is State.FAILED
    assert "sudo sysctl fs.inotify.max_user_watches=4096 (" in short.fix
    assert state(900, watches_used=700, is_watching=True).state is State.OK
    assert "max_user_instances=512" in state(1, instances_used=128).fix
    assert check_inotify(5, None, is_watching=False).state is State.OK


def test_what_is_in_use_of_inotify_is_counted():
    import ctypes
    import os

    libc = ctypes.CDLL(None)
    before = read_inotify()
    descriptor = libc.inotify_init()
    try:
        assert libc.inotify_add_watch(descriptor, b"/tmp", 2) > 0
        now = read_inotify()
        assert now.instances_used > 0
        own = Path(f"/proc/self/fdinfo/{descriptor}").read_text()
        assert own.count("inotify wd:") == 1
        assert now.watches_max == before.watches_max
        assert now.watches_used >= 1
    finally:
        os.close(descriptor)


def test_the_file_system_of_a_folder(tmp_path):
    mounts = "\n".join(
        [
            "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
            f"23 22 0:40 / {tmp_path} rw shared:1 - nfs4 server:/x rw",
            f"24 23 0:41 / {tmp_path}/with\\040space rw - fuse.sshfs me@there rw",
            "nonsense",
        ]
    )
    (tmp_path / "with space" / "deep").mkdir(parents=True)
    assert filesystem_of(tmp_path / "docs", mounts) == "nfs4"
    assert filesystem_of(tmp_path / "with space" / "deep", mounts) == "fuse.sshfs"
    assert filesystem_of(Path("/elsewhere"), mounts) == "ext4"
    assert filesystem_of(Path("/"), "") == ""
    assert [is_silent(kind) for kind in ("nfs4", "fuse.sshfs", "9p", "ext4", "")] == [True] * 3 + [False] * 2
