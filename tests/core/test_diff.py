"""Desired against recorded: every document in exactly one place, and a plan that leads to the disk."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reindex.core import diff
from reindex.core.diff import Plan, Recorded, plan
from reindex.model import DocumentName, Revision

SOURCES = ["docs", "more"]
PATHS = st.sampled_from(["a.md", "b.md", "x/a.md", "x/y/b.md"])
ON_DISK = st.builds(DocumentName, st.sampled_from(SOURCES), PATHS)
NAMES = st.builds(DocumentName, st.sampled_from([*SOURCES, "former"]), PATHS)
REVISIONS = st.sampled_from([Revision(bytes([n]) * 32) for n in range(3)])
RECORDED = st.builds(Recorded, REVISIONS, st.sampled_from(["p/1", "p/2"]))


def parser_of(_):
    return "p/1"


inputs = given(
    st.dictionaries(ON_DISK, REVISIONS),
    st.dictionaries(NAMES, RECORDED),
    st.sets(NAMES),
    st.dictionaries(NAMES, RECORDED),
)


def differences(desired, recorded):
    on_disk = {source: {n.path: r for n, r in desired.items() if n.source == source} for source in SOURCES}
    rows = [(*name, *held) for name, held in recorded.items()]
    return diff.compare(on_disk, rows, parser_of)


def compare(desired, recorded, kept=frozenset(), dead=None):
    return plan(differences(desired, recorded), kept, dead or {}, parser_of)


@inputs
def test_only_what_is_not_alike_is_taken_apart(desired, recorded, _kept, _dead):
    found = differences(desired, recorded)
    alike = {n for n, held in recorded.items() if held == (desired.get(n), parser_of(n.path))}
    assert found.unchanged == len(alike)
    assert found.desired == {n: r for n, r in desired.items() if n not in alike}
    assert found.recorded == {n: held for n, held in recorded.items() if n not in alike}
    assert dict(found.totals) == dict(Counter(n.source for n in recorded))


@inputs
def test_every_document_is_in_exactly_one_place(desired, recorded, kept, dead):
    found = compare(desired, recorded, kept, dead)
    places = [*found.added, *found.changed, *found.moved, *found.failed]
    assert len(places) == len(set(places))
    assert len(places) + found.unchanged == len(desired)
    leaving = [*found.deleted, *found.moved.values()]
    assert len(leaving) == len(set(leaving))
    assert set(leaving) == recorded.keys() - desired.keys() - kept


@inputs
def test_carried_out_it_leads_to_the_disk(desired, recorded, kept, dead):
    found = compare(desired, recorded, kept, dead)
    now = dict(recorded)
    for name in (*found.deleted, *found.moved.values()):
        del now[name]
    for name in (*found.added, *found.changed, *found.moved):
        now[name] = Recorded(desired[name], parser_of(name))
    for name, revision in desired.items():
        assert name in found.failed or now[name] == Recorded(revision, "p/1")
    assert now.keys() - desired.keys() <= kept
    again = compare(desired, now, kept, dead)
    assert again.is_empty
    assert set(again.failed) == set(found.failed)


@inputs
def test_nothing_that_is_kept_changes(desired, recorded, kept, dead):
    found = compare({n: r for n, r in desired.items() if n not in kept}, recorded, kept, dead)
    touched = {*found.added, *found.changed, *found.moved, *found.deleted, *found.moved.values()}
    assert not touched & kept


@inputs
def test_a_move_keeps_the_content(desired, recorded, kept, dead):
    for new, old in compare(desired, recorded, kept, dead).moved.items():
        assert desired[new] == recorded[old].revision
        assert new not in recorded
        assert old not in desired


@inputs
def test_the_order_of_what_is_seen_does_not_matter(desired, recorded, kept, dead):
    def turned(mapping):
        return dict(reversed(mapping.items()))

    assert compare(desired, recorded, kept, dead) == compare(turned(desired), turned(recorded), kept, dead)


def name(path):
    return DocumentName("docs", path)


def test_of_two_candidates_the_one_with_the_same_file_name_moved():
    content = Revision(b"1" * 32)
    found = compare(
        {name("new/b.md"): content, name("new/z.md"): content},
        {name("old/a.md"): Recorded(content, "p/1"), name("old/b.md"): Recorded(content, "p/1")},
    )
    assert found.moved == {name("new/b.md"): name("old/b.md"), name("new/z.md"): name("old/a.md")}


MANY_PATHS = st.builds("{}/{}.md".format, st.sampled_from("pqrs"), st.sampled_from("abc"))
MANY_NAMES = st.builds(DocumentName, st.sampled_from(SOURCES), MANY_PATHS)


@given(st.dictionaries(MANY_NAMES, REVISIONS), st.dictionaries(MANY_NAMES, RECORDED))
def test_of_several_candidates_the_first_with_the_same_file_name_moved_or_else_the_first(desired, recorded):
    found = compare(desired, recorded)
    coming = sorted(desired.keys() - recorded.keys())
    leaving = sorted(recorded.keys() - desired.keys())
    moved = {}
    for is_same_file_name in (True, False):
        for new in coming:
            fits = [
                old
                for old in leaving
                if recorded[old].revision == desired[new]
                and (not is_same_file_name or old.path.split("/")[-1] == new.path.split("/")[-1])
            ]
            if new not in moved and fits:
                moved[new] = fits[0]
                leaving.remove(fits[0])
    assert found.moved == moved
    assert found.added == tuple(new for new in coming if new not in moved)
    assert found.deleted == tuple(leaving)


class CountedName(DocumentName):
    """Counts how often one is compared with another, or taken apart."""

    steps = 0

    def __eq__(self, other):
        CountedName.steps += 1
        return tuple.__eq__(self, other)

    __hash__ = tuple.__hash__

    @property
    def path(self):
        CountedName.steps += 1
        return self[1]


@pytest.mark.parametrize("kind", ["{}/{:05d}/README.md", "{}/{:05d}.md", "{0}/{1:05d}/{0}.md"])
def test_a_folder_of_equal_documents_is_renamed_in_steps_that_grow_as_they_do(kind):
    content = Revision(b"1" * 32)
    steps = []
    for count in (200, 400):
        new, old = ([CountedName("docs", kind.format(at, n)) for n in range(count)] for at in "ba")
        CountedName.steps = 0
        found = diff._moves(new, old, dict.fromkeys(new, content), dict.fromkeys(old, Recorded(content, "p")))
        steps.append(CountedName.steps)
        assert len(found) == count
    assert steps[1] < 3 * steps[0]


def test_a_new_parser_changes_a_document_and_a_dead_one_waits_for_it():
    content = Revision(b"1" * 32)
    assert compare({name("a"): content}, {name("a"): Recorded(content, "p/0")}).changed == (name("a"),)
    assert compare({name("a"): content}, {}, dead={name("a"): Recorded(content, "p/1")}).failed == (
        name("a"),
    )
    assert compare({name("a"): content}, {}, dead={name("a"): Recorded(content, "p/0")}).added == (name("a"),)


def test_an_empty_plan():
    assert Plan((), (), {}, (), 7, (name("a"),)).is_empty
    assert not Plan((), (), {}, (name("a"),), 0, ()).is_empty
