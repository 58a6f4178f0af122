"""A keeper in a thread of the test, over a folder of documents, with a model that is none."""

import threading
import time
from dataclasses import replace

import pytest

from doubles import House
from reindex.daemon.condition import Condition
from reindex.daemon.keeper import Keeper
from reindex.settings import DaemonSettings
from reindex.tasks import Tasks

LIMIT_S = 60.0


def no_commands(app, task, progress):
    raise AssertionError(task.command)


class Kept:
    """A house that a keeper keeps fresh. `until` waits for a condition, with a limit."""

    def __init__(self, house, perform=no_commands):
        self.house = house
        self.tasks = Tasks()
        self.condition = Condition()
        self.keeper = Keeper(house.app, self.tasks, self.condition, perform)
        self._thread = threading.Thread(target=self.keeper.run, name="keeper")

    def __enter__(self):
        self._thread.start()
        self.until(lambda: self.condition.is_ready)
        return self

    def __exit__(self, *_):
        self.keeper.stop()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def until(self, is_so, limit_s=LIMIT_S):
        end = time.monotonic() + limit_s
        while not is_so():
            assert time.monotonic() < end, (is_so, self.condition)
            time.sleep(0.01)

    @property
    def is_idle(self):
        condition = self.condition
        return condition.waiting == 0 and condition.phase == "" and condition.postponed == 0

    def until_equal(self, limit_s=LIMIT_S):
        """Until the index equals the disk. It is not asked to look: what is missed stays missed."""
        self.until(lambda: self.is_idle and self.house.verify().ok, limit_s)


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    # Periodic looks at everything would hide what the watcher misses.
    made.settings = replace(made.settings, daemon=DaemonSettings(http="", reconcile_s=1e9, poll_s=0.3))
    return made


@pytest.fixture
def kept(house):
    house.write("first.md", "The first document of all.")
    with Kept(house) as kept:
        yield kept
