"""When deletions are not believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reindex.core.guard import mass_hold, root_hold


@pytest.mark.parametrize(
    ("deleted", "recorded", "is_held"),
    [
        (0, 0, False),
        (100, 100, False),
        (101, 101, True),
        (101, 404, False),
        (102, 404, True),
        (250, 1000, False),
        (251, 1000, True),
    ],
)
def test_more_than_a_hundred_and_more_than_a_quarter(deleted, recorded, is_held):
    assert bool(mass_hold(deleted=deleted, recorded=recorded)) == is_held


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_fewer_deletions_are_never_held_sooner(deleted, recorded):
    if mass_hold(deleted=deleted, recorded=recorded):
        assert mass_hold(deleted=deleted + 1, recorded=recorded)
    elif deleted:
        assert not mass_hold(deleted=deleted - 1, recorded=recorded)


@given(st.booleans(), st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_a_folder_that_is_not_what_it_was(is_reachable, files, recorded, device_changed):
    reason = root_hold(
        is_reachable=is_reachable,
        files=files,
        left_out=0,
        recorded=recorded,
        device_changed=device_changed,
    )
    assert bool(reason) == bool(recorded and (not is_reachable or not files or device_changed))


def test_a_folder_without_a_file_that_is_taken_is_not_called_empty():
    told = [
        root_hold(is_reachable=True, files=0, left_out=left_out, recorded=1, device_changed=False)
        for left_out in (0, 1)
    ]
    assert told == ["its folder is empty", "its folder has no file that the rules take"]
