"""Which document a path stands for."""

import os

import pytest

from reindex.errors import ConfigError
from reindex.locating import locate


@pytest.fixture
def roots(tmp_path, monkeypatch):
    """`notes` lies in a folder of another name, `docs` in one of its own; one is in neither."""
    for path in ("elsewhere/a.md", "elsewhere/sub/b.md", "docs/c.md", "docs/notes/a.md", "here/x"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    monkeypatch.chdir(tmp_path)
    return {"notes": tmp_path / "elsewhere", "docs": tmp_path / "docs"}


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("notes/a.md", "notes:a.md"),  # as a query prints it
        ("notes/sub/b.md", "notes:sub/b.md"),
        ("notes/gone.md", "notes:gone.md"),
        ("notes:a.md", "notes:a.md"),
        ("elsewhere/a.md", "notes:a.md"),
        ("docs/c.md", "docs:c.md"),
        ("docs/gone.md", "docs:gone.md"),
        ("docs", "docs:."),
        ("elsewhere/", "notes:."),
        ("c.md", "docs:c.md"),
        ("docs/notes/a.md", "docs:notes/a.md"),
    ],
)
def test_what_a_path_stands_for(roots, argument, found):
    assert str(locate(roots, argument)) == found
    assert str(locate(roots, found)) == found


def test_a_file_that_is_there_as_given_comes_first(roots, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "docs")
    assert str(locate(roots, "notes/a.md")) == "docs:notes/a.md"
    os.remove("notes/a.md")
    assert str(locate(roots, "notes/a.md")) == "notes:a.md"


def test_a_path_in_no_source(roots):
    for argument in ("here/x", "/etc/passwd"):
        with pytest.raises(ConfigError, match="in none of the sources"):
            locate(roots, argument)
