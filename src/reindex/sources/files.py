"""The files of one folder as documents: what is there, why a path is not, and one file's bytes."""

# Names that are not UTF-8, descriptors and O_NOFOLLOW need os, not pathlib:
# ruff: noqa: PTH116

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from reindex.errors import ConfigError, UnstableFileError
from reindex.model import FileStat, Revision
from reindex.sources.ignore import IGNORE_FILES, Ignored, IgnoreRules
from reindex.sources.walk import OPEN_FLAGS, Problem, Tree, file_stat, read_at_most

_FOLDER_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RootState(StrEnum):
    """What a scan found where the source's folder should be. Only `ok` says anything about deletions."""

    OK = "ok"
    MISSING = "missing"
    NOT_A_DIRECTORY = "not_a_directory"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Scan:
    """What one pass found, by path: relative to the root, with `/`, in no order.

    `skipped` are documents that are not indexed, as an outcome to report (too large). Of `unreadable` paths
    nothing is known now: what is recorded there, and below a directory there, stays. `root_reason` is for a
    person.
    """

    source: str
    root_state: RootState
    root_reason: str = ""
    root_device: int | None = None
    files: dict[str, FileStat] = field(default_factory=dict)
    ignored: int = 0
    skipped: tuple[Problem, ...] = ()
    unreadable: tuple[Problem, ...] = ()
    linked: frozenset[str] = frozenset()  # files that have other names as well


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file's bytes, which were all there at one moment, at which the file's stat was `stat`."""

    content: bytes
    revision: Revision
    stat: FileStat


class RootIdentity(NamedTuple):
    """Which folder a source's path leads to now."""

    path: str  # without links
    device: int
    inode: int


class FileSource:
    """One `[[sources]]` of the configuration. Nothing in it follows a symbolic link, except to the root."""

    def __init__(
        self,
        *,
        name: str,
        root: Path,
        include: Sequence[str],
        exclude: Sequence[str],
        max_file_mb: float,
        data_dir: Path,
        known_suffixes: frozenset[str],
        known_names: frozenset[str] = frozenset(),
    ) -> None:
        self.name = name
        self.root = root
        self._data_dir = str(data_dir)
        self._file_bytes_max = int(max_file_mb * 1_000_000)
        self._too_large = f"larger than max_file_mb = {max_file_mb:g}"
        self._rules = IgnoreRules(include, exclude, known_suffixes, known_names)
        self._real_root = ""

    def scan(
        self, paths: Collection[str] | None = None, entering: Callable[[str], None] = lambda _: None
    ) -> Scan:
        """Look at everything once, or at these paths (files, and folders with all below them).

        `entering` is told of each folder, relative to the root, right before it is listed. Raises ConfigError
        if the source's folder lies in the data directory, and nothing else.
        """
        root = self._resolve_root()
        data_dir = os.path.realpath(self._data_dir)
        if os.path.commonpath([root, data_dir]) == data_dir:
            raise ConfigError(f"source {self.name!r} lies in the data directory {self._data_dir}")
        state, reason, before = _look_at_root(root)
        if before is None:
            return Scan(self.name, state, reason)
        tree = self._tree()
        if paths is None:
            tree.walk(entering)
        for path in paths or ():
            tree.look(path, entering)
        state, reason, after = _look_at_root(root)
        if after is None:
            return Scan(self.name, state, reason)
        if after != before:
            return Scan(self.name, RootState.UNREADABLE, "the folder was replaced while it was read")
        for problem in tree.unreadable:
            if problem.path == "":
                return Scan(self.name, RootState.UNREADABLE, problem.reason)
        return Scan(
            source=self.name,
            root_state=RootState.OK,
            root_device=before[0],
            files=tree.files,
            ignored=tree.ignored,
            skipped=tuple(tree.skipped),
            unreadable=tuple(tree.unreadable),
            linked=frozenset(tree.linked),
        )

    def root_identity(self) -> RootIdentity | None:
        """Where the source's folder is now; None where none can be reached."""
        root = self._resolve_root()
        _, _, found = _look_at_root(root)
        return None if found is None else RootIdentity(root, *found)

    def may_concern(self, path: str) -> bool:
        """Whether a file of this name can be a document, or an ignore file. Says so without a look at it."""
        name = path.rpartition("/")[2]
        return name in IGNORE_FILES or not self._rules.not_wanted(name, path)

    def explain(self, path: str, *, is_folder: bool = False) -> Ignored | None:
        """The rule by which a scan leaves `path` out (or a folder above it); None if it would be indexed.

        A path that is not there is judged by its name, as what it is said to be. Raises OSError where the
        answer can't be known.
        """
        if not _is_inside(path):
            return Ignored("not a path in the source's folder")
        return self._tree().explain(path, is_folder=is_folder)

    def stat(self, path: str) -> FileStat | None:
        """The stat of a regular file; None if there is none. Ignore rules are not asked.

        Raises OSError where the answer can't be known (ESTALE: the source's folder is not there).
        """
        try:
            with self._parent(path) as (folder, name):
                found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return file_stat(found) if stat.S_ISREG(found.st_mode) else None

    def read(self, path: str) -> FileContent:
        """The bytes of a regular file, proven to be of one moment as far as stat can tell.

        Raises UnstableFileError if it changed meanwhile or has grown too large since the scan,
        FileNotFoundError if there is no regular file now, and OSError as it comes (ESTALE: the source's
        folder is not there).
        """
        try:
            with self._parent(path) as (folder, name):
                descriptor = os.open(name, OPEN_FLAGS, dir_fd=folder)
        except OSError as error:
            if error.errno in {
                errno.ENOTDIR,
                errno.ELOOP,
                errno.ENXIO,
            }:  # a link or a socket: no document now
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
            raise
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            before = file_stat(found)
            content = b""
            if before.size_bytes <= self._file_bytes_max:
                content = read_at_most(descriptor, before.size_bytes + 1)
            after = file_stat(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        if len(content) != before.size_bytes or after != before or self.stat(path) != before:
            raise UnstableFileError(f"{path} changed while it was read", "It is taken when it is quiet.")
        return FileContent(content, Revision(hashlib.sha256(content).digest()), before)

    def _tree(self) -> Tree:
        root = self._real_root or self._resolve_root()
        return Tree(root, self._rules, self._data_dir, self._file_bytes_max, self._too_large)

    def _resolve_root(self) -> str:
        self._real_root = os.path.realpath(self.root)
        return self._real_root

    @contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """A descriptor of the folder that `path` is in, reached without following a link, and its name."""
        if not _is_inside(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        *folders, name = path.split("/")
        try:
            descriptor = os.open(self._real_root or self._resolve_root(), _FOLDER_FLAGS)
        except (
            FileNotFoundError,
            NotADirectoryError,
        ) as error:  # nobody deleted the document: it is out of reach
            raise OSError(errno.ESTALE, "the source's folder is not there", str(self.root)) from error
        try:
            for folder in folders:
                inner = os.open(folder, _FOLDER_FLAGS, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor, name
        finally:
            os.close(descriptor)


def _look_at_root(root: str) -> tuple[RootState, str, tuple[int, int] | None]:
    """The state of the source's folder, why it is so, and its identity (device, inode) if it is there."""
    try:
        found = os.stat(root)
    except (FileNotFoundError, NotADirectoryError) as error:
        return RootState.MISSING, error.strerror or str(error), None
    except OSError as error:
        return RootState.UNREADABLE, error.strerror or str(error), None
    if not stat.S_ISDIR(found.st_mode):
        return RootState.NOT_A_DIRECTORY, "it is not a folder", None
    return RootState.OK, "", (found.st_dev, found.st_ino)


def _is_inside(path: str) -> bool:
    """Whether `path` is relative and plain: no `..`, no empty part, no NUL."""
    return "\0" not in path and not {"", ".", ".."}.intersection(path.split("/"))
