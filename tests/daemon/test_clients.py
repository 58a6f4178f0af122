"""Clients that search at full speed over HTTP, through edits, rebuilds to other dimensions, rollbacks,
promotions, gc, and kills of the processes that embed and parse: no answer fails, lacks something, is torn or
mixes two versions, and the daemon grows in nothing.

$LONG: 8 clients for 10 minutes ($MINUTES: another time); $REAL: with the real model.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from statistics import linear_regression

import pytest

from processes import wait_until

CLIENT = Path(__file__).parent / "client_at_full_speed.py"
LIMIT_S = 240.0
IS_LONG = bool(os.environ.get("LONG"))
CLIENTS = 8 if IS_LONG else 3
LASTS_S = 60 * float(os.environ.get("MINUTES", "10")) if IS_LONG else 8.0
DOCUMENTS, OTHERS, CHUNKS = 5, 10, 3
EDIT_EVERY_S = 0.1
KILL_EVERY_S = 8.0 if os.environ.get("REAL") else 2.0  # a model that is never let load answers nothing
SAMPLE_EVERY_S = 0.5
THREADS_MAX = 150
GROWTH_KB_PER_MINUTE = 4096  # of a long run, when its first half is over


class Hostile:
    """What is done to a daemon, and what it holds."""

    def __init__(self, served):
        self.served = served
        self.pid = served.presence.pid
        self.chooser = random.Random(2026)
        self.revision = self.kills = self.cycles = 0
        self.next_edit = self.next_kill = self.next_sample = time.monotonic()
        self.memory = []  # (moment in minutes, KB)
        self.floors = []  # descriptors and threads after each cycle

    def save(self, name):
        self.revision += 1
        text = "\n\n".join(
            f"This is revision {self.revision} of {name}, part {part}; the lantern hangs low and the meadow"
            " is wide."
            for part in range(CHUNKS)
        )
        whole = self.served.folder / "next"  # saved as editors do
        whole.write_text(text)
        target = self.served.folder / "docs" / name
        target.parent.mkdir(exist_ok=True)
        whole.replace(target)

    def step(self):
        """An edit and a kill, when it is time for them."""
        now = time.monotonic()
        if now >= self.next_edit:
            name = f"d{self.chooser.randrange(DOCUMENTS)}.md"
            self.save(self.chooser.choice([name, f"other/{self.chooser.randrange(OTHERS)}.md"]))
            self.next_edit = now + EDIT_EVERY_S
        if now >= self.next_kill:
            children = list(self.served.children())
            if children:
                with suppress(ProcessLookupError):
                    os.kill(self.chooser.choice(children), signal.SIGKILL)
                    self.kills += 1
            self.next_kill = now + KILL_EVERY_S
        if now >= self.next_sample:
            self.next_sample = now + SAMPLE_EVERY_S
            status = Path(f"/proc/{self.pid}/status").read_text()
            self.memory.append((now / 60, int(status.partition("VmRSS:")[2].split()[0])))
        time.sleep(0.01)

    def during(self, path, tries=5, **options):
        """A task, hostilities going on until it is over."""
        task = self.served.post(path, **options)
        deadline = time.monotonic() + LIMIT_S
        while self.served.get(f"/v1/tasks/{task['id']}")["state"] not in {"succeeded", "failed"}:
            assert time.monotonic() < deadline, task
            self.step()
        over = self.served.task_over(task)
        if over["state"] == "failed" and "process died" in over["error"]["message"] and tries > 1:
            return self.during(
                path, tries=tries - 1, **options
            )  # refused, and said so: both tries were killed
        assert over["state"] == "succeeded", (path, over["error"], over["messages"])
        return over["result"]

    def cycle(self):
        served = self.served
        before = served.status()["live"]
        other = "dimensions = 64\n"
        text = served.config.read_text()
        served.config.write_text(
            text.replace(other, "")
            if other in text
            else text.replace("[embedding]\n", f"[embedding]\n{other}")
        )
        at = (served.status()["reload"] or {"at": 0})["at"]
        os.kill(self.pid, signal.SIGHUP)
        wait_until(lambda: (served.status()["reload"] or {"at": 0})["at"] != at, "the reload")
        built = self.during("/v1/rebuild")
        assert built["promoted"], built
        assert built["from_generation"] == before["generation"]
        assert self.during("/v1/rollback")["generation"] == before["generation"]
        assert self.during(f"/v1/generations/{built['generation']}/promote")["promoted"]
        self.during("/v1/gc")
        self.floors.append(self.held())
        self.cycles += 1

    def held(self):
        """Descriptors and threads: the least of some moments, because work under way opens files."""
        moments = []
        for _ in range(30):
            folder = Path(f"/proc/{self.pid}")
            moments.append((len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir()))))
            time.sleep(0.02)
        return min(fds for fds, _ in moments), min(threads for _, threads in moments)


@pytest.mark.slow
def test_clients_at_full_speed(served):
    served.is_real = bool(os.environ.get("REAL"))
    served.environment["MODEL_PROCESS"] = "1"
    served.config.write_text(served.config.read_text() + "\n[index]\nreader_grace_s = 1\n")
    (served.folder / "docs" / "first.md").unlink()
    served.up()
    hostile = Hostile(served)
    for number in range(DOCUMENTS):
        hostile.save(f"d{number}.md")
    for number in range(OTHERS):
        hostile.save(f"other/{number}.md")
    wait_until(lambda: served.status()["documents"]["total"] == DOCUMENTS + OTHERS, "the documents")
    arguments = [served.presence.url, served.folder, DOCUMENTS, CHUNKS, 4 * (DOCUMENTS + OTHERS)]
    clients = [
        subprocess.Popen(
            [sys.executable, "-I", CLIENT, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(CLIENTS)
    ]
    try:
        for client in clients:
            assert client.stdout.readline() == "ready\n", client.stderr.read()
        begun = time.monotonic()
        while time.monotonic() < begun + LASTS_S or hostile.cycles < 2:
            hostile.cycle()
        took_s = time.monotonic() - begun
        (served.folder / "stop").touch()
        found = [json.loads(client.communicate(timeout=LIMIT_S)[0]) for client in clients]
    finally:
        for client in clients:
            client.kill()
            client.communicate()
    served.until_ready()
    wait_until(lambda: served.status()["documents"]["pending"] == 0, "the last edits")
    assert served.presence.pid == hostile.pid
    check(found)
    (fds, threads), (fds_last, threads_last) = hostile.floors[0], hostile.floors[-1]
    slope = linear_regression(*zip(*hostile.memory[len(hostile.memory) // 2 :], strict=True)).slope
    answers = sum(each["answers"] for each in found)
    print(
        f"\n{CLIENTS} clients, {took_s:.0f} s: {answers} answers, {sum(e['degraded'] for e in found)} of them"
        f" by words alone; {hostile.revision} edits, {hostile.cycles} rebuilds, {hostile.kills} kills;"
        f" memory {hostile.memory[0][1]} to {hostile.memory[-1][1]} KB, {slope:+.0f} KB a minute in the"
        f" second half; descriptors {fds} to {fds_last}, threads {threads} to {threads_last}"
    )
    assert hostile.kills > 1
    if IS_LONG:  # the first two cycles are the warming up
        assert slope < GROWTH_KB_PER_MINUTE
        (fds, threads) = hostile.floors[1]
    assert fds_last <= fds + CLIENTS
    # (the pools of LanceDB's runtime grow to their limits in the first minutes)
    assert threads_last <= (threads + CLIENTS if IS_LONG else THREADS_MAX)
    assert served.is_equal()


def check(found):
    """All clients were answered, whole, and the same from the same version."""
    seen = defaultdict(set)
    for each in found:
        assert (each["errors"], each["short"], each["torn"]) == ([], 0, 0)
        for version, answers in each["seen"].items():
            seen[version] |= set(answers)
    assert {version: answers for version, answers in seen.items() if len(answers) > 1} == {}
    assert len({version.partition(".")[0] for version in seen}) > 2, "the rebuilds went unnoticed"
