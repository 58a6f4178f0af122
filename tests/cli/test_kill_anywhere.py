"""Processes that end at any moment of any kind of run, beside a reader that never stops asking.

$KILLS is how many (default 5); the moments are spread evenly over what such a run takes from its lock on.
"""

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

from doubles import House

READER = Path(__file__).parent / "reader_at_full_speed.py"
LIMIT_S = 240.0
KILLS = int(os.environ.get("KILLS", "5"))
DOCUMENTS, CHUNKS = 5, 3
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
UPKEEP = "\n[index]\noptimize_small_fragments = 5\nreader_grace_s = 20\n"


class Folder:
    """The documents, what was sent for them, and what is done to them: each step is work for one run."""

    def __init__(self, place):
        self.place = place
        self.house = House(place.folder, data_dir=place.folder / ".reindex")
        self.log = place.folder / "sent.log"
        self.log.touch()
        place.environment |= {"SENT_LOG": str(self.log), "BATCH_DELAY_S": "0.002"}
        self.revision = 0
        self.chooser = random.Random(2026)

    def write(self, name):
        self.revision += 1
        self.place.write(
            name,
            "\n\n".join(
                f"This is revision {self.revision} of {name}, part {part}; the lantern hangs low and the"
                " meadow is wide."
                for part in range(CHUNKS)
            ),
        )

    def others(self):
        return sorted((self.place.folder / "docs").glob("other*/*.md"))

    def load(self):
        for number in range(7):
            self.write(f"other{self.revision}/{number}.md")
        for path in self.others()[: max(0, len(self.others()) - 20)]:
            path.unlink()
        return ["sync"]

    def edit(self):
        for number in self.chooser.sample(range(DOCUMENTS), 3):
            self.write(f"d{number}.md")
        return ["sync"]

    def move(self):
        for path in self.chooser.sample(self.others(), min(6, len(self.others()))):
            self.revision += 1
            path.rename(path.with_name(f"moved{self.revision}.md"))
        return ["sync"]

    def delete(self):
        for path in self.chooser.sample(self.others(), len(self.others()) // 2):
            path.unlink()
        return ["sync"]

    def garbage(self):
        return ["gc"]

    def rebuild(self):
        """In the other of two spaces."""
        config = self.place.folder / "config.toml"
        text = config.read_text()
        asks = "[embedding]\ndimensions = 16\n"
        config.write_text(
            text.replace(asks, "[embedding]\n") if asks in text else text.replace("[embedding]\n", asks)
        )
        return ["rebuild"]

    def rollback(self):
        """Where there was a rebuild; else there is nothing to go back to."""
        return ["generations", "rollback"] if "retired" in self.house.states().values() else ["sync"]

    def sent(self):
        lines = self.log.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines if line.endswith(b"]")]


def until(is_so, what):
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited {LIMIT_S:.0f} s for {what}"
        time.sleep(0.0005)


def began(place, command):
    """Start it and wait until it holds the lock. Returns the process and that moment."""
    lock = place.folder / ".reindex" / "lock"
    before = lock.stat().st_mtime_ns
    process = place.start(*command, "--json")
    until(lambda: lock.stat().st_mtime_ns != before or process.poll() is not None, "the lock")
    return process, time.monotonic()


@pytest.mark.slow
def test_kills_at_any_moment_of_any_run(empty_place):
    place = empty_place
    (place.folder / "config.toml").write_text((place.folder / "config.toml").read_text() + UPKEEP)
    folder = Folder(place)
    for number in range(DOCUMENTS):
        folder.write(f"d{number}.md")
    assert place.run("sync", "--json").code == 0
    reader = subprocess.Popen(
        [sys.executable, READER, place.folder, str(DOCUMENTS), str(CHUNKS), ".reindex", "120"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert reader.stdout.readline() == "ready\n", reader.stderr.read()
        killed = kill_and_go_on(folder)
        (place.folder / "stop").touch()
        out, err = reader.communicate(timeout=LIMIT_S)
    finally:
        reader.kill()
        reader.wait()
    assert reader.returncode == 0, err
    found = json.loads(out)
    bad = [found[name] for name in ("errors", "short", "doubled", "mixed", "torn")]
    assert bad == [[], 0, 0, 0, 0], found
    assert found["answers"] > KILLS
    assert killed >= max(1, KILLS // 4)  # the others came too late for their run
    print(f"{KILLS} runs, {killed} of them ended from outside; the reader: {found}")


def kill_and_go_on(folder):
    """One kind of run after the other, each at a random share of the time such a run takes."""
    place, killed = folder.place, 0
    kinds = [
        folder.load,
        folder.edit,
        folder.rebuild,
        folder.move,
        folder.rollback,
        folder.delete,
        folder.garbage,
    ]
    takes_s = {}
    times = Counter()
    for round_ in range(KILLS):
        kind = kinds[round_ % len(kinds)]
        command = kind()
        by = folder.chooser.choice(SIGNALS)
        process, moment = began(place, command)
        deadline = moment + folder.chooser.random() * takes_s.get(command[-1], 1.5)
        until(lambda p=process, t=deadline: time.monotonic() >= t or p.poll() is not None, "the moment")
        process.send_signal(by)
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode in {0, -by, 130 if by == signal.SIGINT else 0}, (by, err.decode())
        assert b"Traceback" not in err, err.decode()
        assert not out or json.loads(out), "half an answer"
        was_killed = process.returncode != 0 and not out  # with its answer out, it had ended
        killed += was_killed
        again = ["rebuild"] if command == ["rebuild"] else ["sync"]
        process, moment = began(place, again)
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, err.decode()
        takes_s[command[-1]] = time.monotonic() - moment if command == again or not was_killed else 1.5
        found = folder.house.verify(deep=True)
        assert found.ok, (kind.__name__, by, found)
        assert not folder.house.open_jobs()
        batches = folder.sent()
        now = Counter(text for batch in batches for text in batch)
        twice = sum(max(0, count - max(1, times[text])) for text, count in now.items())
        assert twice <= was_killed * max(map(len, batches)), f"{twice} texts paid again by one kill"
        times = now
    return killed
