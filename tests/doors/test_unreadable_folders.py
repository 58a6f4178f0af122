"""Of what lies below a folder that can't be listed nothing is known, however many such folders there are."""

import sys

from hypothesis import given
from hypothesis import strategies as st

from reindex.model import DocumentName, FileStat, Revision
from reindex.observe import Observation, _find_gone, unknown_documents
from reindex.sources.files import RootState, Scan
from reindex.sources.walk import Problem
from reindex.stores.file_rows import SeenFile

FOLDERS = st.sampled_from(["a", "a0", "b/a", "b/c", "b/c.md", "d/e/f"])
PATHS = st.sampled_from(
    ["a/x.md", "a.md", "a0/x.md", "b/a/c/x.md", "b/ca/x.md", "b/c.md", "d/e/x.md", "d/e/f/g"]
)
NAMES = st.builds(DocumentName, st.sampled_from(["docs", "more"]), PATHS)


def closed(*folders):
    return [Problem(folder, "Permission denied", is_directory=True) for folder in folders]


def scanned(problems):
    return Scan("docs", RootState.OK, unreadable=tuple(problems))


@given(st.lists(FOLDERS, unique=True), st.sets(NAMES))
def test_each_recorded_document_below_one_is_named_or_else_the_folder(folders, recorded):
    problems = [*closed(*folders), Problem("b/ca/x.md", "Input/output error")]
    expected = {}
    for folder in folders:
        reason = f"the folder {folder!r} can't be read: Permission denied"
        below = [name for name in recorded if name.source == "docs" and name.path.startswith(folder + "/")]
        expected |= dict.fromkeys(below or [DocumentName("docs", folder)], reason)
    assert unknown_documents(scanned(problems), recorded) == expected


@given(st.lists(FOLDERS, unique=True), st.sets(PATHS))
def test_what_was_seen_below_one_is_not_taken_for_gone(folders, paths):
    observation = Observation()
    seen = dict.fromkeys(paths, SeenFile(FileStat(1, 2, 3, 4, 5), 6, Revision(b"r" * 32)))
    _find_gone(scanned(closed(*folders)), seen, observation)
    assert {name.path for name in observation.gone} == {
        path for path in paths if not path.startswith(tuple(folder + "/" for folder in folders))
    }


def calls_of(act):
    """How many functions were called, of Python's own too."""
    calls = []
    sys.setprofile(lambda _frame, event, _argument: calls.append(event))
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls.count("call") + calls.count("c_call")


def test_many_folders_and_documents_take_steps_that_grow_as_they_do():
    steps = []
    for count in (50, 100):
        folders = [f"d{number:03d}" for number in range(count)]
        recorded = [DocumentName("docs", f"{folder}/{n}.md") for folder in folders for n in range(5)]
        scan = scanned(closed(*folders))
        steps.append(calls_of(lambda scan=scan, recorded=recorded: unknown_documents(scan, recorded)))
    assert steps[1] < 3 * steps[0]
