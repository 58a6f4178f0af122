"""Commands beside a real daemon and beside none: the same output, messages and exit codes."""

import re
import signal

import pytest

from doubles import paragraphs
from processes import wait_until

DROPPED = {
    "bytes_before",
    "bytes_after",
    "version",
    "took_ms",
    "duration_s",
    "created_at",
    "updated_at",
    "promoted_at",
    "at",
    "daemon",
}


def settled(value):
    """Without what differs from run to run."""
    if isinstance(value, dict):
        kept = {name: each for name, each in value.items() if not (name in DROPPED or "bytes" in name)}
        return {name: settled(each) for name, each in kept.items()}
    return [settled(each) for each in value] if isinstance(value, list) else value


def said(answer):
    lines = [
        re.sub(r"in \d+\.\d+ s|generation \d+, version \d+", "...", line) for line in answer.err.splitlines()
    ]
    return [
        line for line in lines if not re.match(r"(scanning|indexing|embedding|inspecting|building)", line)
    ]


def same(served, *commands):
    """Each through the daemon, and then directly. Returns the direct answers."""
    through = [served.run(*each, "--json") for each in commands]
    assert served.run("stop").code == 0
    direct = [served.run(*each, "--json") for each in commands]
    served.up()
    for command, one, other in zip(commands, through, direct, strict=True):
        assert (command, one.code, said(one)) == (command, other.code, said(other))
        assert bool(one.out) == bool(other.out), command
        assert not other.out or settled(one.json) == settled(other.json), command
    return direct


def test_failures_held_deletions_jobs_and_retry(served):
    for number in range(120):
        served.write(f"many/{number}.md", f"Document {number} is short.")
    served.write("broken.md", b"a NUL \0 in it")
    served.up()
    commands = [
        ("sync",),
        ("jobs",),
        ("jobs", "show", "d1"),
        ("jobs", "cancel", "1"),
        ("jobs", "cancel", "77"),
        ("generations",),
        ("gc",),
        ("plan",),
        ("verify",),
        ("status", "docs/broken.md"),
    ]
    failed, *others = same(served, *commands)
    assert (failed.code, failed.json["documents"]["failed"]) == (5, 1)
    assert "failed: docs:broken.md" in failed.err
    assert [each.code for each in others] == [0, 0, 2, 2, 0, 0, 0, 5, 0]
    for path in (served.folder / "docs" / "many").iterdir():
        path.unlink()
    (held,) = same(served, ("sync",))
    assert (held.code, held.json["documents"]["held"]) == (5, 120)
    assert served.status()["state"] == "degraded"
    assert "120 deletions held" in " ".join(served.status()["reasons"])
    accepted = served.run("sync", "--accept-deletes", "--json")
    assert (accepted.code, accepted.json["documents"]["deleted"]) == (5, 120)
    assert served.run("jobs", "retry", "--json").json["documents"] == 1
    served.write("broken.md", "mended")
    served.until_found("mended")
    served.until_ready()
    assert served.house.verify().ok


def test_a_gate_that_refuses_and_what_can_be_done_about_it(served):
    names = [f"{number}.md" for number in range(30)]
    for number, name in enumerate(names):
        served.write(name, paragraphs(number))
    probes = [f'[[probe]]\nquery = "zebra{name[0]}"\ndocuments = ["{name}"]\n' for name in names[:9]]
    (served.folder / "probes.toml").write_text("\n".join(probes))
    served.up()
    served.configure("[embedding]", "[embedding]\ndimensions = 64")
    with served.config.open("a") as file:
        file.write('\n[promotion]\nqueries = "probes.toml"\nmin_recall = 1.0\n')
    assert served.run("reload").code == 0
    rebuilt = served.run("rebuild", "--json")
    again, _, dropped, *_ = same(
        served,
        ("rebuild",),
        ("generations", "diff", "1", "2", "--query", "copper"),
        ("generations", "drop", "1"),
        ("generations", "rollback"),
        ("generations",),
    )
    for refused in (rebuilt, again):
        assert (refused.code, refused.json["promoted"]) == (7, False)
        assert any(line.startswith("gate: ") for line in said(refused))
    assert dropped.code == 2
    assert served.run("rebuild", "--abandon", "--json").json == {"abandoned": 2}
    assert served.run("rebuild", "--abandon", "--json").json == {"abandoned": None}


@pytest.fixture
def slow(served):
    """A rebuild of it takes until the model is let go."""
    for number in range(20):
        served.write(f"many/{number}.md", paragraphs(*range(10 * number, 10 * number + 5)))
    served.up()
    served.configure("[embedding]", "[embedding]\ndimensions = 64")
    assert served.run("reload").code == 0
    served.fault.write_text("hang")
    task = served.post("/v1/rebuild")
    wait_until(lambda: served.get(f"/v1/tasks/{task['id']}")["state"] == "running", "the rebuild")
    wait_until(lambda: served.status()["building"], "the new generation")
    yield task
    served.fault.unlink(missing_ok=True)


def test_a_sync_during_a_rebuild_says_what_it_waits_for_and_ctrl_c_leaves_it_to_the_daemon(served, slow):
    following = served.start("sync", "--json")
    note = following.stderr.readline().decode()
    while "first" not in note:  # progress
        assert note, "it never said"
        note = following.stderr.readline().decode()
    assert note == f"note: the daemon has to end another command first: rebuild (task {slow['id']})\n"
    following.send_signal(signal.SIGINT)
    out, err = following.communicate(timeout=180)
    assert (following.returncode, out) == (130, b"")
    assert b"goes on in the daemon" in err
    served.fault.unlink()
    assert served.task_over(slow)["state"] == "succeeded"
    sync = next(task for task in served.get("/v1/tasks")["tasks"] if task["command"] == "sync")
    assert served.task_over(sync)["exit_code"] == 0
    assert served.is_equal()


def test_pause_and_resume_wait_for_no_work(served):
    served.environment["BATCH_DELAY_S"] = "0.3"
    for number in range(40):
        served.write(f"many/{number}.md", paragraphs(*range(10 * number, 10 * number + 10)))
    starting = served.start("start", "--quiet")
    try:
        wait_until(lambda: served.log.exists() and served.log.stat().st_size > 3000, "some batches")
        paused = served.run("pause", "--json")
        assert (paused.code, paused.json) == (0, {"paused": True})
        size = served.log.stat().st_size
        assert "paused" in " ".join(served.status()["reasons"])
        assert served.get("/v1/search?query=paragraph&mode=text")["hits"]
        assert starting.poll() is None, "it is not ready"
        assert served.log.stat().st_size == size
        served.fault.write_text("hurry")
        assert served.run("resume", "--json").json == {"paused": False}
        starting.communicate(timeout=120)
        assert starting.returncode == 0
    finally:
        starting.kill()
        starting.communicate()
    assert served.run("pause").code == 0
    served.write("new.md", "A walrus came by.")
    answer = served.run("sync", "--json")
    assert (answer.code, answer.json["documents"]["added"]) == (0, 1), "what is asked for is done"
    assert served.finds("walrus")
    assert not served.sent_twice()
