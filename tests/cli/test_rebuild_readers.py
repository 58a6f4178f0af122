"""Processes that search at full speed, through a rebuild with other dimensions under live edits, its
promotion, a rollback, another promotion and gc: no answer fails, lacks something or mixes two generations,
and every edit is published meanwhile; alone on the machine within ten seconds of its save. $LONG: four
of them, and 200 edits.
"""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import pytest

from doubles import House, check_whole, contents
from reindex.settings import EmbeddingSettings

READER = Path(__file__).parent / "reader_at_full_speed.py"
LIMIT_S = 240.0
IS_LONG = bool(os.environ.get("LONG"))
READERS, EDITS, OTHERS = (4, 200, 100) if IS_LONG else (2, 40, 30)
DOCUMENTS, CHUNKS = 5, 3
PUBLISHED_S = 10.0  # by half of the edits; by the slowest of all too, unless other tests run beside it
SLOWEST_S = PUBLISHED_S if IS_LONG else 60.0
EDIT_EVERY_S = 0.05


class Edits:
    """Saves of documents, and how long each took to be what a reader sees."""

    def __init__(self, place, house):
        self.place, self.house = place, house
        self.number = 0
        self.waiting = {}  # path -> [(revision, saved at)]
        self.took_s = []

    def save(self, path):
        self.number += 1
        text = "\n\n".join(
            f"This is revision {self.number} of {path}, part {part}; the lantern hangs low and the meadow"
            " is wide."
            for part in range(CHUNKS)
        )
        self.place.write(path, text)
        self.waiting.setdefault(path, []).append((self.number, time.monotonic()))

    def look(self):
        """What is published now has come; the age of what has not counts as well."""
        for name, texts in check_whole(self.house.snapshot()).items():
            revision = int(re.search(r"revision (\d+)", texts[0])[1])
            now = time.monotonic()
            came = [at for number, at in self.waiting.get(name.path, []) if number <= revision]
            self.waiting[name.path] = self.waiting.get(name.path, [])[len(came) :]
            self.took_s += [now - at for at in came]


@pytest.mark.slow
def test_readers_through_a_rebuild_under_edits(empty_place, tmp_path):
    place = empty_place
    place.environment["BATCH_DELAY_S"] = "0.05"  # so that the rebuild outlasts the edits
    config = place.folder / "config.toml"
    config.write_text(config.read_text() + "\n[index]\nreader_grace_s = 1\n")
    house = House(place.folder, data_dir=place.folder / ".reindex")
    edits = Edits(place, house)
    for number in range(DOCUMENTS):
        edits.save(f"d{number}.md")
    for number in range(OTHERS):
        edits.save(f"other/{number}.md")
    assert place.run("sync", "--json").code == 0
    edits.look()
    edits.took_s.clear()
    readers = [
        subprocess.Popen(
            [sys.executable, READER, place.folder, str(DOCUMENTS), str(CHUNKS), ".reindex", "1000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(READERS)
    ]
    try:
        for reader in readers:
            assert reader.stdout.readline() == "ready\n", reader.stderr.read()
        config.write_text(config.read_text().replace("[embedding]", "[embedding]\ndimensions = 256"))
        rebuild_under_edits(place, edits)
        for command in (["sync"], ["generations", "rollback"], ["generations", "promote", "2"], ["gc"]):
            answer = place.run(*command, "--json")
            assert answer.code == 0, answer.err
        edits.look()
        (place.folder / "stop").touch()
        found = [json.loads(reader.communicate(timeout=LIMIT_S)[0]) for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    for each in found:
        bad = [each[name] for name in ("errors", "short", "doubled", "mixed", "torn")]
        assert bad == [[], 0, 0, 0, 0], each
        assert each["generations"] == [1, 2]
    assert not any(edits.waiting.values())
    assert median(edits.took_s) < PUBLISHED_S
    assert max(edits.took_s) < SLOWEST_S
    check_equals_one_from_nothing(house, tmp_path)
    print(
        f"{sum(each['answers'] for each in found)} answers; the slowest edit took {max(edits.took_s):.1f} s"
    )


def rebuild_under_edits(place, edits):
    process = place.start("rebuild", "--json")
    next_edit, last = time.monotonic(), edits.number + EDITS
    while process.poll() is None:
        if edits.number < last and time.monotonic() >= next_edit:
            edits.save(f"d{edits.number % DOCUMENTS}.md")
            next_edit += EDIT_EVERY_S
        edits.look()
    out, err = process.communicate()
    assert process.returncode == 0, err.decode()
    assert json.loads(out)["promoted"]
    assert edits.number == last, "the rebuild ended before the edits did: make it longer"


def check_equals_one_from_nothing(house, tmp_path):
    other = House(tmp_path / "nothing", docs=house.docs)
    other.settings = replace(other.settings, embedding=EmbeddingSettings(dimensions=256))
    other.sync()
    assert house.published().recipe.space.dimensions == 256
    assert contents(house.snapshot()) == contents(other.snapshot())
    assert house.verify(deep=True).ok
