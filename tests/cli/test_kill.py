"""Processes that end at any moment, and readers that never stop asking. $KILLS is how many (default 5)."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from doubles import House, check_whole, contents, paragraphs
from processes import LIMIT_S, wait_until

READER = Path(__file__).parent / "reader_at_full_speed.py"
KILLS = int(os.environ.get("KILLS", "5"))


class Sent:
    """What the command line's double was sent, by batches."""

    def __init__(self, place):
        self.path = place.folder / "sent.log"
        self.path.touch()
        place.environment["SENT_LOG"] = str(self.path)

    def batches(self):
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n") if line.endswith(b"]")]

    def count(self):
        return self.path.read_bytes().count(b"\n")


def same_house(place):
    return House(place.folder, data_dir=place.folder / ".reindex")


@pytest.mark.slow
def test_kills_at_random_points_of_a_first_load(empty_place):
    place = empty_place
    sent = Sent(place)
    place.environment["BATCH_DELAY_S"] = "0.005"
    written = 0

    def write_more(count):
        nonlocal written
        for number in range(written, written + count):
            place.write(f"{number % 7}/{number}.md", paragraphs(*range(5 * number, 5 * number + 5)))
        written += count

    write_more(90)
    chooser = random.Random(2026)
    house = same_house(place)
    killed = 0
    while killed < KILLS:
        before = sent.count()
        process = place.start("sync", "--json")
        wanted = before + chooser.randint(1, 7)
        wait_until(lambda p=process, n=wanted: sent.count() >= n or p.poll() is not None, "batches")
        moment = time.monotonic() + chooser.uniform(0, 0.08)
        wait_until(lambda t=moment: time.monotonic() >= t, "a random moment")
        process.kill()
        out, err = process.communicate()
        assert process.returncode in {0, -signal.SIGKILL}, (out, err)
        if process.returncode == 0:  # it was faster than the kill: more work
            write_more(40)
        killed += process.returncode != 0
        if house.published() is not None:
            check_whole(house.snapshot())
    done = place.run("sync", "--json")
    assert done.code == 0
    house.check()
    assert contents(house.snapshot()) == contents(house.rebuilt(place.folder / "other").snapshot())
    batches = sent.batches()
    times = Counter(text for batch in batches for text in batch)
    assert len(times) == 5 * written
    again = [batch for batch in batches if all(times[text] > 1 for text in batch)]
    assert sum(times.values()) - len(times) <= killed * max(map(len, batches)), "more than a batch a kill"
    assert len(again) <= 2 * killed


def test_ctrl_c_during_a_first_load(empty_place):
    place = empty_place
    sent = Sent(place)
    place.environment["BATCH_DELAY_S"] = "0.05"
    for number in range(20):
        place.write(f"{number}.md", paragraphs(*range(5 * number, 5 * number + 5)))
    process = place.start("sync", "--json")
    wait_until(lambda: sent.count() >= 6 or process.poll() is not None, "batches")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130, err
    assert out == b""
    assert b"interrupted" in err
    assert b"Traceback" not in err
    check_whole(same_house(place).snapshot())
    place.environment["BATCH_DELAY_S"] = "0"
    assert place.run("sync", "--json").code == 0
    same_house(place).check()
    times = Counter(text for batch in sent.batches() for text in batch)
    assert len(times) == 100
    assert sum(times.values()) - 100 <= max(map(len, sent.batches()))


@pytest.mark.slow
def test_a_reader_at_full_speed_while_documents_are_replaced(tmp_path):
    documents, chunks, rounds = 5, 4, 60
    house = House(tmp_path, optimize_small_fragments=8)

    def replace(number, revision):
        text = "\n\n".join(
            f"This is revision {revision} of document {number}, part {part}; the lantern hangs low and the"
            " meadow is wide."
            for part in range(chunks)
        )
        house.write(f"d{number}.md", text)

    for number in range(documents):
        replace(number, 0)
    house.sync()
    assert [len(texts) for texts in check_whole(house.snapshot()).values()] == [chunks] * documents
    process = subprocess.Popen(
        [sys.executable, READER, tmp_path, str(documents), str(chunks), "index", "1000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        for revision in range(1, rounds + 1):
            replace(revision % documents, revision)
            house.sync()
        (tmp_path / "stop").touch()
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    found = json.loads(out)
    bad = [found[name] for name in ("errors", "short", "doubled", "mixed", "torn")]
    assert bad == [[], 0, 0, 0, 0], found
    assert found["answers"] > 50
    assert found["versions"] > 10
