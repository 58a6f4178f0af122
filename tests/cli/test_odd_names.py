"""Names of files that mean something to shells, SQL, globs, terminals and options, through every command."""

import os
from types import SimpleNamespace

import pytest

from doubles import House
from processes import CONFIG, Place
from reindex.cli.job_commands import _say_job
from reindex.cli.output import printable
from reindex.document_status import document_status
from reindex.search import SearchMode
from reindex.stores.snapshot import Filter

NAMES = [
    *(b"'single'", b'"double"', b"two\nlines", b"tab\there", b"back\\slash", b"\\n", b"per%cent %s %00"),
    *(b"st*r", b"q?", b"[br]ack[et", b"{a,b}~!#^=+@", b" spaced ", b"-rf", b"--config", b"$(id)`id`;&|<>"),
    *(b"raw\xff\xfe", b"esc\x1b[31mred\x07\x1b]0;title\x07", b"\x01\x7f", b"cr\rover", b"...", b"..%2f.."),
    *(b"..\\up", b"C:drive", b"docs:inside", b"a" * 251, b"x' OR '1'='1", b"'; DROP TABLE documents; --"),
    *("emoji \U0001f600", "rtl\u202egnp", "zero\u200bwidth", "nel\x85", "line\u2028separator", "日本語"),
    *("caf\u00e9", "cafe\u0301", "_under%like", "\ufeffmark"),
]
PATHS = [os.fsdecode(name) + ".md" for name in NAMES]
FOLDER = os.fsdecode(b'di\'r "q"\n\xff/s*b')
INSIDE = f"{FOLDER}/inner.md"
BROKEN = "bad\n\x1b[2Jfailed: docs:'\".md"


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of odd names, after one sync whose output is text."""
    place = Place(tmp_path_factory.mktemp("odd"))
    (place.folder / "docs").mkdir()
    (place.folder / "config.toml").write_text(CONFIG)
    for number, path in enumerate([*PATHS, INSIDE]):
        place.write(path, f"# Odd\n\nThe odd name number{number} is kept as it is.\n")
    place.write(BROKEN, b"a NUL \0 in it")
    answer = place.run("sync")
    house = House(place.folder, data_dir=place.folder / ".reindex")
    return SimpleNamespace(place=place, sync=answer, house=house)


def check_shown(answer):
    """Whatever the names are: no line of output is theirs, and no control character reaches the terminal."""
    for text in (answer.out, answer.err):
        assert all(line.isprintable() for line in text.split("\n")), text
        assert "\nfailed: docs:'\"" not in text


def test_sync_verify_and_plan(odd):
    assert odd.sync.code == 5
    check_shown(odd.sync)
    assert "failed: docs:bad\\n\\x1b[2Jfailed: docs:'\".md: binary content" in odd.sync.err
    verified = odd.place.run("verify", "--deep", "--json")
    assert (verified.code, verified.json["ok"], verified.json["documents"]) == (5, True, len(PATHS) + 1)
    planned = odd.place.run("plan", "--json").json["documents"]
    assert (planned["unchanged"], planned["added"], planned["deleted"]) == (len(PATHS) + 1, 0, 0)
    check_shown(odd.place.run("status"))


def test_every_name_is_found_by_every_filter(odd):
    reader = odd.house.reader()
    for number, path in enumerate([*PATHS, INSIDE]):
        for chosen in (Filter(None, path), Filter("docs", path), Filter("docs", path[:-4])):
            hits = reader.search(f"number{number}", 50, SearchMode.TEXT, chosen).hits
            assert path in {hit.path for hit in hits}, (path, chosen)
            assert all(hit.path.startswith(chosen.path_prefix) for hit in hits)
        assert not reader.search("odd", 50, SearchMode.TEXT, Filter(path, None)).hits
        assert not reader.search("odd", 50, SearchMode.TEXT, Filter(None, path + "'")).hits


def test_the_status_of_every_name(odd):
    for path in [*PATHS, INSIDE]:
        for argument in (f"docs:{path}", str(odd.house.docs / path)):
            assert document_status(odd.house.app, argument).state == "indexed", argument
    assert document_status(odd.house.app, f"docs:{BROKEN}").state == "failed"


@pytest.mark.parametrize("path", ["two\nlines.md", INSIDE])
def test_names_as_arguments(odd, path):
    answer = odd.place.run("status", "--json", f"docs/{path}")
    assert (answer.json["path"], answer.json["state"]) == (path, "indexed")
    check_shown(odd.place.run("status", f"docs/{path}"))
    hits = odd.place.run("query", "odd", "--mode", "text", "--json", f"--path-prefix={path}").json["hits"]
    assert [hit["path"] for hit in hits] == [path]


def test_names_in_the_text_of_commands(odd):
    answer = odd.place.run("query", "odd", "-k", "100", "--mode", "text")
    check_shown(answer)
    assert answer.out.count("docs/") == len(PATHS) + 1
    assert "docs/two\\nlines.md:1-3" in answer.out
    assert "docs/raw\\xff\\xfe.md:1-3" in answer.out
    wrong = odd.place.run("status", "/nowhere/\x1b[31m\nok")
    assert wrong.code == 2
    check_shown(wrong)


def test_a_broken_document_of_an_odd_name(odd):
    letters = odd.place.run("jobs", "list", "--json").json["dead_letters"]
    assert [letter["path"] for letter in letters] == [BROKEN]
    for command in (["jobs"], ["jobs", "show", letters[0]["id"]], ["jobs", "retry", letters[0]["id"]]):
        answer = odd.place.run(*command)
        assert answer.code == 0
        check_shown(answer)
    assert odd.place.run("sync", "--json").json["documents"]["failed"] == 1
    assert odd.place.run("gc", "--json").code == 0


def test_what_is_printed():
    assert printable("plain é 日本 \U0001f600") == "plain é 日本 \U0001f600"
    assert printable("a\nb\tc\x1b[0m\x9b\u202e") == "a\\nb\\tc\\x1b[0m\\x9b\\u202e"
    assert printable("\udcff \ud800") == "\\xff \\ud800"


def test_a_job_is_shown_in_plain_lines(capsys):
    batch = {"id": None, "completed": 3, "cancelling": False}
    _say_job({"id": "7", "usd": 6e-6, "reason": "", "batch": batch, "keys": ["aa", "bb"]})
    assert capsys.readouterr().out.splitlines() == [
        *("id: 7", "usd: $0.0000060", "reason: -"),
        *("batch:", "  id: -", "  completed: 3", "  cancelling: no"),
        *("keys: 2", "  aa", "  bb"),
    ]
