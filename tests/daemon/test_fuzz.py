"""Whatever is done to the folders: when it is quiet the index equals the disk, though nothing ever looks at
everything by itself, and no text was paid for twice. `FUZZ=100` runs so many seeds of 1,000 steps.
"""

import os
import time
from dataclasses import replace

import pytest

from daemon.conftest import Kept
from daemon.disk_operations import Disk
from reindex.settings import SourceSettings

AT_LENGTH = int(os.environ.get("FUZZ", "0"))
FIRST_SEED = int(os.environ.get("FUZZ_SEED", "0"))
STEPS = int(os.environ.get("FUZZ_STEPS", "1000" if AT_LENGTH else "300"))

SEEDS = range(FIRST_SEED, FIRST_SEED + (AT_LENGTH or 10))


def with_sources(house, seed):
    """One, or two of which one lies in the other."""
    (house.docs / "sub").mkdir(parents=True, exist_ok=True)
    sources = [house.settings.sources[0]]
    if seed % 2:
        sources.append(SourceSettings(name="inner", path=house.docs / "sub"))
    house.settings = replace(house.settings, sources=tuple(sources))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_index_follows_whatever_is_done(
    house, quickly, no_guard, no_override, lossy_queue, seed, tmp_path
):
    with_sources(house, seed)
    house.with_default_windows()
    for number in range(8):  # the guard for small sources is not the subject
        house.write(f"stays/{number}.md", f"Document {number} stays.")
        house.write(f"sub/stays/{number}.md", f"Inner document {number} stays.")
    burst = (200, 2000) if AT_LENGTH else (40, 120)
    disk = Disk(seed, house.docs, tmp_path / "outside", burst=burst, says=bool(os.environ.get("FUZZ_SAYS")))
    with Kept(house) as kept:
        try:
            for number in range(STEPS):
                disk.step()
                if disk.random.random() < 0.03:
                    time.sleep(disk.random.random() * 0.3)  # so that passes come in between
                if disk.random.random() < 0.003:
                    lossy_queue.lose()
                if number % 100 == 99:
                    disk.be_quiet()
                    kept.until_equal()
                    kept.until(lambda: house.verify().failed == 0)
        except AssertionError:
            print("\n".join(disk.log[-120:]))
            print(house.verify())
            raise
    assert not kept.condition.errors
    assert not house.embedder.paid_twice
