"""Nothing is passed over in silence, and what is said is so: findings of people who attacked the product."""

import shutil
from dataclasses import replace

import pytest

from doubles import House, Told, paragraphs
from reindex.document_status import DocumentState, document_status
from reindex.embedders.catalog import ModelCatalog, recipe_for
from reindex.embedders.local import LocalEmbedder, LocalOptions
from reindex.errors import ConfigError, ModelError
from reindex.planning import make_plan
from reindex.search import SearchMode
from reindex.settings import ChunkingSettings, Settings
from reindex.sources.walk import IGNORE_FILE_BYTES_MAX
from reindex.status import store_status


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def with_chunks_of(house, max_tokens):
    house.settings = replace(house.settings, chunking=ChunkingSettings(max_tokens=max_tokens))


def test_a_load_that_was_never_published_does_not_fix_the_recipe(house):
    house.write("a.md", paragraphs(*range(12)))
    assert house.crash("after 2 cache")
    with_chunks_of(house, 64)
    planned = make_plan(house.app, Told())
    report = house.sync()
    assert not any("another recipe" in notice for notice in report.notices)
    assert report.generation == 2
    assert (report.chunks.total, planned.added) == (report.chunks.embedded + report.chunks.reused, 1)
    house.check()
    assert house.published().recipe.max_tokens == 64


def test_another_recipe_is_said_by_status_and_sync_and_changes_nothing(house):
    house.write("a.md", paragraphs(*range(6)))
    house.sync()
    with_chunks_of(house, 64)
    report = house.sync()
    assert report.commits == 0
    assert any("another recipe" in notice for notice in report.notices)
    assert any("another recipe" in reason for reason in store_status(house.app).reasons)
    house.write("a.md", paragraphs(*range(7)))
    house.sync()
    assert house.published().recipe.max_tokens == 32
    assert house.verify().ok


def test_a_folder_that_can_not_be_listed_is_a_failure_also_at_first(house):
    house.write("a.md", paragraphs(1))
    house.write("closed/b.md", paragraphs(2))
    house.write("closed/.gitignore", "#" * (IGNORE_FILE_BYTES_MAX + 1))
    report = house.sync()
    assert report.documents.failed == 1
    assert "closed" in next(iter(report.failures))
    assert store_status(house.app).state == "degraded"
    (house.docs / "closed/.gitignore").unlink()
    report = house.sync()
    assert (report.documents.failed, report.documents.added) == (0, 1)


def test_deletions_that_no_run_held_are_drift(house):
    for number in range(120):
        house.write(f"d{number}.md", paragraphs(number % 5))
    house.sync()
    for number in range(110):
        (house.docs / f"d{number}.md").unlink()
    assert (house.verify().extra, house.verify().held) == (110, 0)
    assert house.sync().documents.held == 110
    assert (house.verify().extra, house.verify().held) == (0, 110)


def test_a_document_that_is_ignored_and_held_says_so(house):
    for number in range(120):
        house.write(f"out/d{number}.md", paragraphs(number % 5))
    house.sync()
    house.write(".gitignore", "out/\n")
    assert house.sync().documents.held == 120
    found = document_status(house.app, "docs:out/d1.md")
    assert found.state is DocumentState.HELD
    assert "out/" in found.reason
    assert "--accept-deletes" in found.reason
    assert document_status(house.app, "docs:out").reason


def test_damaged_weights_are_a_clear_error(tmp_path):
    catalog = ModelCatalog(tmp_path)
    copy = tmp_path / "model"
    shutil.copytree(catalog.find("all-MiniLM-L6-v2").directory, copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    space = recipe_for(Settings(), catalog).space
    with pytest.raises(ModelError, match="can't be loaded"):
        LocalEmbedder(catalog.find(str(copy)), space, LocalOptions(tmp_path)).embed(["text"])


@pytest.mark.parametrize("text", ["caf\udcff dessert", "\ud800", "a\0b", "\n"])
def test_any_query_is_answered(house, text):
    house.write("a.md", "café dessert\n")
    house.sync()
    for mode in SearchMode:
        house.reader().search(text, mode=mode)


@pytest.mark.parametrize("k", [0, -1])
def test_at_least_one_hit_must_be_asked_for(house, k):
    house.write("a.md", paragraphs(1))
    house.sync()
    with pytest.raises(ConfigError):
        house.reader().search("anything", k=k)


def test_a_failed_document_whose_source_vanishes_is_held_and_not_failed(house):
    """Its newer revision failed, then the folder went: what is on no disk fails at no revision."""
    house.write("a.md", paragraphs(1))
    house.sync()
    house.write("a.md", b"a NUL \0 in it")
    assert house.sync().documents.failed == 1
    aside = house.docs.rename(house.docs.with_name("aside"))
    report, found = house.sync(), house.verify()
    assert (report.documents.failed, report.documents.held) == (0, 1)
    assert (found.failed, found.held) == (0, 1)
    aside.rename(house.docs)
    report, found = house.sync(), house.verify()
    assert (report.documents.failed, report.documents.held) == (1, 0)
    assert (found.failed, found.held) == (1, 0)
