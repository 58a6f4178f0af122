"""A file's bytes: of one moment, or refused."""

import hashlib
import os
import threading

import pytest

from reindex.errors import UnstableFileError
from reindex.sources.files import FileSource


def source(root, *, include=(), max_file_mb=1.0, data_dir=None):
    return FileSource(
        name="docs",
        root=root,
        include=list(include),
        exclude=[],
        max_file_mb=max_file_mb,
        data_dir=data_dir or root / ".reindex",
        known_suffixes=frozenset({".md", ".txt"}),
    )


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_a_read_is_the_bytes_their_digest_and_their_stat(tmp_path):
    content = bytes(range(256)) * 1_000
    (tmp_path / "a.md").write_bytes(content)
    (tmp_path / "empty.md").write_bytes(b"")
    files = source(tmp_path)
    before = open_descriptors()
    read = files.read("a.md")
    assert (read.content, read.revision) == (content, hashlib.sha256(content).digest())
    assert read.stat == files.scan().files["a.md"] == files.stat("a.md")
    assert files.read("empty.md").content == b""
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "path", ["none.md", "none/a.md", "../a.md", "/etc/passwd", "", "a//b.md", "./a.md", "a\0.md"]
)
def test_what_is_not_there_or_not_ours(tmp_path, path):
    (tmp_path / "root").mkdir()
    (tmp_path / "a.md").write_text("x")
    files = source(tmp_path / "root")
    assert files.stat(path) is None
    with pytest.raises(FileNotFoundError):
        files.read(path)


def test_a_missing_root_is_no_deletion(tmp_path):
    """A disk that is not there has not lost its documents: neither answer may be "there is none"."""
    files = source(tmp_path / "root")
    for act in (files.stat, files.read):
        with pytest.raises(OSError, match="folder is not there") as raised:
            act("a.md")
        assert not isinstance(raised.value, FileNotFoundError)


def unstable_within(files, path, write, reads_max=20_000):
    """Whether a read is refused while `write` runs over and over; every read that succeeds must be whole."""
    done = threading.Event()

    def keep_writing():
        while not done.is_set():
            write()

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for _ in range(reads_max):
            try:
                content = files.read(path).content
            except UnstableFileError:
                return True
            except FileNotFoundError:
                continue
            assert len(set(content)) <= 1, "a mixture of two revisions"
            assert len(content) in {0, 200_000}
    finally:
        done.set()
        writer.join()
    return False


def test_a_file_replaced_while_it_is_read(tmp_path):
    path = tmp_path / "a.md"
    path.write_bytes(b"a" * 200_000)
    letters = iter(range(10**9))

    def replace():
        (tmp_path / "new").write_bytes(bytes([97 + next(letters) % 26]) * 200_000)
        os.replace(tmp_path / "new", path)

    assert unstable_within(source(tmp_path), "a.md", replace)


def test_a_file_that_grows_while_it_is_read(tmp_path):
    path = tmp_path / "a.md"
    path.write_bytes(b"")

    def grow():
        with open(path, "ab", buffering=0) as file:
            for _ in range(200):
                file.write(b"a" * 1_000)
            file.truncate(0)

    files = source(tmp_path, max_file_mb=10)
    done = threading.Event()
    outcomes = set()

    def keep_growing():
        while not done.is_set():
            grow()

    writer = threading.Thread(target=keep_growing)
    writer.start()
    try:
        for _ in range(20_000):
            try:
                read = files.read("a.md")
            except UnstableFileError:
                outcomes.add("unstable")
                break
            assert len(read.content) == read.stat.size_bytes
    finally:
        done.set()
        writer.join()
    assert outcomes == {"unstable"}
