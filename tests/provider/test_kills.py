"""A real `reindex sync`, ended by SIGKILL at the moment of a request: before the server does it, and after it
has done it, when no answer comes any more; with a list that lags. What comes after pays nothing again.

$EVERY_POINT: each moment with each lag, and not only with one.
"""

import os
import threading

import pytest

from openai_standin import StandIn
from processes import LIMIT_S, Place
from provider_house import DIMENSIONS, MODEL, ProviderHouse, prose
from reindex.core.canary import CANARY_TEXT
from reindex.dev_openai.faults import Do, Reset

CONFIG = f"""
data_dir = "index"
[[sources]]
name = "docs"
path = "docs"
[chunking]
max_tokens = 32
[embedding]
provider = "openai"
model = "{MODEL}"
dimensions = {DIMENSIONS}
[embedding.openai]
"""
LAGS_S = (0, 1, 5)
IS_WHOLE = "EVERY_POINT" in os.environ
SENDING_LAGS = [  # all three where the list is what tells of the batch
    pytest.param(route, after, lag_s, id=f"{route}-{'after' if after else 'before'}-{lag_s}")
    for route, after, lags in (
        ("files.create", False, LAGS_S if IS_WHOLE else (0,)),
        ("files.create", True, LAGS_S if IS_WHOLE else (5,)),
        ("batches.create", False, LAGS_S if IS_WHOLE else (1,)),
        ("batches.create", True, LAGS_S),
    )
    for lag_s in lags
]
COLLECTING = ("batches.list", "files.retrieve", "files.content")


class Killed:
    """A command in a folder that is killed when the server meets a request."""

    def __init__(self, folder, openai, lag_s, lane="batch"):
        self.openai = openai
        openai.options.listing_lag_s = lag_s
        grace_s = lag_s + 2
        self.house = ProviderHouse(folder, openai, lane=lane, batch_grace_s=grace_s)
        for number in range(3):
            self.house.write(f"{number}.md", prose(number))
        openai_settings = f'base_url = "{openai.base_url}"\nlane = "{lane}"\nbatch_grace_s = {grace_s}\n'
        (folder / "config.toml").write_text(CONFIG + openai_settings)
        self.place = Place(folder, {"OPENAI_API_KEY": openai.key})

    def sync_killed_at(self, route, *, after):
        started, process = threading.Event(), None

        def kill():
            assert started.wait(LIMIT_S)
            process.kill()
            process.wait()

        rule = self.openai.fault(route, Do(kill, after=after))
        if not after:
            self.openai.fault(route, Reset())  # the server would go on with what has reached it
        process = self.place.start("sync", "--json", real_model=True)
        started.set()
        out, err = process.communicate(timeout=LIMIT_S)
        assert process.returncode == -9, (process.returncode, out, err.decode())
        assert rule.met == 1

    def converge(self):
        for round_ in range(12):
            report = self.house.sync()
            if not report.chunks.in_flight and not report.documents.pending:
                break
            self.openai.finish_all()
            if round_:
                self.openai.advance(2)
                self.house.clock.ahead_s += 2
        assert self.house.verify().ok
        self.house.check_vectors()
        assert not self.openai.orphans()


@pytest.fixture
def killed(tmp_path):
    with StandIn() as openai:
        yield lambda *arguments: Killed(tmp_path, openai, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize(("route", "after", "lag_s"), SENDING_LAGS)
def test_killed_while_it_sends(killed, route, after, lag_s):
    case = killed(lag_s)
    case.sync_killed_at(route, after=after)
    case.converge()
    case.house.check_paid_once()
    assert len(case.openai.batches()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("route", COLLECTING)
def test_killed_while_it_collects(killed, route, after):
    """The list matters no more: the batch's id is known."""
    case = killed(LAGS_S[-1])
    case.house.sync()
    case.openai.finish_all()
    case.sync_killed_at(route, after=after)
    case.converge()
    case.house.check_paid_once()
    assert len(case.openai.batches()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("lag_s", LAGS_S if IS_WHOLE else LAGS_S[-1:])
def test_killed_while_it_looks_for_a_batch_that_may_exist(killed, lag_s):
    """Twice killed: after the batch was created, and while it is looked for."""
    case = killed(lag_s)
    case.sync_killed_at("batches.create", after=True)
    case.sync_killed_at("batches.list", after=True)
    case.converge()
    case.house.check_paid_once()
    assert len(case.openai.batches()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True])
def test_killed_while_it_embeds_in_real_time(killed, after):
    """An answer that was under way may be lost: its texts, and no others, are paid again."""
    case = killed(0, "realtime")
    case.house.with_openai(max_inputs_per_request=4)
    config = case.place.folder / "config.toml"
    config.write_text(config.read_text() + "max_inputs_per_request = 4\n")
    case.sync_killed_at("embeddings", after=after)
    case.converge()
    twice = case.openai.billed_twice(except_texts=(CANARY_TEXT,))
    assert set(twice.values()) <= {2}
    assert len(twice) <= (4 if after else 0), twice
