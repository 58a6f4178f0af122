"""Folders for commands to run in."""

import contextlib
import io
import shutil
import sys

import pytest

from daemon_place import make_place
from doubles import HashEmbedder, paragraphs
from processes import CONFIG, ODD_NAMES, Answer, Place
from reindex.app import App
from reindex.cli import main
from stand_in import daemon_standing_in


@pytest.fixture
def empty_place(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "config.toml").write_text(CONFIG)
    return Place(tmp_path)


@pytest.fixture(scope="session")
def _indexed_folder(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("indexed"))
    (place.folder / "docs").mkdir()
    (place.folder / "config.toml").write_text(CONFIG)
    place.write("guide/harbour.md", "# Harbour\n\n## Lanterns\n\n" + paragraphs(1, 2, 3))
    place.write("guide/orchard.txt", paragraphs(4, 5))
    for number, name in enumerate(ODD_NAMES):
        place.write(name, f"# Odd\n\nThe odd name number{number} is kept as it is.\n")
    place.write("broken.md", b"a NUL \0 in it")
    place.write("secret/key.md", "hidden")
    place.write(".gitignore", "secret/\n")
    place.write("picture.png", b"\x89PNG")
    place.first_sync = place.run("sync", "--json")
    return place


@pytest.fixture
def place(_indexed_folder, tmp_path):
    """A copy of a folder that was indexed once: nine documents, one of them broken."""
    shutil.copytree(_indexed_folder.folder, tmp_path / "copy", symlinks=True)
    copy = Place(tmp_path / "copy")
    copy.first_sync = _indexed_folder.first_sync
    return copy


@pytest.fixture
def daemon_place(tmp_path):
    """A folder whose daemon is killed with the test, if it still runs."""
    made = make_place(tmp_path / "a place's 100 %")
    yield made
    made.kill()


@pytest.fixture
def shell(place, monkeypatch):
    """Runs commands inside this process, in a folder that is indexed."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr(main, "make_light", lambda: None)  # the other tests want LanceDB whole
    monkeypatch.setattr(App, "embedder", lambda _, recipe, *__: HashEmbedder().for_recipe(recipe))
    return Shell(place)


class Shell:
    def __init__(self, place):
        self.place = place
        self.data_dir = place.folder / ".reindex"

    def run(self, *arguments):
        out, err, code = io.StringIO(), io.StringIO(), 0
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.MonkeyPatch.context() as m,
        ):
            m.setattr(sys, "argv", ["reindex", *arguments])
            try:
                main.main()
            except SystemExit as ending:
                code = int(ending.code or 0)
        return Answer(code, out.getvalue(), err.getvalue())

    def run_by_daemon_only(self, *arguments):
        """Whatever is done here fails."""
        with pytest.MonkeyPatch.context() as m:
            m.setattr("reindex.app.App", None)
            return self.run(*arguments)

    def daemon(self, **how):
        return daemon_standing_in(self.data_dir, **how)
