"""A new generation beside the live one: whole, proved, switched to, and gone back from."""

import shutil
from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import pytest

from doubles import Crash, House, check_whole, contents, crash_at, paragraphs
from reindex import building
from reindex.browsing import compare_generations, search_generation
from reindex.errors import ConfigError, DiskError, EmbeddingError, ModelError
from reindex.model import DocumentName
from reindex.rebuilding import RebuildOptions, abandon, rebuild
from reindex.search import SearchMode
from reindex.settings import ChunkingSettings
from reindex.stores.manifests import table_folder, tables_on_disk
from reindex.stores.snapshot import Filter
from reindex.switching import drop


@pytest.fixture
def house(tmp_path):
    """A store that was synced once: six documents that share paragraphs."""
    house = House(tmp_path)
    for number in range(6):
        house.write(f"d{number}.md", paragraphs(*range(number, number + 4)))
    house.sync()
    return house


def recipe_of(house):
    return house.published().recipe


def texts_sent(house):
    return sum(house.embedder.sent.values())


def check_equals_one_from_nothing(house, tmp_path):
    other = House(tmp_path / "nothing", docs=house.docs, data_dir=tmp_path / "nothing" / "index")
    other.settings = replace(house.settings, data_dir=other.data_dir)
    other.sync()
    assert contents(house.snapshot()) == contents(other.snapshot())


def test_the_same_recipe_costs_nothing_and_makes_the_same_index(house, tmp_path):
    before = contents(house.snapshot())
    sent = texts_sent(house)
    report = house.rebuild()
    assert (report.from_generation, report.generation, report.promoted) == (1, 2, True)
    assert report.gate.passed
    assert (report.gate.documents, report.gate.self_retrieval) == (6, 1.0)
    assert texts_sent(house) == sent
    assert report.work.tokens_embedded == 0
    assert contents(house.snapshot()) == before
    assert house.states() == {1: "retired", 2: "live"}
    house.check()
    assert house.sync().commits == 0


def test_other_dimensions_and_other_chunks(house, tmp_path):
    house.with_dimensions(16).rebuild()
    assert recipe_of(house).space.dimensions == 16
    check_equals_one_from_nothing(house, tmp_path)
    house.settings = replace(house.settings, chunking=ChunkingSettings(max_tokens=24))
    house.rebuild()
    house.check()
    assert house.states() == {1: "retired", 2: "retired", 3: "live"}
    check_equals_one_from_nothing(house, tmp_path / "again")


def test_nothing_live_is_a_first_load(tmp_path):
    house = House(tmp_path)
    house.write("a.md", paragraphs(1, 2))
    report = house.rebuild()
    assert (report.from_generation, report.generation, report.promoted) == (None, 1, True)
    house.check()


def test_edits_meanwhile_are_published_and_go_to_both(house, tmp_path):
    """Each batch is an occasion: with no time between two passes, an edit is there some batches later."""
    seen = []
    edits = iter(range(32))

    def edit_and_look():
        number = next(edits, None)
        if number is None:
            return
        house.write(f"edited{number}.md", paragraphs(200 + number))
        found = {name.path for name in contents(house.snapshot())[0]}
        seen.append((house.published().generation, number < 8 or f"edited{number - 8}.md" in found))

    house.with_dimensions(16)
    house.embedder.before_batch = edit_and_look
    with mock.patch.object(building, "LIVE_EVERY_S", 0.0), mock.patch.object(building, "LIVE_SHARE", 0.0):
        report = house.rebuild()
    house.embedder.before_batch = lambda: None
    assert report.promoted
    assert len(seen) > 16
    assert all(is_there for _, is_there in seen)
    assert {generation for generation, _ in seen} == {1}
    house.sync()
    house.check()
    check_equals_one_from_nothing(house, tmp_path)


def test_it_goes_on_where_it_was(house):
    house.with_dimensions(16)
    for nth in (1, 2):
        with crash_at("after 4 record", nth), pytest.raises(Crash):
            house.rebuild()
        assert house.published().generation == 1
        check_whole(house.snapshot())
    assert "is not done" in " ".join(house.sync().notices)
    report = house.rebuild()
    assert (report.generation, report.promoted) == (2, True)
    assert not house.embedder.paid_twice
    house.check()


def test_one_that_was_begun_by_another_recipe_is_dropped(house):
    house.with_dimensions(16)
    with crash_at("after 4 record"), pytest.raises(Crash):
        house.rebuild()
    report = house.with_dimensions(8).rebuild()
    assert (report.generation, report.promoted) == (3, True)
    assert any("generation 2" in warning and "dropped" in warning for warning in house.told.warnings)
    assert house.states() == {1: "retired", 2: "dropped", 3: "live"}
    assert tables_on_disk(house.data_dir) == ["g1", "g3"]


def test_abandon(house):
    house.with_dimensions(16)
    assert abandon(house.app, house.told) is None
    with crash_at("after 4 record"), pytest.raises(Crash):
        house.rebuild()
    assert abandon(house.app, house.told) == 2
    assert house.states() == {1: "live", 2: "dropped"}
    assert tables_on_disk(house.data_dir) == ["g1"]
    assert house.rebuild().generation == 3


def test_no_promote_and_then_promote(house):
    house.with_dimensions(16)
    report = house.rebuild(promotes=False)
    assert not report.promoted
    assert report.gate.passed
    assert not report.is_refused
    assert house.states() == {1: "live", 2: "ready"}
    house.write("late.md", paragraphs(90))
    report = house.promote(2)
    assert report.promoted
    house.check()
    assert DocumentName("docs", "late.md") in contents(house.snapshot())[0]


def test_fresh_embeds_everything_again_once(house):
    first = dict(house.embedder.sent)
    with crash_at("after 2 cache", nth=2), pytest.raises(Crash):
        house.rebuild(fresh=True)
    report = house.rebuild(fresh=True)
    assert report.generation == 2
    assert house.embedder.sent == {text: count + 1 for text, count in first.items()}
    house.check()
    sent = texts_sent(house)
    assert house.rebuild().promoted
    assert texts_sent(house) == sent


def test_the_live_ones_model_is_gone(house):
    """Why somebody rebuilds: edits wait for the new generation, and nothing else fails."""
    house.write("edit.md", paragraphs(95))
    plain = house.app.embedder_for

    def for_recipe(recipe):
        if recipe.space.dimensions == 384:
            raise ModelError("the old model is gone")
        return plain(recipe)

    house.with_dimensions(16)
    app = replace(house.app, embedder_for=for_recipe)
    report = rebuild(app, house.told, RebuildOptions())
    assert report.promoted
    assert sum("the old model is gone" in warning for warning in house.told.warnings) == 1
    house.check()
    assert DocumentName("docs", "edit.md") in contents(house.snapshot())[0]


class TestTheGate:
    def test_a_document_that_fails_only_in_the_new_one_refuses(self, house):
        refused = paragraphs(300).strip()
        house.write("odd.md", refused)
        house.sync()
        house.embedder.refuses = frozenset({refused})
        report = house.with_dimensions(16).rebuild()
        assert report.is_refused
        assert any("odd.md" in reason and "refused" in reason for reason in report.gate.refusals)
        assert house.states() == {1: "live", 2: "ready"}
        assert report.work.documents.failed == 0  # the live one has it
        assert house.promote(2).is_refused
        forced = house.promote(2, force=True)
        assert forced.promoted
        assert not forced.is_refused
        report = house.sync()
        assert report.documents.failed == 1

    def test_a_document_that_fails_in_both_does_not(self, house):
        house.write("broken.md", b"a NUL \0 in it")
        house.sync()
        report = house.with_dimensions(16).rebuild()
        assert report.promoted
        assert any("broken.md" in notice for notice in report.gate.notices)
        assert report.work.documents.failed == 1

    def test_held_deletions_refuse(self, house):
        house.docs.rename(house.docs.with_name("away"))
        house.docs.mkdir()
        report = house.with_dimensions(16).rebuild()
        assert report.is_refused
        assert any("6 deletions are held" in reason for reason in report.gate.refusals)
        house.docs.rmdir()
        house.docs.with_name("away").rename(house.docs)
        assert house.rebuild().promoted
        house.check()

    def test_recall_on_the_probes(self, house):
        words = paragraphs(5).split()
        house.with_probes(
            f'[[probe]]\nquery = "{" ".join(words[3:9])}"\ndocuments = ["d2.md", "docs:d3.md", "lost.md"]\n',
            min_recall=0.5,
        )
        report = house.with_dimensions(16).rebuild()
        assert report.gate.probes == 1
        assert report.gate.recall is not None
        assert report.gate.overlap is not None
        assert any("lost.md" in notice for notice in report.gate.notices)
        house.with_probes('[[probe]]\nquery = "meadow"\ndocuments = ["lost.md"]\n', min_recall=0.5)
        report = house.with_dimensions(8).rebuild()
        assert report.is_refused
        assert any("min_recall" in reason for reason in report.gate.refusals)

    @pytest.mark.parametrize(
        "text",
        ["", "[[probe]]", '[[probe]]\nquery = "a"', 'query = ["a"', '[[probe]]\ndocuments = ["a"]'],
    )
    def test_a_wrong_probe_file_is_told_before_anything_is_done(self, house, text):
        house.with_probes(text)
        with pytest.raises(ConfigError, match="probe"):
            house.with_dimensions(16).rebuild()
        assert house.states() == {1: "live"}

    def test_a_row_that_lost_its_vector_refuses(self, house):
        house.with_dimensions(16).rebuild(promotes=False)
        with mock.patch("reindex.gate.vectors_unlike_the_cache", lambda *_: ["a row"]):
            report = house.promote(2)
        assert report.is_refused
        assert house.published().generation == 1


class TestRollback:
    def test_at_once_and_then_it_catches_up(self, house):
        house.with_dimensions(16).rebuild()
        house.write("d0.md", paragraphs(70, 71))
        house.write("new.md", paragraphs(72))
        (house.docs / "d5.md").unlink()
        house.sync()
        seen = []

        def look():
            found = house.reader().search("meadow", mode=SearchMode.TEXT)
            seen.append((found.generation, found.behind and found.behind.documents))

        house.embedder.before_batch = look
        report = house.rollback()
        house.embedder.before_batch = lambda: None
        assert seen[0] == (2, None)  # the model is tried before the pointer moves
        assert len(seen) > 1
        assert set(seen[1:]) == {(1, 3)}
        assert (report.from_generation, report.generation) == (2, 1)
        assert recipe_of(house).space.dimensions == 384
        assert house.reader().search("meadow", mode=SearchMode.TEXT).behind is None
        assert house.states() == {1: "live", 2: "retired"}
        house.check()
        assert house.rollback().generation == 2
        house.check()

    def test_an_outage_leaves_it_behind_and_says_so(self, house):
        house.with_dimensions(16).rebuild()
        house.write("new.md", paragraphs(72))
        house.sync()
        house.embedder.is_down = True
        with pytest.raises(ModelError, match="words alone"):
            house.rollback()
        assert house.published().generation == 2
        with pytest.raises(EmbeddingError):
            house.rollback(force=True)
        assert house.published().generation == 1
        assert house.published().behind.documents == 1
        house.embedder.is_down = False
        house.sync()
        assert house.published().behind is None
        house.check()

    def test_without_an_earlier_generation(self, house):
        with pytest.raises(ConfigError, match="no earlier generation"):
            house.rollback()


class TestGarbage:
    def test_kept_generations_and_the_readers_grace(self, house):
        for dimensions in (16, 8, 4):
            house.with_dimensions(dimensions).rebuild()
        reader = house.reader()
        house.collect_garbage()
        assert tables_on_disk(house.data_dir) == ["g1", "g2", "g3", "g4"]
        house.clock.ahead_s += 3600
        report = house.collect_garbage()
        assert report.tables_removed == 2
        assert tables_on_disk(house.data_dir) == ["g3", "g4"]
        assert house.states() == {1: "dropped", 2: "dropped", 3: "retired", 4: "live"}
        check_whole(reader.with_snapshot(lambda snapshot: snapshot))
        house.rollback()
        house.check()

    def test_drop(self, house):
        house.with_dimensions(16).rebuild()
        with pytest.raises(ConfigError, match="is searched"):
            drop(house.app, house.told, 2)
        drop(house.app, house.told, 1)
        assert tables_on_disk(house.data_dir) == ["g1", "g2"]  # a reader may still be on it
        house.clock.ahead_s += 3600
        house.collect_garbage()
        assert tables_on_disk(house.data_dir) == ["g2"]
        with pytest.raises(ConfigError):
            house.rollback()

    def test_a_reader_on_a_removed_table_follows_the_pointer(self, house):
        reader = house.reader()
        reader.search("meadow", mode=SearchMode.TEXT)
        house.with_dimensions(16).rebuild()
        shutil.rmtree(house.data_dir / table_folder("g1"))
        found = reader.search("meadow", mode=SearchMode.TEXT)
        assert (found.generation, bool(found.hits)) == (2, True)


class TestDamage:
    def test_a_deleted_live_table_is_made_again_by_its_own_recipe(self, house):
        before = contents(house.snapshot())
        sent = texts_sent(house)
        house.with_dimensions(16)
        shutil.rmtree(house.data_dir / table_folder("g1"))
        report = house.sync()
        assert texts_sent(house) == sent
        assert contents(house.snapshot()) == before
        assert any("is missing or broken" in warning for warning in house.told.warnings)
        assert any("`reindex rebuild`" in notice for notice in report.notices)

    def test_and_the_half_that_was_begun_beside_it_is_not_taken_for_it(self, house):
        house.with_dimensions(16)
        with crash_at("after 4 record"), pytest.raises(Crash):
            house.rebuild()
        shutil.rmtree(house.data_dir / table_folder("g1"))
        sent = texts_sent(house)
        house.sync()
        assert texts_sent(house) == sent
        assert recipe_of(house).space.dimensions == 384
        assert house.states() == {1: "lost", 2: "dropped", 3: "live"}
        house.check()

    def test_a_deleted_table_that_was_begun_is_begun_anew(self, house):
        house.with_dimensions(16)
        with crash_at("after 4 record", nth=2), pytest.raises(Crash):
            house.rebuild()
        shutil.rmtree(house.data_dir / table_folder("g2"))
        report = house.rebuild()
        assert (report.generation, report.promoted) == (3, True)
        assert not house.embedder.paid_twice
        house.check()

    def test_a_lost_cache_is_filled_from_every_generation(self, house):
        house.with_dimensions(16).rebuild()
        for path in house.data_dir.glob("cache.sqlite*"):
            path.unlink()
        sent = texts_sent(house)
        house.sync()
        house.rebuild()
        assert house.rollback().generation == 2
        house.with_dimensions(0).rebuild()
        assert texts_sent(house) == sent
        house.check()

    def test_a_lost_cache_keeps_what_was_made_afresh(self, house):
        """A renamed document's rows are new, and their vectors are not."""
        house.rebuild(fresh=True)
        for path in house.data_dir.glob("cache.sqlite*"):
            path.unlink()
        sent = texts_sent(house)
        (house.docs / "d0.md").rename(house.docs / "renamed.md")
        house.sync()
        assert texts_sent(house) == sent
        house.check()

    def test_no_room_for_a_second_table(self, house):
        usage = SimpleNamespace(free=1000)
        with mock.patch("shutil.disk_usage", return_value=usage), pytest.raises(DiskError, match="MB free"):
            house.with_dimensions(16).rebuild()
        assert house.states() == {1: "live"}


def test_reading_another_generation(house):
    house.with_dimensions(16).rebuild(promotes=False)
    found = search_generation(house.app, 2, "meadow", 5, SearchMode.HYBRID, Filter())
    assert found.generation == 2
    with pytest.raises(ConfigError, match="no generation 7"):
        search_generation(house.app, 7, "meadow", 5, SearchMode.HYBRID, Filter())
    difference = compare_generations(house.app, 1, 2, ["meadow", "lantern"])
    assert len(difference.questions) == 2
    assert 0 <= difference.overlap <= 1
    with pytest.raises(ConfigError, match="nothing to ask"):
        compare_generations(house.app, 1, 2, [])


def test_unknown_things(house):
    with pytest.raises(ModelError):
        house.rebuild(model="no-such-model")
    with pytest.raises(ConfigError, match="no model of OpenAI"):
        house.rebuild(provider="openai")
    with pytest.raises(ConfigError, match="gives 384"):
        house.with_dimensions(4000).rebuild()
    for number in (1, 5):
        with pytest.raises(ConfigError):
            house.promote(number)
    assert house.states() == {1: "live"}
