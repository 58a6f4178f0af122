"""Ignore rules on real trees, with git as the oracle for what an ignore file means."""

import os
import random
import time

import pytest

from reindex.errors import ConfigError
from reindex.sources.files import FileSource
from reindex.sources.ignore import DEFAULT_RULES, IgnoreRules
from reindex.sources.rules import Ruleset

KNOWN = frozenset({".md", ".txt", ".pdf"})


def source(root, *, include=(), exclude=()):
    return FileSource(
        name="s",
        root=root,
        include=list(include),
        exclude=list(exclude),
        max_file_mb=1,
        data_dir=root / ".reindex",
        known_suffixes=KNOWN,
        known_names=frozenset({"README", "Makefile"}),
    )


def fill(root, *paths, **ignore_files):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")


def found(root, **globs):
    """What a scan takes, after checking that explain() tells the same story about every path on disk."""
    files = source(root, **globs)
    taken = set(files.scan().files)
    on_disk = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert {path for path in on_disk if files.explain(path) is None} == taken
    return taken


def reason(root, path, **globs):
    ignored = source(root, **globs).explain(path)
    return None if ignored is None else ignored.reason


# Ignore files (test_ignore_git.py compares them with git)


def test_a_question_mark_is_one_character_of_any_script(tmp_path):
    fill(tmp_path, "é.md", "東.md", "東京.md", "ö.txt")
    (tmp_path / ".gitignore").write_text("?.md\nö*\n", encoding="utf-8")
    assert found(tmp_path) == {"東京.md"}


def test_the_deeper_file_wins_and_a_parent_stays_excluded(tmp_path):
    fill(tmp_path, "a.md", "keep.md", "sub/a.md", "sub/keep.md", "build2/keep.md")
    (tmp_path / ".gitignore").write_text("*.md\n!keep.md\nbuild2/\n")
    (tmp_path / "sub" / ".gitignore").write_text("!a.md\nkeep.md\n")
    (tmp_path / "build2" / ".gitignore").write_text("!keep.md\n")
    assert found(tmp_path) == {"keep.md", "sub/a.md"}
    assert reason(tmp_path, "a.md") == ".gitignore:1: *.md"
    assert reason(tmp_path, "sub/keep.md") == "sub/.gitignore:2: keep.md"
    assert reason(tmp_path, "build2/keep.md") == ".gitignore:3: build2/"


def test_reindexignore_wins_over_gitignore_of_the_same_folder(tmp_path):
    fill(tmp_path, "data/a.md", "data/drafts/b.md", "c.md")
    (tmp_path / "data" / ".gitignore").write_text("a.md\n")
    (tmp_path / "data" / ".reindexignore").write_text("# ours\n!a.md\ndrafts/\n")
    assert found(tmp_path) == {"data/a.md", "c.md"}
    assert reason(tmp_path, "data/drafts/b.md") == "data/.reindexignore:3: drafts/"


def test_an_ignore_file_is_read_again_when_it_changes(tmp_path):
    fill(tmp_path, "a.md", "b.md")
    files = source(tmp_path)
    assert set(files.scan().files) == {"a.md", "b.md"}
    (tmp_path / ".gitignore").write_text("a.md")
    assert set(files.scan().files) == {"b.md"}
    (tmp_path / ".gitignore").write_text("b.md")
    assert set(files.scan().files) == {"a.md"}


def test_what_only_looks_like_an_ignore_file_is_none(tmp_path):
    fill(tmp_path, "a.md", "sub/b.md", "rules")
    (tmp_path / "rules").write_text("*.md")
    (tmp_path / ".gitignore").symlink_to("rules")  # git follows no link here either
    (tmp_path / "sub" / ".gitignore").mkdir()
    os.mkfifo(tmp_path / "sub" / ".reindexignore")
    assert found(tmp_path) == {"a.md", "sub/b.md"}


def test_an_ignore_file_that_cannot_be_used_stops_its_folder_only(tmp_path):
    """What it keeps out must not be indexed by mistake, nor what is recorded below be deleted."""
    fill(tmp_path, "a.md", "sub/secret.md")
    (tmp_path / "sub" / ".gitignore").write_text("secret.md\n" * 30_000)
    scan = source(tmp_path).scan()
    assert set(scan.files) == {"a.md"}
    [problem] = scan.unreadable
    assert (problem.path, problem.is_directory) == ("sub", True)
    assert ".gitignore is larger than" in problem.reason


def test_stars_take_no_unbounded_time():
    rules = Ruleset(["*a" * 30 + "b", "x/" + "*a" * 30 + "b"])
    started = time.process_time()
    assert rules.last_match("a" * 250, "x/" + "a" * 250, is_folder=False) is None
    assert rules.last_match("a" * 200 + "b", "a" * 200 + "b", is_folder=False) is not None
    assert time.process_time() - started < 10  # it is nothing; with backtracking it would be for ever


# Our own list

DEFAULT_EXAMPLES = [
    *(".git/a.md", "node_modules/x/a.md", "sub/__pycache__/a.txt", ".venv/a.md", "dist/a.md", "x/build/a.md"),
    *("a.md~", ".#a.md", "#a.md#", ".a.md.swp", "a.tmp", "a.part", "a.crdownload", "a.download", "4913"),
    *(
        ".~lock.a.md",
        "~$a.md",
        "a.md___jb_tmp___",
        "a.md___jb_old___",
        ".goutputstream-X1.md",
        ".fuse_hidden1.md",
    ),
    *(".nfs0001.md", ".syncthing.a.md.tmp", ".DS_Store", "Thumbs.db", ".idea/a.md", "target/a.md", ".git"),
]


@pytest.mark.parametrize("path", DEFAULT_EXAMPLES)
def test_a_default_rule_names_itself(tmp_path, path):
    fill(tmp_path, path, "good.md")
    assert found(tmp_path) == {"good.md"}
    told = reason(tmp_path, path)
    assert told is not None
    assert told.removeprefix("default rule: ") in DEFAULT_RULES


def test_every_default_rule_has_an_example(tmp_path):
    told = {reason(tmp_path, path) for path in DEFAULT_EXAMPLES}
    by_default = {rule for rule in DEFAULT_RULES if f"default rule: {rule}" in told}
    tools = {".hg", ".svn", "venv/", ".tox/", ".mypy_cache/", ".ruff_cache/", ".pytest_cache/", ".vscode/"}
    assert by_default | tools == set(DEFAULT_RULES)


def test_the_quick_way_through_the_default_rules_skips_none():
    """Names made of the rules' own pieces, judged by all rules and by the shortened way."""
    rng = random.Random(7)
    parts = [
        ".",
        "#",
        "~",
        "$",
        "a",
        "md",
        "tmp",
        ".md",
        ".sw",
        "swp",
        "4913",
        ".nfs",
        "lock.",
        ".git",
        "Thumbs",
        ".db",
    ]
    every_suffix = frozenset({".md", ".tmp", ".swp", ".db", ".git", ".part", ".mdtmp", ".~"})
    root = IgnoreRules([], [], every_suffix, frozenset()).root()
    full = Ruleset(DEFAULT_RULES, has_comments=False)
    hits = 0
    for _ in range(20_000):
        name = "".join(rng.choice(parts) for _ in range(rng.randint(1, 4)))
        rule = full.last_match(name, name, is_folder=False)
        ignored = root.file(name)
        told = ignored.reason if ignored is not None and ignored.reason.startswith("default") else None
        assert told == (None if rule is None else f"default rule: {rule.text}"), name
        hits += rule is not None
    assert hits > 1_000


def test_hidden_is_not_ignored(tmp_path):
    fill(tmp_path, ".hidden.md", ".github/a.md", "a.b.md")
    assert found(tmp_path) == {".hidden.md", ".github/a.md", "a.b.md"}


def test_a_reindexignore_lifts_a_default_rule_and_a_gitignore_does_not(tmp_path):
    fill(tmp_path, "build/a.md", "dist/b.md", ".git/c.md", "d.md")
    (tmp_path / ".gitignore").write_text("!dist/\n")
    assert found(tmp_path) == {"d.md"}
    (tmp_path / ".reindexignore").write_text("!build/\n!.git\n")
    assert found(tmp_path) == {"build/a.md", "d.md"}


def test_only_markdown_by_the_common_idiom(tmp_path):
    fill(tmp_path, "a.md", "a.txt", "x/y/b.md", "x/y/b.txt", ".git/c.md")
    (tmp_path / ".reindexignore").write_text("*\n!*/\n!*.md\n")
    assert found(tmp_path) == {"a.md", "x/y/b.md"}
    assert reason(tmp_path, "x/y/b.txt") == ".reindexignore:1: *"


# include and exclude


def test_without_include_every_known_format_is_taken(tmp_path):
    fill(tmp_path, "a.md", "B.PDF", "c.bin", "README", "x/Makefile", "LICENSE2")
    (tmp_path / ".gitignore").write_text("")
    assert found(tmp_path) == {"a.md", "B.PDF", "README", "x/Makefile"}
    assert reason(tmp_path, "c.bin") == "no parser for .bin"
    assert reason(tmp_path, "LICENSE2") == "no parser for a name without a suffix"
    assert reason(tmp_path, ".gitignore") == "an ignore file is not a document"


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        (["**/*.md"], {"a.md", "docs/b.md", "docs/deep/c.md"}),
        (["*.md"], {"a.md", "docs/b.md", "docs/deep/c.md"}),
        (["/*.md"], {"a.md"}),
        (["docs/*.md"], {"docs/b.md"}),
        (["docs/**/*.md"], {"docs/b.md", "docs/deep/c.md"}),
        (["docs/"], {"docs/b.md", "docs/deep/c.md", "docs/e.txt"}),
        (["docs"], {"docs/b.md", "docs/deep/c.md", "docs/e.txt"}),
        (["docs/**"], {"docs/b.md", "docs/deep/c.md", "docs/e.txt"}),
        (["deep/"], {"docs/deep/c.md"}),
        (["**/*.log", "a.*"], {"docs/f.log", "a.md"}),  # a glob that names a suffix needs no parser
        (["docs/NOTES"], {"docs/NOTES"}),
        (["[ab].md"], {"a.md", "docs/b.md"}),
        (["*"], {"a.md", "docs/b.md", "docs/deep/c.md", "docs/e.txt"}),
    ],
)
def test_include(tmp_path, include, expected):
    fill(
        tmp_path,
        "a.md",
        "docs/b.md",
        "docs/deep/c.md",
        "docs/e.txt",
        "docs/f.log",
        "docs/NOTES",
        "docs/g.bin",
    )
    assert found(tmp_path, include=include) == expected
    assert reason(tmp_path, "none.png", include=include) is not None


def test_exclude_wins_over_everything(tmp_path):
    fill(tmp_path, "a.md", "drafts/b.md", "x/drafts/c.md", "#d.md", "old/e.md", "old/keep.md")
    (tmp_path / ".reindexignore").write_text("!drafts/\n")
    exclude = ["drafts/", "#*", "old/*", "!old/keep.md"]
    assert found(tmp_path, exclude=exclude) == {"a.md", "old/keep.md"}
    assert reason(tmp_path, "x/drafts/c.md", exclude=exclude) == "config exclude: drafts/"
    assert reason(tmp_path, "a.txt", include=["*.md"]) == "config include: no glob matches"


@pytest.mark.parametrize(
    "globs",
    [{"include": ["*.{md,txt}"]}, {"exclude": ["*.{md,txt}"]}, {"include": ["!*.md"]}, {"include": ["[a"]}],
)
def test_a_glob_that_would_match_nothing_in_silence_is_refused(tmp_path, globs):
    with pytest.raises(ConfigError):
        source(tmp_path, **globs)
