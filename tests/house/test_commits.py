"""A crash before and after each of the five commits, and around all else that is written: the next run ends
where an undisturbed one would have ended, and pays for nothing twice.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doubles import (
    COMMITS,
    POINTS,
    UPKEEP,
    Crash,
    House,
    check_whole,
    contents,
    crash_at,
    paragraphs,
    watched,
)
from reindex.maintenance import collect_garbage
from reindex.model import DocumentName

UPKEEP_POINTS = [f"{side} {name}" for name in UPKEEP for side in ("before", "after")]


@pytest.fixture
def house(tmp_path):
    """A store that was synced once: four documents that share paragraphs."""
    house = House(tmp_path)
    for number in range(4):
        house.write(f"d{number}.md", paragraphs(*range(number, number + 4)))
    house.sync()
    return house


def change_everything(house):
    """One of each: an edit in the middle, a new document, a rename, a deletion, a copy."""
    house.write("d0.md", paragraphs(0, 50, 2, 3))
    house.write("new.md", paragraphs(*range(60, 69)))
    (house.docs / "d1.md").rename(house.docs / "renamed.md")
    (house.docs / "d2.md").unlink()
    house.write("copy.md", paragraphs(3, 4, 5, 6))


def check_paid_once(house, point=""):
    """Only what was embedded right before a crash that came before [2] may be embedded once more."""
    allowed = set(house.embedder.batches[house.batches_before_crash - 1]) if "before 2" in point else set()
    assert set(house.embedder.paid_twice) <= allowed
    assert all(count == 2 for count in house.embedder.paid_twice.values())


def crash_and_check(house, point, nth=1):
    """Crash there: readers see whole documents of the version that was published last, and no other."""
    published = [(house.published(), contents(house.snapshot()))]

    def note(where):
        if where == "after 5 pointer":
            published.append((house.published(), contents(house.snapshot())))

    with watched(note):
        was_reached = house.crash(point, nth)
    house.batches_before_crash = len(house.embedder.batches)
    check_whole(house.snapshot())
    assert (house.published(), contents(house.snapshot())) == published[-1]
    return was_reached


@pytest.mark.parametrize("point", POINTS)
def test_the_next_run_ends_where_an_undisturbed_one_would(house, tmp_path, point):
    change_everything(house)
    assert crash_and_check(house, point)
    report = house.sync()
    house.check()
    check_paid_once(house, point)
    assert report.documents.failed == report.documents.held == report.documents.pending == 0
    assert contents(house.snapshot()) == contents(house.rebuilt(tmp_path / "other").snapshot())


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_in_the_second_window(house, point):
    change_everything(house)
    assert crash_and_check(house, point, nth=2) or "delete" in point
    house.sync()
    house.check()
    check_paid_once(house, point)


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_and_then_the_files_are_as_they_were(house, point):
    """The ghost: with an empty difference, nothing may be left of the version that was never published."""
    before = contents(house.snapshot())
    old = (house.docs / "d0.md").read_bytes()
    house.write("d0.md", paragraphs(70, 71))
    house.write("ghost.md", paragraphs(72, 73))
    crash_and_check(house, point)
    house.write("d0.md", old)
    (house.docs / "ghost.md").unlink()
    house.sync()
    house.check()
    assert contents(house.snapshot()) == before
    house.write("elsewhere.md", paragraphs(80))  # the next edit must not publish a ghost either
    house.sync()
    house.check()
    assert DocumentName("docs", "ghost.md") not in contents(house.snapshot())[0]


@pytest.mark.parametrize("point", [p for p in POINTS if "cache" not in p and "job" not in p])
def test_a_crash_in_a_pass_that_only_deletes(house, point):
    (house.docs / "d1.md").unlink()
    (house.docs / "d3.md").unlink()
    assert crash_and_check(house, point)
    house.sync()
    house.check()
    check_paid_once(house)
    assert sorted(name.path for name in contents(house.snapshot())[0]) == ["d0.md", "d2.md"]


@pytest.mark.parametrize("point", POINTS[:2] + POINTS[4:] + UPKEEP_POINTS[:4])
def test_a_crash_before_the_first_publish(tmp_path, point):
    house = House(tmp_path)
    house.write("one.md", paragraphs(*range(9)))
    assert house.crash(point)
    if point != "after 5 pointer":
        assert house.published() is None
    house.sync()
    house.check()
    check_paid_once(house)
    with house.ledger() as ledger:
        assert [generation.state for generation in ledger.generations.all()] == ["live"]


@pytest.mark.parametrize("point", ["after add generation", "before 5 pointer"])
def test_a_first_run_that_crashed_and_the_documents_are_gone(tmp_path, point):
    house = House(tmp_path)
    only = house.write("one.md", paragraphs(1, 2))
    assert house.crash(point)
    only.unlink()
    house.sync(accept_deletes=True)
    house.check()
    assert contents(house.snapshot()) == ({}, [])


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("name", ["optimise", "prune", "version", "publish log", "5 pointer"])
def test_a_crash_in_garbage_collection(house, side, name):
    for number in range(3):
        house.write("d0.md", paragraphs(90 + number))
        house.sync()
    house.clock.ahead_s += 10_000
    before = contents(house.snapshot())
    with crash_at(f"{side} {name}"):
        try:
            with house.app.writer("gc", print) as writer:
                collect_garbage(writer, house.settings)
        except Crash:
            pass
    house.sync()
    house.check()
    assert contents(house.snapshot()) == before
    house.write("d0.md", paragraphs(1))
    house.sync()
    house.check()
    check_paid_once(house)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("name", ["optimise", "version", "publish log", "5 pointer"])
def test_a_crash_in_upkeep(tmp_path, side, name):
    house = House(tmp_path, optimize_small_fragments=2)
    for number in range(4):
        house.write(f"d{number}.md", paragraphs(number))
        if not house.crash(f"{side} {name}", nth=1 if name == "optimise" else 2):
            house.clock.ahead_s += 1
    house.sync()
    house.check()
    check_paid_once(house)


@pytest.mark.parametrize("point", ["before restore", "after restore", "after version", "before 5 pointer"])
def test_a_crash_while_a_crash_is_repaired(house, point):
    change_everything(house)
    assert house.crash("before 4 record")
    assert house.crash(point)
    check_whole(house.snapshot())
    house.sync()
    house.check()
    check_paid_once(house)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(POINTS + UPKEEP_POINTS), st.integers(1, 3)), max_size=4))
def test_crashes_in_a_row(tmp_path_factory, crashes):
    house = House(tmp_path_factory.mktemp("crashes"))
    house.write("kept.md", paragraphs(1, 2, 3))
    house.sync()
    lost = 0
    for number, (point, nth) in enumerate(crashes):
        house.write("edited.md", paragraphs(*range(10 * number, 10 * number + 8), 1, 2))
        lost += house.crash(point, nth) and point == "before 2 cache"
        check_whole(house.snapshot())
    house.sync()
    house.check()
    assert sum(house.embedder.paid_twice.values()) <= 2 * 8 * lost


def test_readers_see_only_whole_documents_between_all_commits(house):
    """At every point of a pass with several windows, a reader that is held open and a new one."""
    held = house.reader()
    seen = []

    def look(point):
        held.with_snapshot(check_whole)
        check_whole(house.snapshot())
        seen.append(point)

    change_everything(house)
    with watched(look):
        house.sync()
    assert {point.split(" ", 1)[1] for point in seen} == set(COMMITS)


def test_an_outage_in_the_second_batch_keeps_the_first(house):
    house.write("long.md", paragraphs(*range(100, 120)))

    def fail_later():
        house.embedder.is_down = len(house.embedder.batches) > start

    start = len(house.embedder.batches)
    house.embedder.before_batch = fail_later
    with pytest.raises(Exception, match="the model fails on every text"):
        house.sync()
    check_whole(house.snapshot())
    assert not house.open_jobs()
    house.embedder.before_batch = lambda: None
    house.embedder.is_down = False
    house.sync()
    house.check()
    check_paid_once(house)


def test_an_outage_during_a_small_edit_is_tried_again(house):
    house.write("d0.md", paragraphs(0, 200, 2, 3))
    house.embedder.is_down = True
    try:
        house.sync()
    except Exception as error:
        assert "down" in str(error)
    house.embedder.is_down = False
    assert house.sync().documents.failed == 0
    house.check()


def test_a_refused_text_fails_its_document_alone(house):
    bad = paragraphs(300).strip()
    house.embedder.refuses = {bad}
    house.write("d0.md", paragraphs(0, 301, 300, 302, 303))
    house.write("good.md", paragraphs(*range(304, 309)))
    report = house.sync()
    assert report.documents.failed == 1
    assert report.documents.added == 1
    check_whole(house.snapshot())
    assert house.verify().ok
    assert house.verify().failed == 1
    assert house.sync().documents.failed == 1
    house.embedder.refuses = set()
    house.write("d0.md", paragraphs(0, 301, 300, 302))
    assert house.sync().documents.failed == 0
    house.check()
    check_paid_once(house)


def test_counts_are_never_negative(house):
    house.embedder.refuses = {paragraphs(300).strip()}
    house.write("d0.md", paragraphs(301, 302, 303, 300, 304))
    assert house.sync().chunks.reused >= 0


def test_a_rename_to_a_format_that_fails(house):
    (house.docs / "d1.md").rename(house.docs / "d1.ipynb")
    report = house.sync()
    assert report.documents.failed == 1
    found = house.verify()
    assert found.ok, found
