"""When the next try comes after one that failed."""

import time

import pytest

from reindex.daemon.schedule import LASTING_S, Schedule
from reindex.errors import EmbeddingError, OutageError


def rest_after(error, took_s):
    schedule = Schedule()
    schedule.failed(error, took_s)
    return schedule.not_before - time.monotonic()


@pytest.mark.parametrize(("took_s", "rest_s"), [(0.0, 1.0), (10.0, 40.0), (1e6, LASTING_S[1])])
def test_in_an_outage_most_of_the_time_is_rest(took_s, rest_s):
    """A try prepares the whole backlog before it meets the outage."""
    assert rest_after(OutageError("the network is away"), took_s) == pytest.approx(rest_s, abs=0.5)


def test_a_failure_of_our_own_is_tried_again_soon_however_long_it_took():
    assert rest_after(EmbeddingError("a worker died"), 1000.0) == pytest.approx(1.0, abs=0.5)
