"""One pass over a folder's tree: every document's stat, and what is in the way of others.

Near the floor of `os.scandir` and one stat per document: what a rule leaves out is not even looked at, and a
file is looked up in its open folder, not from the root again. In a tree that changes meanwhile, a path may be
seen that leads through a folder which has just become a link; reading, which follows no link, finds that out.
"""

# pathlib is several times dearer, and knows neither O_NOFOLLOW nor DirEntry:
# ruff: noqa: PTH116, PTH118, PTH119

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reindex.model import FileStat
from reindex.sources.ignore import DEFAULT_STARTS, IGNORE_FILES, FolderRules, Ignored, IgnoreRules

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_FLAGS = (
    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
)  # a FIFO must not block, a link not lead away
SYMBOLIC_LINK = Ignored("symbolic link")
NOT_REGULAR = Ignored("not a regular file")
DATA_DIRECTORY = Ignored("inside the data directory")

_new = tuple.__new__  # by its own constructor, which is Python's, a named tuple takes twice as long

IGNORE_FILE_BYTES_MAX = 256 << 10  # about 10,000 rules, 0.6 s to compile


@dataclass(frozen=True, slots=True)
class Problem:
    """A path that is not in the index though no rule says so. Below a directory nothing is known."""

    path: str
    reason: str
    is_directory: bool = False


class Tree:
    """A folder with its rules. `root` is its real path, so that every path met under it is real too."""

    def __init__(
        self, root: str, rules: IgnoreRules, data_dir: str, file_bytes_max: int, too_large: str
    ) -> None:
        self.files: dict[str, FileStat] = {}
        self.ignored = 0
        self.skipped: list[Problem] = []
        self.unreadable: list[Problem] = []
        self.linked: set[str] = set()
        self._root = root
        self._rules = rules
        self._file_bytes_max = file_bytes_max
        self._too_large = too_large
        self._data_dir = os.path.realpath(data_dir)
        try:
            data_stat = os.stat(self._data_dir)
        except OSError:  # not made yet
            self._data_identity = (-1, -1)
        else:
            self._data_identity = (data_stat.st_dev, data_stat.st_ino)

    def walk(self, entering: Callable[[str], None] = lambda _: None) -> None:
        """Fill `files` and the lists beside it. `entering` is told of each folder right before it is listed:
        a watch that is set there misses nothing.
        """
        self._walk([self._rules.root()], entering)

    def look(self, path: str, entering: Callable[[str], None] = lambda _: None) -> None:
        """Take in what stands at one path, a file or a folder with all below it, as a walk of all would.
        Nothing is taken where nothing stands there, or a rule leaves it out.
        """
        if not path:
            self.walk(entering)
            return
        rules = self._rules.root()
        *folders, name = path.split("/")
        place = ""
        try:
            for folder in folders:
                rules = self._with_ignore_files(rules, IGNORE_FILES)
                place = rules.prefix + folder
                if not stat.S_ISDIR(os.lstat(self._full(place)).st_mode):
                    return
                if self._explain_entry(rules, folder, is_folder=True) is not None:
                    self.ignored += 1
                    return
                rules = rules.enter(folder)
            rules = self._with_ignore_files(rules, IGNORE_FILES)
            place = path
            found = os.lstat(self._full(path))
            ignored = self._explain_entry(rules, name, is_folder=stat.S_ISDIR(found.st_mode))
            if ignored is not None:
                self._leave_out(path, ignored)
            elif stat.S_ISDIR(found.st_mode):
                self._walk([rules.enter(name)], entering)
            elif stat.S_ISREG(found.st_mode):
                self.files[path] = file_stat(found)
                self.linked.update([path] if found.st_nlink > 1 else ())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            is_above = place != path
            self.unreadable.append(Problem(place, error.strerror or str(error), is_directory=is_above))

    def _leave_out(self, path: str, ignored: Ignored) -> None:
        if ignored.reason == self._too_large:
            self.skipped.append(Problem(path, self._too_large))
        else:
            self.ignored += 1

    def _walk(self, pending: list[FolderRules], entering: Callable[[str], None]) -> None:
        while pending:
            rules = pending.pop()
            path = rules.prefix[:-1]
            entering(path)
            try:
                descriptor = os.open(self._full(path), _FOLDER_FLAGS)
            except (FileNotFoundError, NotADirectoryError):
                continue  # gone since its parent was listed
            except OSError as error:
                self.unreadable.append(Problem(path, error.strerror or str(error), is_directory=True))
                continue
            try:
                pending += self._list(descriptor, rules)
            finally:
                os.close(descriptor)

    def _list(self, descriptor: int, rules: FolderRules) -> list[FolderRules]:
        """Take in one folder, open at `descriptor`; returns the folders to enter."""
        try:
            with os.scandir(descriptor) as listing:
                entries = list(listing)
            present = [entry.name for entry in entries if entry.name in IGNORE_FILES]
            rules = self._with_ignore_files(rules, present) if present else rules
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            path = rules.prefix[:-1]
            self.unreadable.append(Problem(path, error.strerror or str(error), is_directory=True))
            return []
        return self._take(entries, rules)

    def explain(self, path: str, *, is_folder: bool = False) -> Ignored | None:
        """The rule that keeps `path` out, its own or that of a folder above it."""
        rules = self._rules.root()
        *folders, name = path.split("/")
        for folder in folders:
            rules = self._with_ignore_files(rules, IGNORE_FILES)
            ignored = self._explain_entry(rules, folder, is_folder=True)
            if ignored is not None:
                return ignored
            rules = rules.enter(folder)
        return self._explain_entry(self._with_ignore_files(rules, IGNORE_FILES), name, is_folder=is_folder)

    def _take(self, entries: Iterable[os.DirEntry[str]], rules: FolderRules) -> list[FolderRules]:
        """Sort one folder's entries into `files` and the rest; returns the folders to enter."""
        folders: list[FolderRules] = []
        prefix, ignored_by, sure_suffixes = rules.prefix, rules.file, rules.sure_suffixes
        files, bytes_max, is_regular, new = self.files, self._file_bytes_max, stat.S_ISREG, _new
        for entry in entries:
            name = entry.name
            try:
                if entry.is_file(follow_symlinks=False):
                    is_sure = name[name.rfind(".") :] in sure_suffixes and name[0] not in DEFAULT_STARTS
                    if not is_sure and ignored_by(name) is not None:
                        self.ignored += 1
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if not is_regular(found.st_mode):
                        continue  # replaced since the folder was listed: its new nature is the next scan's
                    size_bytes = found.st_size
                    if size_bytes > bytes_max:
                        self.skipped.append(Problem(prefix + name, self._too_large))
                        continue
                    numbers = size_bytes, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino
                    files[prefix + name] = new(FileStat, numbers)  # `file_stat`, without the call
                    if found.st_nlink > 1:
                        self.linked.add(prefix + name)
                elif not entry.is_dir(follow_symlinks=False) or self._explain_folder(
                    rules, name, entry.inode()
                ):
                    self.ignored += 1
                else:
                    folders.append(rules.enter(name))
            except (FileNotFoundError, NotADirectoryError):
                continue  # gone since the folder was listed
            except OSError as error:
                self.unreadable.append(Problem(prefix + name, error.strerror or str(error)))
        return folders

    def _explain_folder(self, rules: FolderRules, name: str, inode: int) -> Ignored | None:
        path = self._full(rules.prefix + name)
        if path == self._data_dir or (
            inode == self._data_identity[1] and os.lstat(path).st_dev == self._data_identity[0]
        ):
            return DATA_DIRECTORY
        return rules.folder(name)

    def _explain_entry(self, rules: FolderRules, name: str, *, is_folder: bool) -> Ignored | None:
        """`is_folder`: what to take `name` for if there is no such thing."""
        try:
            found = os.lstat(self._full(rules.prefix + name))
        except (FileNotFoundError, NotADirectoryError):
            return rules.folder(name) if is_folder else rules.file(name)
        if stat.S_ISDIR(found.st_mode):
            return self._explain_folder(rules, name, found.st_ino)
        if not stat.S_ISREG(found.st_mode):
            return SYMBOLIC_LINK if stat.S_ISLNK(found.st_mode) else NOT_REGULAR
        ignored = rules.file(name)
        if ignored is None and found.st_size > self._file_bytes_max:
            return Ignored(self._too_large)
        return ignored

    def _with_ignore_files(self, rules: FolderRules, names: Sequence[str]) -> FolderRules:
        contents: dict[str, str] = {}
        for name in names:
            text = _read_ignore_file(self._full(rules.prefix + name))
            if text is not None:
                contents[name] = text
        return rules.with_ignore_files(contents)

    def _full(self, path: str) -> str:
        return os.path.join(self._root, path) if path else self._root


def file_stat(found: os.stat_result) -> FileStat:
    """What we keep of a stat."""
    return _new(FileStat, (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_dev, found.st_ino))


def read_at_most(descriptor: int, size_bytes: int) -> bytes:
    """Up to `size_bytes`, less only at the end of the file."""
    pieces: list[bytes] = []
    while size_bytes > 0 and (piece := os.read(descriptor, size_bytes)):
        pieces.append(piece)
        size_bytes -= len(piece)
    return b"".join(pieces)


def _read_ignore_file(path: str) -> str | None:
    """The text; None where there is no regular file of that name (git follows no link here either).

    Raises OSError for one that is there and can't be read: what it keeps out must not be indexed by mistake.
    """
    name = os.path.basename(path)
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO}:
            return None
        raise OSError(error.errno, f"{name} can't be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        content = read_at_most(descriptor, IGNORE_FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)
    if len(content) > IGNORE_FILE_BYTES_MAX:
        raise OSError(errno.EFBIG, f"{name} is larger than 256 KiB")
    return os.fsdecode(content.removeprefix(b"\xef\xbb\xbf"))
