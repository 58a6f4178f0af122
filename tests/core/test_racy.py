"""When a stat proves that a file is unchanged."""

import os
import time

from hypothesis import given
from hypothesis import strategies as st

from reindex.core.racy import RACY_WINDOW_NS, is_racy
from reindex.model import FileStat

NOW = 1_700_000_000_000_000_000
times = st.integers(min_value=0, max_value=2 * NOW)


def stat_at(mtime_ns, ctime_ns):
    return FileStat(size_bytes=1, mtime_ns=mtime_ns, ctime_ns=ctime_ns, dev=1, ino=1)


@given(times, times, times)
def test_a_stat_is_trusted_only_if_both_times_are_clearly_older(mtime_ns, ctime_ns, observed_ns):
    is_trusted = not is_racy(stat_at(mtime_ns, ctime_ns), observed_ns)
    assert is_trusted == all(observed_ns - time_ns >= RACY_WINDOW_NS for time_ns in (mtime_ns, ctime_ns))


def test_the_edges_of_the_window():
    old = NOW - 10 * RACY_WINDOW_NS
    assert is_racy(stat_at(NOW - RACY_WINDOW_NS + 1, old), NOW)
    assert not is_racy(stat_at(NOW - RACY_WINDOW_NS, old), NOW)


def test_a_restored_mtime_does_not_hide_a_fresh_change():
    """`cp -p` and `os.utime` set mtime back; nothing sets ctime."""
    assert is_racy(stat_at(NOW - 10 * RACY_WINDOW_NS, NOW), NOW)


def test_a_time_in_the_future_is_racy():
    assert is_racy(stat_at(NOW + RACY_WINDOW_NS, NOW - 10 * RACY_WINDOW_NS), NOW)


def test_a_file_just_written_is_racy(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("x")
    found = os.stat(path)
    assert is_racy(stat_at(found.st_mtime_ns, found.st_ctime_ns), time.time_ns())
