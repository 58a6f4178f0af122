"""A scan of a folder on a real disk: every odd thing that can stand where a document was expected."""

import os
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import contextmanager

import pytest

from reindex.errors import ConfigError, UnstableFileError
from reindex.sources.files import FileSource, RootState


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


@contextmanager
def time_limit(seconds):
    """An open that blocks for ever becomes a failure."""

    def give_up(*_):
        raise TimeoutError(f"blocked for {seconds} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


def test_a_scan_says_what_lstat_says(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.md").write_bytes(b"hello")
    scan = source(tmp_path).scan()
    found = os.lstat(tmp_path / "sub" / "a.md")
    assert (scan.source, scan.root_state, scan.root_device) == ("docs", RootState.OK, found.st_dev)
    assert list(scan.files) == ["sub/a.md"]
    stat = scan.files["sub/a.md"]
    assert (stat.size_bytes, stat.mtime_ns, stat.ctime_ns) == (5, found.st_mtime_ns, found.st_ctime_ns)
    assert (stat.dev, stat.ino) == (found.st_dev, found.st_ino)
    assert (scan.ignored, scan.skipped, scan.unreadable) == (0, (), ())


def test_an_empty_folder_is_ok_and_empty(tmp_path):
    scan = source(tmp_path).scan()
    assert (scan.root_state, scan.files) == (RootState.OK, {})


def test_the_states_of_a_root(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    states = {
        name: source(tmp_path / name).scan() for name in ("none", "file", "file/below", "loop", "dangling")
    }
    assert {name: scan.root_state for name, scan in states.items()} == {
        "none": RootState.MISSING,
        "file": RootState.NOT_A_DIRECTORY,
        "file/below": RootState.MISSING,
        "loop": RootState.UNREADABLE,
        "dangling": RootState.MISSING,
    }
    assert all(scan.root_reason and scan.root_device is None for scan in states.values())


def test_a_symlinked_root_is_resolved_at_each_scan(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.md").write_text(name)
    link = tmp_path / "link"
    link.symlink_to("one")
    files = source(link, data_dir=tmp_path / "data")
    assert set(files.scan().files) == {"one.md"}
    assert files.read("one.md").content == b"one"
    link.unlink()
    link.symlink_to("two")
    assert set(files.scan().files) == {"two.md"}
    assert files.read("two.md").content == b"two"


def test_links_inside_are_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.md").write_text("o")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.md").write_text("a")
    for name, target in [
        ("loop", "."),
        ("up", ".."),
        ("out", str(outside)),
        ("out.md", str(outside / "o.md")),
        ("dangling.md", "nowhere"),
        ("self.md", "self.md"),
        ("inside.md", "a.md"),
    ]:
        (root / name).symlink_to(target)
    files = source(root)
    scan = files.scan()
    assert (set(scan.files), scan.ignored) == ({"a.md"}, 7)
    for path in ("loop", "out", "out.md", "dangling.md", "self.md", "inside.md", "out/o.md", "loop/a.md"):
        assert files.explain(path).reason == "symbolic link"
        assert files.stat(path) is None
        with pytest.raises(FileNotFoundError):
            files.read(path)


def test_fifo_and_socket_are_ignored_and_block_nothing(tmp_path):
    os.mkfifo(tmp_path / "q.md")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "folder.md").mkdir()
    before = open_descriptors()
    with socket.socket(socket.AF_UNIX) as listener, time_limit(5):
        listener.bind(str(tmp_path / "s.md"))
        files = source(tmp_path)
        scan = files.scan()
        assert (scan.files, scan.ignored) == ({}, 2)
        for path in ("q.md", "s.md", "sub/folder.md"):
            assert files.stat(path) is None
            with pytest.raises(FileNotFoundError):
                files.read(path)
        assert files.explain("q.md").reason == files.explain("s.md").reason == "not a regular file"
    assert open_descriptors() == before


NAMES = [
    b"\xff\xfe.md",
    b"caf\xe9 latin.md",
    b"line\nbreak.md",
    b"ends in newline\n.md",
    b"quote\"'`$.md",
    b"tab\t\\back.md",
    b" lead and trail .md",
    b"e\xcc\x81 decomposed.md",
    b"\xc3\xa9 composed.md",
    b"x" * 252 + b".md",
    b"-dash.md",
    b"*?[.md",
]


def test_names_make_the_round_trip(tmp_path):
    folder = os.fsencode(tmp_path) + b"/d\xff\nir"
    os.mkdir(folder)
    for name in NAMES:
        with open(folder + b"/" + name, "wb") as file:
            file.write(name)
    files = source(tmp_path)
    scan = files.scan()
    assert {os.fsencode(path) for path in scan.files} == {b"d\xff\nir/" + name for name in NAMES}
    for path, stat in scan.files.items():
        assert files.explain(path) is None
        assert files.stat(path) == stat
        assert os.fsencode(path).endswith(files.read(path).content)


def test_a_file_over_the_limit_is_a_reported_outcome(tmp_path):
    (tmp_path / "fits.md").write_bytes(b"x" * 1_000_000)
    (tmp_path / "large.md").write_bytes(b"x" * 1_000_001)
    (tmp_path / "large.bin").write_bytes(b"x" * 1_000_001)
    files = source(tmp_path)
    scan = files.scan()
    assert (set(scan.files), scan.ignored) == ({"fits.md"}, 1)
    [problem] = scan.skipped
    assert (problem.path, problem.reason) == ("large.md", "larger than max_file_mb = 1")
    assert files.explain("large.md").reason == problem.reason
    assert len(files.read("fits.md").content) == 1_000_000
    with pytest.raises(UnstableFileError):  # it was in no scan, so it has grown since
        files.read("large.md")


def test_our_own_data_is_never_entered(tmp_path):
    data_dir = tmp_path / "deep" / "down" / "store"
    data_dir.mkdir(parents=True)
    (data_dir / "log.md").write_text("x")
    (tmp_path / "deep" / "a.md").write_text("x")
    (tmp_path / "by-link").symlink_to(data_dir)
    for spelled in (data_dir, tmp_path / "by-link", tmp_path / "deep" / ".." / "deep" / "down" / "store"):
        files = source(tmp_path, data_dir=spelled)
        assert set(files.scan().files) == {"deep/a.md"}
        assert files.explain("deep/down/store/log.md").reason == "inside the data directory"
    (tmp_path / "deep" / "other").mkdir()
    (tmp_path / "deep" / "other" / "log.md").write_text("x")
    assert source(tmp_path, data_dir=data_dir).explain("deep/other/log.md") is None


def test_a_source_in_the_data_directory_is_refused(tmp_path):
    (tmp_path / "data" / "docs").mkdir(parents=True)
    with pytest.raises(ConfigError):
        source(tmp_path / "data" / "docs", data_dir=tmp_path / "data").scan()
    with pytest.raises(ConfigError):
        source(tmp_path / "data", data_dir=tmp_path / "data").scan()


def test_a_file_swapped_with_a_folder(tmp_path):
    files = source(tmp_path)
    (tmp_path / "a.md").write_text("x")
    assert set(files.scan().files) == {"a.md"}
    (tmp_path / "a.md").unlink()
    (tmp_path / "a.md").mkdir()
    (tmp_path / "a.md" / "b.md").write_text("y")
    assert set(files.scan().files) == {"a.md/b.md"}
    assert files.stat("a.md") is None
    shutil.rmtree(tmp_path / "a.md")
    (tmp_path / "a.md").write_text("z")
    assert set(files.scan().files) == {"a.md"}
    assert files.stat("a.md/b.md") is None
    assert files.explain("a.md/b.md") is None
    with pytest.raises(FileNotFoundError):
        files.read("a.md/b.md")


def test_a_tree_deeper_than_a_path_may_be_long_is_reported(tmp_path):
    depth = 5_000
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    try:
        (tmp_path / "a.md").write_text("x")
        scan = source(tmp_path).scan()
        assert (scan.root_state, set(scan.files)) == (RootState.OK, {"a.md"})
        [problem] = scan.unreadable
        assert problem.is_directory
        assert "too long" in problem.reason
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_scans_beside_a_changing_tree_never_raise(tmp_path):
    """Files, folders and links trade places while scans run; what stands still is in every one."""
    for number in range(50):
        (tmp_path / f"still-{number}.md").write_text("x")
    done = threading.Event()

    def churn():
        while not done.is_set():
            folder = tmp_path / "moving"
            folder.mkdir()
            (folder / "a.md").write_text("x")
            os.replace(folder / "a.md", folder / "b.md")
            (folder / "a.md").mkdir()
            shutil.rmtree(folder)
            folder.symlink_to(".")
            folder.unlink()

    writer = threading.Thread(target=churn)
    writer.start()
    files = source(tmp_path)
    try:
        for _ in range(300):
            scan = files.scan()
            assert scan.root_state == RootState.OK
            assert not scan.unreadable
            assert sum(path.startswith("still") for path in scan.files) == 50
            for path in scan.files:
                if path.startswith("moving/still"):  # seen through the link; reading it would follow the link
                    with pytest.raises(FileNotFoundError):
                        files.read(path)
    finally:
        done.set()
        writer.join()
