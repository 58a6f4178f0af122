"""A run that ends at any commit, file or request of the batch lane, with a list of batches that lags: what
comes after it brings everything to its end, and each text is paid once.

$EVERY_POINT: all of the points, and not only some.
"""

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from openai_standin import StandIn
from provider.kill_points import points_of, run_until
from provider_house import ProviderHouse, prose

LAGS_S = (0, 1, 5)
STRIDE = 1 if "EVERY_POINT" in os.environ else 23
DOCUMENTS = 3


class Life:
    """A first load by batch, as two runs with the provider's work between them."""

    def __init__(self, folder, openai, lag_s, **settings):
        self.openai = openai
        openai.options.listing_lag_s = lag_s
        self.house = ProviderHouse(folder, openai, batch_grace_s=lag_s + 2, **settings)
        for number in range(DOCUMENTS):
            self.house.write(f"{number}.md", prose(number))

    def gather(self):
        self.house.sync()

    def collect(self):
        self.openai.finish_all()
        self.house.sync()

    def pass_time(self, seconds):
        """Here and there."""
        self.openai.advance(seconds)
        self.house.clock.ahead_s += seconds

    def converge(self):
        """Run after run, the first two at once, then some seconds apart."""
        for round_ in range(12):
            report = self.house.sync()
            if not report.chunks.in_flight and not report.documents.pending:
                break
            self.openai.finish_all()
            if round_:
                self.pass_time(2)
        self.check()

    def check(self):
        house = self.house
        assert house.verify().ok
        house.check_vectors()
        house.check_paid_once()
        assert not self.openai.orphans()
        assert {job.state for job in house.jobs()} <= {"done", "cancelled", "failed"}, house.jobs()
        assert not list((house.data_dir / "batches").glob("*")), "files of jobs that are over"


@contextmanager
def life(tmp_path, lag_s, **settings):
    """With a provider of its own."""
    with StandIn() as openai, TemporaryDirectory(dir=tmp_path) as folder:
        yield Life(Path(folder), openai, lag_s, **settings)


def some_of(names, lag_s):
    """Numbers of points, others for each lag."""
    return range(LAGS_S.index(lag_s), len(names), STRIDE)


@pytest.mark.slow
@pytest.mark.parametrize("lag_s", LAGS_S)
def test_a_run_that_gathers_and_sends_ends_anywhere(tmp_path, lag_s):
    with life(tmp_path, lag_s) as one:
        names = points_of(one.gather)
    assert {"before sending a file", "after creating a batch", "before store.json"} <= set(names), names
    for at in some_of(names, lag_s):
        with life(tmp_path, lag_s) as one:
            assert run_until(at, one.gather)
            one.converge()


@pytest.mark.slow
def test_a_run_that_gathers_several_batches_ends_anywhere(tmp_path):
    several = {"batch_max_inputs": 5}
    with life(tmp_path, 1, **several) as one:
        names = points_of(one.gather)
    assert names.count("after creating a batch") > 1
    for at in some_of(names, 1):
        with life(tmp_path, 1, **several) as one:
            assert run_until(at, one.gather)
            one.converge()


@pytest.mark.slow
@pytest.mark.parametrize("lag_s", LAGS_S)
def test_a_run_that_collects_ends_anywhere(tmp_path, lag_s):
    with life(tmp_path, lag_s) as one:
        one.gather()
        names = points_of(one.collect)
    assert {"before fetching a file", "after the commit of cache"} <= set(names), names
    for at in some_of(names, lag_s):
        with life(tmp_path, lag_s) as one:
            one.gather()
            assert run_until(at, one.collect)
            one.converge()
