"""kill -9 of the daemon at random moments of all that it does: whoever asks meanwhile is answered, directly,
or hears that nobody listens; what is started next goes on; at most the batch in hand is embedded twice; and
no process of its own outlives it. $KILLS is how many (default 5).
"""

import json
import os
import random
import time
import urllib.error
from collections import Counter
from contextlib import suppress

import pytest

from doubles import check_whole, paragraphs
from processes import wait_until
from served import for_a_while, is_alive

KILLS = int(os.environ.get("KILLS", "5"))
WITHIN_S = 1.5


class Work:
    """Kinds of it; each returns what to ask the daemon for, if anything."""

    def __init__(self, served):
        self.served = served
        self.chooser = random.Random(2026)
        self.number = 0

    def _fresh(self):
        self.number += 7
        return paragraphs(*range(self.number, self.number + 7))

    def load(self):
        for each in range(30):
            self.served.write(f"load{self.number}/{each}.md", self._fresh())

    def burst(self):
        for each in self.chooser.choices(range(20), k=30):
            self.served.write(f"d{each % 4}/{each}.md", self._fresh())

    def rebuild(self):
        """In the other of two spaces."""
        other, text = "dimensions = 64\n", self.served.config.read_text()
        self.served.config.write_text(
            text.replace(other, "")
            if other in text
            else text.replace("[embedding]\n", f"[embedding]\n{other}")
        )
        return "/v1/rebuild"

    def rollback(self):
        self.burst()
        return "/v1/rollback"

    def garbage(self):
        self.burst()
        return "/v1/gc"

    def next(self, round_number):
        kinds = (self.load, self.burst, self.rebuild, self.rollback, self.garbage)
        return kinds[round_number % len(kinds)]


def sent(served):
    lines = served.log.read_bytes().split(b"\n") if served.log.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"]")]


@pytest.mark.slow
def test_killed_at_any_moment_of_anything(served):
    served.environment |= {"MODEL_PROCESS": "1", "BATCH_DELAY_S": "0.02"}
    served.config.write_text(served.config.read_text() + "\n[index]\nreader_grace_s = 1\n")
    work = Work(served)
    served.up()
    paid = Counter()
    for round_number in range(KILLS):
        kind = work.next(round_number)
        asks = kind()
        if kind == work.rebuild:
            assert served.run("reload").code == 0
        if asks:
            served.post(asks)
        for _ in for_a_while(work.chooser.uniform(0.0, WITHIN_S)):
            assert served.get("/v1/search?mode=text&query=copper")["hits"]
        family = {served.presence.pid, *served.children()}
        url = served.presence.url
        served.kill()
        wait_until(lambda f=family: not any(map(is_alive, f)), "its children to go with it")
        with pytest.raises(urllib.error.URLError, match="refused"):
            served.ask_at(url, "/v1/search?query=copper")
        assert served.run("query", "copper", "--mode", "text", "--json").json["hits"]
        served.up()
        check_whole(served.house.snapshot())
        with suppress(AssertionError):  # a rebuild may be unfinished: it is gone on with, or given up
            served.post("/v1/rebuild", **({} if round_number % 2 else {"abandon": True}))
        task = served.post("/v1/sync")
        assert served.task_over(task)["exit_code"] == 0, (kind.__name__, served.task_over(task))
        found = served.house.verify(deep=True)
        assert found.ok, (kind.__name__, found)
        batches = sent(served)
        now = Counter(text for batch in batches for text in batch)
        twice = sum(max(0, count - max(1, paid[text])) for text, count in now.items())
        assert twice <= max(map(len, batches)), f"{kind.__name__}: {twice} texts paid again by one kill"
        paid = now


def test_a_second_signal_ends_it_at_once_and_nothing_is_lost(served):
    served.environment["MODEL_PROCESS"] = "1"
    served.configure("[daemon]\n", "[daemon]\nstop_s = 120\n")
    served.up()
    served.fault.write_text("hang")
    served.write("second.md", paragraphs(1, 2, 3))
    wait_until(lambda: served.status()["documents"]["pending"], "the file to be taken up")
    wait_until(lambda: len(served.children()) >= 2, "the model")
    family = {served.presence.pid, *served.children()}
    pid = served.presence.pid
    begun = time.monotonic()
    os.kill(pid, 15)
    wait_until(lambda: not _listens(served), "it to stop listening")
    os.kill(pid, 15)
    wait_until(lambda: not any(map(is_alive, family)), "all of it to end")
    assert time.monotonic() - begun < 60, "the second signal changed nothing"
    served.fault.unlink()
    served.up()
    assert served.is_equal()


def _listens(served):
    try:
        served.ask("/livez")
    except (OSError, AttributeError):
        return False
    return True
