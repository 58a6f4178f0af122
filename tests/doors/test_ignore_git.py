"""What an ignore file means, with git as the oracle on random trees."""

import os
import random
import shutil
import subprocess

import pytest

from reindex.sources.files import FileSource

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


NAMES = [
    "a",
    "b",
    "ab",
    "abc",
    "x y",
    "A",
    "foo",
    "#c",
    "!d",
    "a-b",
    "1",
    ".e",
    "]e",
    "[f]",
    "b\\c",
    "n\nl",
]
PIECES = [
    *("a", "b", "c", "x y", "A", "foo", "-", "1", ".md", "*", "*", "**", "?", "\\*", "\\a", "\\"),
    *("[ab]", "[!a]", "[^b]", "[a-c]", "[[:alpha:]]", "[[:digit:]x]", "[[:nope:]]", "[]e]", "[z-a]", "[a"),
    *("[!]a-]", "[\\]f]", "[[:]", "[--b]", "[a/b]"),
]


def random_pattern(rng):
    def piece():
        return "".join(rng.choice(PIECES) for _ in range(rng.choice([1, 1, 2, 3])))

    pattern = "/".join(
        rng.choice([piece(), piece(), rng.choice(NAMES), "**", "*"]) for _ in range(rng.choice([1, 1, 2, 3]))
    )
    prefix = rng.choice(["", "", "", "", "!", "!", "#", "/", "!/", "**/"])
    suffix = rng.choice(["", "", "", "/", "/", ".md", "/**", " ", "\\ ", "  ", "\t"])
    return (prefix + pattern + suffix).replace("\n", "")


def random_tree(rng, root, depth=0):
    root.mkdir(exist_ok=True)
    for name in rng.sample(NAMES, rng.randint(1, 5)):
        (root / f"{name}.md").write_text("")
    if rng.random() < (0.5 if depth else 0.9):
        end = rng.choice(["\n", "\n", "\r\n"])
        lines = [random_pattern(rng) for _ in range(rng.randint(1, 6))]
        bom = rng.choice([b"", b"", b"\xef\xbb\xbf"])
        (root / ".gitignore").write_bytes(bom + (end.join(lines) + rng.choice(["", end])).encode())
    for name in rng.sample(NAMES, rng.randint(0, 3) if depth < 3 else 0):
        random_tree(rng, root / name, depth + 1)


def git(root, *arguments):
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, env=environment
    ).stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle")
def test_random_trees_equal_git(tmp_path):
    taken_total = on_disk_total = 0
    for seed in range(120):
        root = tmp_path / str(seed)
        random_tree(random.Random(seed), root)
        git(root, "init", "-q")
        listed = git(root, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
        expected = {os.fsdecode(path) for path in listed if path.endswith(b".md")}
        files = source(root)
        taken = set(files.scan().files)
        assert taken == expected, f"seed {seed}"
        on_disk = {p.relative_to(root).as_posix() for p in root.rglob("*.md")}
        assert {path for path in on_disk if files.explain(path) is None} == expected, f"seed {seed}"
        taken_total, on_disk_total = taken_total + len(taken), on_disk_total + len(on_disk)
    assert 0.2 < taken_total / on_disk_total < 0.8  # the comparison is not about nothing


@pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle")
@pytest.mark.parametrize(
    "pattern",
    [
        "A**/*.md",
        "A**b.md",
        "a/**",
        "**/a",
        "a/**/b.md",
        "/a/*",
        "a**/",
        "*\\",
        "***/b.md",
        "[a",
        "/",
        "!",
        "//",
    ],
)
def test_patterns_that_were_or_could_be_read_wrongly(tmp_path, pattern):
    for folder in ("a", "A", "a/x/y", "Ab/x"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name in ("A.md", "b.md", "Ab.md"):
            (tmp_path / folder / name).write_text("")
            (tmp_path / name).write_text("")
    (tmp_path / ".gitignore").write_text(pattern)
    git(tmp_path, "init", "-q")
    listed = git(tmp_path, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
    assert set(source(tmp_path).scan().files) == {
        os.fsdecode(path) for path in listed if path.endswith(b".md")
    }
