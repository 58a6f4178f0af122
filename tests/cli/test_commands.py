"""Every command as a process: its exit code, its JSON object, its messages, and nothing else on stdout."""

import os
import re

import pytest

from processes import NOT_UTF8, ODD_NAMES
from reindex.stores.lock import writer_lock

NUMBER = (int, float)
TEXT_OR_NONE = (str, type(None))

# DESIGN 6.2; after it, in a set of its own, what we give beyond.
SYNC = {
    "generation": int,
    "version": int,
    "documents": dict.fromkeys("added changed moved deleted unchanged failed held pending".split(), int),
    "chunks": dict.fromkeys("total embedded reused deleted in_flight rows_written".split(), int),
    "tokens_embedded": int,
    "cost_usd": NUMBER,
    "commits": int,
    "duration_s": NUMBER,
}
PLAN = {
    "documents": dict.fromkeys("added changed moved deleted unchanged ignored pending".split(), int)
    | dict.fromkeys(("failed", "held"), int),
    "chunks": dict.fromkeys(("to_embed", "cached", "in_flight"), int),
    "tokens": int,
    "cost_usd": {"realtime": NUMBER, "batch": NUMBER},
    "eta_s": NUMBER,
}
HIT = {
    "rank": int,
    "score": float,
    **dict.fromkeys(("source", "path", "heading", "text", "chunk_id"), str),
    "line_start": int,
    "line_end": int,
}
QUERY = {
    "generation": int,
    "version": int,
    "model": str,
    "degraded": bool,
    "took_ms": NUMBER,
    "hits": [HIT],
}
STATUS = {
    "state": str,
    "reasons": [str],
    "daemon": {"running": bool, **dict.fromkeys(("pid", "url", "version"), object)},
    "live": {"generation": int, "version": int, "model": str, "documents": int, "chunks": int},
    "building": object,
    "documents": dict.fromkeys(("total", "pending", "failed", "held"), int),
    "lag_s": NUMBER,
    "jobs": dict.fromkeys(("planned", "submitting", "submitted", "done", "failed", "cancelled"), int),
    "spend": {"tokens": int, "usd": NUMBER, "saved_usd": NUMBER},
    "paid_again": {"lost": int, "stuck": int, "now": int},
    "failures": [dict.fromkeys(("source", "path", "reason"), str)],
}
STATUS_PATH = {
    "path": str,
    "state": str,
    "revision": TEXT_OR_NONE,
    "indexed_at": TEXT_OR_NONE,
    "reason": str,
}
VERIFY = {"ok": bool} | dict.fromkeys(
    "documents chunks missing stale extra duplicates wrong_vectors pending failed held".split(), int
)
GENERATIONS = {
    "live": int,
    "generations": [
        {
            "number": int,
            "state": str,
            "model": str,
            "dimensions": int,
            "chunks": int,
            "created_at": str,
            "promoted_at": TEXT_OR_NONE,
            **dict.fromkeys(("documents", "bytes", "max_tokens", "overlap_tokens"), int),
            **dict.fromkeys(("precision", "recipe"), str),
            "promoted_by": TEXT_OR_NONE,
        }
    ],
}
GC = dict.fromkeys(
    "versions_removed tables_removed encoders_removed vectors_evicted bytes_before bytes_after".split(),
    NUMBER,
)


def check_shape(value, shape, where="$"):
    """Exactly these keys, with values of these types."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        assert value.keys() == shape.keys(), f"{where}: {value.keys() ^ shape.keys()}"
        for key, inner in shape.items():
            check_shape(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        for each in value:
            check_shape(each, shape[0], f"{where}[]")
    else:
        assert isinstance(value, shape), f"{where}: {value!r}"
        assert (
            shape is object
            or bool in (shape if isinstance(shape, tuple) else (shape,))
            or not isinstance(value, bool)
        ), f"{where}: {value!r}"


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (("sync",), SYNC),
        (("plan",), PLAN),
        (("query", "lantern"), QUERY),
        (("status",), STATUS),
        (("status", "docs/guide/harbour.md"), STATUS_PATH),
        (("verify", "--deep"), VERIFY),
        (("generations",), GENERATIONS),
        (("gc",), GC),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_each_object_has_exactly_its_keys(place, arguments, shape):
    answer = place.run(*arguments, "--json")
    assert answer.code == (5 if arguments[0] in {"sync", "verify"} else 0), answer
    check_shape(answer.json, shape)
    if arguments[0] == "query":
        assert answer.json["hits"]
    assert "error" not in answer.err


def test_the_first_sync(place):
    answer = place.first_sync
    assert answer.code == 5
    check_shape(answer.json, SYNC)
    documents = answer.json["documents"]
    assert (documents["added"], documents["failed"]) == (8, 1)
    assert answer.json["chunks"]["total"] == answer.json["chunks"]["embedded"]
    assert "failed: docs:broken.md: binary content" in answer.err


def test_before_the_first_publish(empty_place):
    for command in (["query", "x"], ["verify"]):
        answer = empty_place.run(*command, "--json")
        assert (answer.code, answer.out) == (1, "")
        assert answer.err.startswith("error: nothing indexed yet: run sync")
    status = empty_place.run("status", "--json")
    assert status.code == 0
    assert status.json["live"] is None
    assert empty_place.run("generations", "--json").json == {"live": None, "generations": []}
    plan = empty_place.run("plan", "--json")
    assert plan.json["documents"]["added"] == 0
    assert not (empty_place.folder / ".reindex").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sync", "--config", "nowhere.toml"), "there is no config file"),
        (("sync", "--nonsense"), "No such option"),
        (("nonsense",), "No such command"),
        (("query",), "Missing argument"),
        (("query", "x", "--mode", "magic"), "magic"),
        (("query", "x", "-k", "0"), "-k"),
        (("sync", "--wait", "-1"), "--wait"),
        (("query", "x", "--generation", "9"), "there is no generation 9"),
        (("status", "/etc/passwd"), "is in none of the sources"),
        (("init",), "exists already"),
        (("jobs", "show", "77"), "there is no job 77"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_usage_and_configuration_errors_exit_2(place, arguments, message):
    answer = place.run(*arguments)
    assert answer.code == 2, answer
    assert message in re.sub(r"\s+", " ", answer.err)
    assert answer.out == ""


def test_a_wrong_key_is_named_with_its_line(empty_place):
    with (empty_place.folder / "config.toml").open("a") as file:
        file.write("\n[index]\nkeep_generation = 3\n")
    answer = empty_place.run("sync")
    assert answer.code == 2
    assert "config.toml:14" in answer.err
    assert "keep_generations" in answer.err


def test_validate_refuses_the_address_that_run_refuses(empty_place):
    with (empty_place.folder / "config.toml").open("a") as file:
        file.write('\n[daemon]\nhttp = "0.0.0.0:0"\n')
    answers = [empty_place.run("config", "validate"), empty_place.run("run")]
    assert [answer.code for answer in answers] == [2, 2]
    assert "there is no token" in answers[0].err
    assert answers[0].err in answers[1].err


def test_a_source_that_is_not_there(empty_place):
    (empty_place.folder / "docs").rmdir()
    answer = empty_place.run("sync", "--json")
    assert (answer.code, answer.out) == (2, "")
    assert "can't be scanned" in answer.err


def test_a_locked_store_exits_4_and_readers_go_on(place):
    with writer_lock(place.folder / ".reindex", "sync", 0.0):
        for command in ("sync", "gc"):
            answer = place.run(command, "--json")
            assert (answer.code, answer.out) == (4, "")
            assert f"process {os.getpid()} (reindex sync)" in answer.err
        assert place.run("query", "lantern", "--mode", "text", "--json").code == 0
        assert place.run("status", "--json").code == 0


def test_a_source_that_was_never_seen_is_told_everywhere(empty_place):
    """It may be a mistyped path, or a share that is not mounted: the others are indexed all the same."""
    place = empty_place
    place.write("a.md", "A lantern in the orchard.")
    config = place.folder / "config.toml"
    config.write_text(config.read_text() + '\n[[sources]]\nname = "other"\npath = "nope"\n')
    answer = place.run("sync", "--json")
    assert (answer.code, answer.json["documents"]["added"]) == (5, 1)
    status = place.run("status", "--json").json
    assert status["state"] == "degraded"
    assert any("'other'" in reason and "can't be scanned" in reason for reason in status["reasons"])
    (place.folder / "nope").mkdir()
    assert place.run("sync").code == 0
    assert place.run("status", "--json").json["state"] == "ready"


@pytest.mark.parametrize("content", [None, "garbage", '{"format": 99}'])
def test_status_says_when_no_question_is_answered(place, content):
    pointer = place.folder / ".reindex" / "published.json"
    pointer.unlink()
    if content is not None:
        pointer.write_text(content)
    assert place.run("query", "lantern", "--mode", "text").code == 1
    status = place.run("status", "--json").json
    assert status["state"] == "degraded"
    assert any(reason.startswith("no question is answered") for reason in status["reasons"])


@pytest.mark.parametrize("command", ["query x", "status", "plan", "jobs list", "generations list", "verify"])
def test_what_stands_in_the_place_of_the_data_directory_is_named(empty_place, command):
    (empty_place.folder / ".reindex").write_text("no folder")
    answer = empty_place.run(*command.split(), "--json")
    assert (answer.code, answer.out) == (1, "")
    assert "is to be a folder" in answer.err


def test_verify_exits_6_on_drift_and_0_when_all_is_well(place):
    (place.folder / "docs/broken.md").unlink()
    assert place.run("verify", "--json").code == 0
    place.write("guide/orchard.txt", "changed")
    place.write("new.md", "new")
    answer = place.run("verify", "--json")
    assert answer.code == 6
    assert (answer.json["stale"], answer.json["missing"], answer.json["ok"]) == (1, 1, False)
    assert place.run("sync", "--json").code == 0


def test_held_deletions_exit_5_until_they_are_accepted(place):
    for path in (place.folder / "docs").rglob("*"):
        if path.is_file():
            path.unlink()
    answer = place.run("sync", "--json")
    assert (answer.code, answer.json["documents"]["held"]) == (5, 8)
    assert "because its folder is empty" in answer.err
    assert "--accept-deletes" in answer.err
    held = place.run("status", "docs/guide/harbour.md", "--json").json
    assert held["state"] == "held"
    place.write("picture.png", b"\x89PNG")
    assert "because its folder has no file that the rules take" in place.run("sync").err
    answer = place.run("sync", "--accept-deletes", "--json")
    assert (answer.code, answer.json["documents"]["deleted"]) == (0, 8)
    assert place.run("query", "lantern", "--mode", "text", "--json").json["hits"] == []


def test_why_a_file_is_or_is_not_found(place):
    place.write("guide/orchard.txt", "changed")
    place.write("later.md", "new")
    (place.folder / "docs/guide/link.md").symlink_to("harbour.md")
    expected = {
        "docs/guide/harbour.md": ("indexed", ""),
        "docs/guide/orchard.txt": ("pending", "changed"),
        "docs/later.md": ("pending", "not indexed"),
        "docs/broken.md": ("failed", "binary content"),
        "docs/secret/key.md": ("ignored", "secret/"),
        "docs/picture.png": ("ignored", "no parser for .png"),
        "docs/guide/link.md": ("ignored", "symbolic link"),
        "docs/nowhere.md": ("ignored", "no such file"),
        "docs": ("ignored", "a folder"),
        "docs/guide": ("ignored", "a folder"),
        "docs/secret": ("ignored", "secret/"),
    }
    for path, (state, reason) in expected.items():
        found = place.run("status", path, "--json").json
        assert (found["state"], reason in found["reason"]) == (state, True), found
        assert (found["revision"] is not None) == (path in list(expected)[:2])


def test_odd_names_come_through_every_command(place):
    hits = place.run("query", "odd", "-k", "50", "--mode", "text", "--json").json["hits"]
    assert sorted(hit["path"] for hit in hits) == sorted(ODD_NAMES)
    for name in ODD_NAMES:
        assert place.run("status", f"docs/{name}", "--json").json["state"] == "indexed"
    for name in (NOT_UTF8, "two\nlines.md"):
        hits = place.run("query", "odd", "--mode", "text", "--path-prefix", name[:4], "--json").json["hits"]
        assert [hit["path"] for hit in hits] == [name]


def test_an_odd_name_that_changes(place):
    place.write(NOT_UTF8, "# Odd\n\nchanged to thimble\n")
    assert place.run("verify", "--json").json["stale"] == 1
    answer = place.run("sync", "--json")
    assert answer.json["documents"]["changed"] == 1
    assert place.run("verify", "--json").json["ok"]
    plain = place.run("query", "thimble", "--mode", "text")
    assert "caf\\xe9.md" in plain.out


def test_plan_says_what_sync_then_does_and_writes_nothing(place):
    place.write("guide/orchard.txt", "changed")
    (place.folder / "docs/guide/harbour.md").rename(place.folder / "docs/moved.md")
    before = {p: p.read_bytes() for p in (place.folder / ".reindex").rglob("*") if p.is_file()}
    plan = place.run("plan", "--json").json
    assert {p: p.read_bytes() for p in (place.folder / ".reindex").rglob("*") if p.is_file()} == before
    done = place.run("sync", "--json").json
    for what in ("added", "changed", "moved", "deleted", "unchanged", "pending"):
        assert plan["documents"][what] == done["documents"][what], what
    assert plan["chunks"]["to_embed"] == done["chunks"]["embedded"] == 1
    assert plan["tokens"] == done["tokens_embedded"]


def test_a_dead_letter_is_shown_and_tried_again(place):
    letters = place.run("jobs", "list", "--json").json["dead_letters"]
    assert [letter["path"] for letter in letters] == ["broken.md"]
    assert place.run("jobs", "show", letters[0]["id"], "--json").json == letters[0]
    shown = place.run("jobs", "show", letters[0]["id"]).out
    assert "path: broken.md\n" in shown
    assert "permanent: yes\n" in shown
    assert place.run("jobs", "retry", letters[0]["id"], "--json").json == {"documents": 1, "jobs": 0}
    assert place.run("sync", "--json").json["documents"]["failed"] == 1


def test_data_dir_and_environment(place):
    place.environment["REINDEX_CHUNKING__MAX_TOKENS"] = "33"
    answer = place.run("sync", "--json", "--data-dir", "elsewhere")
    assert answer.json["documents"]["added"] == 8
    assert (place.folder / "elsewhere/published.json").exists()


def test_no_output_is_lost_on_a_closed_pipe(place):
    process = place.start("config", "schema")
    process.stdout.close()
    assert process.wait(timeout=180) in {0, 1}
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


@pytest.mark.slow
def test_the_real_model(empty_place):
    empty_place.write("cats.md", "# Cats\n\nA kitten sleeps on the warm sofa all afternoon.\n")
    empty_place.write("ships.md", "# Ships\n\nThe vessel left the port before the storm came.\n")
    assert empty_place.run("sync", "--json", real_model=True).json["chunks"]["embedded"] == 2
    answer = empty_place.run("query", "a pet that naps", "--mode", "vector", "--json", real_model=True)
    assert answer.json["hits"][0]["path"] == "cats.md"
    assert answer.err == ""
