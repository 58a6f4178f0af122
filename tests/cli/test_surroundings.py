"""Commands where the place that they are given in lacks something: its folder, a stream, an encoding."""

import subprocess
import sys

import pytest

from processes import DOUBLE, LIMIT_S

MAIN = "from reindex.cli.main import main; main()"


@pytest.fixture
def gone(place, tmp_path):
    """Runs a command in a folder that is deleted under it."""
    (tmp_path / "gone").mkdir()
    code = (
        f"import os, runpy, sys\nsys.path.insert(0, {str(DOUBLE.parent)!r})\nos.rmdir(os.getcwd())\n"
        f"sys.argv[0] = {str(DOUBLE)!r}\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    )

    def run(*arguments):
        (tmp_path / "gone").mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path / "gone",
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def test_absolute_paths_need_no_current_directory(place, gone):
    given = ("--config", str(place.folder / "config.toml"), "--data-dir", str(place.folder / ".reindex"))
    assert gone("query", "lantern", "--mode", "text", *given).returncode == 0
    shown = gone("status", str(place.folder / "docs/guide/harbour.md"), *given)
    assert shown.stdout.startswith("guide/harbour.md: indexed"), shown
    assert gone("sync", *given).returncode == 5


@pytest.mark.parametrize("arguments", [["status"], ["stop", "--data-dir", "x"]], ids=" ".join)
def test_a_current_directory_that_is_gone_is_said(gone, arguments):
    done = gone(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: the current directory is gone" in done.stderr


def test_a_relative_path_without_a_current_directory(place, gone):
    done = gone("status", "harbour.md", "--config", str(place.folder / "config.toml"))
    assert done.returncode == 2
    assert "the current directory is gone" in done.stderr


@pytest.mark.parametrize(
    ("closed", "command", "code"),
    [(">&-", "query lantern --mode text", 0), ("<&- >&- 2>&-", "sync", 5)],
)
def test_closed_streams(place, closed, command, code):
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, DOUBLE, *command.split()],
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert place.run("status").code == 0


def test_what_the_encoding_of_stdout_lacks_is_escaped(place):
    place.environment["PYTHONIOENCODING"] = "ascii"
    answer = place.run("query", "odd", "-k", "50", "--mode", "text")
    assert answer.code == 0
    assert r"\u65e5\u672c\u8a9e.md" in answer.out


def test_an_interrupt_among_the_imports(tmp_path):
    code = (
        "import os, signal, sys\n"
        "class Early:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'reindex.cli.verbs':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Early())\n" + MAIN
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "status"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 130
    assert done.stderr.startswith("interrupted") and "Traceback" not in done.stderr
