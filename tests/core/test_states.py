"""The lives of a generation and of a job, as tables."""

from itertools import product

import pytest

from reindex.core import generations, jobs
from reindex.core.generations import GenerationState
from reindex.core.jobs import OPEN_STATES, JobState

TABLES = [(GenerationState, generations), (JobState, jobs)]


@pytest.mark.parametrize(("states", "module"), TABLES)
def test_every_state_has_its_line_and_every_other_move_is_a_bug(states, module):
    assert module.TRANSITIONS.keys() == set(states)
    for before, after in product(states, states):
        if after in module.TRANSITIONS[before]:
            module.check_transition(before, after)
        else:
            with pytest.raises(AssertionError, match=f"a {before} .* can't become {after}"):
                module.check_transition(before, after)


@pytest.mark.parametrize(
    ("module", "first", "ends"),
    [
        (generations, GenerationState.BUILDING, {GenerationState.DROPPED}),
        (jobs, JobState.PLANNED, {JobState.DONE, JobState.CANCELLED}),
    ],
)
def test_every_state_can_be_reached_and_leads_to_an_end(module, first, ends):
    reached = {first}
    while more := {after for state in reached for after in module.TRANSITIONS[state]} - reached:
        reached |= more
    assert reached == module.TRANSITIONS.keys()
    assert {state for state, after in module.TRANSITIONS.items() if not after} == ends
    for state in module.TRANSITIONS:
        ahead = {state}
        while more := {after for each in ahead for after in module.TRANSITIONS[each]} - ahead:
            ahead |= more
        assert ahead & ends


def test_an_open_job_can_always_be_ended():
    for state in OPEN_STATES:
        assert module_ends(state)


def module_ends(state):
    return jobs.TRANSITIONS[state] & {JobState.DONE, JobState.FAILED, JobState.CANCELLED}
