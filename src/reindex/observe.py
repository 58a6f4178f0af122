"""Looking at the disk: which documents are there, at which revision, and which can't be known now.

Stat first, content only where the stat is new or proves nothing. Nothing is written.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from reindex.core.racy import is_racy
from reindex.errors import UnstableFileError
from reindex.model import DocumentName, FileStat, Places, Revision, lies_in
from reindex.ports import Clock
from reindex.sources.files import FileContent, FileSource, RootState, Scan
from reindex.stores.file_rows import FileRows, SeenFile

UNSTABLE_ATTEMPTS = 4
UNSTABLE_WAIT_S = 0.05  # doubled after each attempt


@dataclass(slots=True)
class Observation:
    """What one look at all sources found.

    `revisions` are the documents that could be read. `unreadable` says why others could not; `unstable` were
    being written. `looks` are new stats worth remembering; `gone` are remembered files that are no more.
    Of what lies outside `places` nothing is known; None: everything was looked at.
    """

    revisions: dict[DocumentName, Revision] = field(default_factory=dict)
    stats: dict[DocumentName, FileStat] = field(default_factory=dict)
    unreadable: dict[DocumentName, str] = field(default_factory=dict)
    unstable: set[DocumentName] = field(default_factory=set)
    looks: dict[DocumentName, SeenFile] = field(default_factory=dict)
    gone: list[DocumentName] = field(default_factory=list)
    scans: dict[str, Scan] = field(default_factory=dict)
    places: Places | None = None

    def covers(self, name: DocumentName) -> bool:
        """Whether its absence says that there is no such document."""
        return self.places is None or lies_in(name, self.places)

    def is_whole(self, source: str) -> bool:
        """Whether all of a source was looked at."""
        return self.places is None or "" in self.places.get(source, ())

    @property
    def ignored(self) -> int:
        return sum(scan.ignored for scan in self.scans.values())


def observe(
    sources: Sequence[FileSource],
    files: FileRows | None,
    clock: Clock,
    advance: Callable[[int], None] = lambda _: None,
    *,
    read_all: bool = False,
    places: Places | None = None,
    entering: Callable[[str, str], None] = lambda _, __: None,
) -> Observation:
    """Scan every source, or only these places, and find each document's revision there.

    `files` are the remembered looks (None: there are none). `read_all` trusts no stat. `advance` is told of
    every file that had to be read, `entering` of (source, folder) right before a folder is listed.
    """
    observation = Observation(places=places)
    for source in sources:
        if places is not None and source.name not in places:
            continue
        paths = None if places is None else places[source.name]
        scan = source.scan(paths, partial(entering, source.name))
        observation.scans[source.name] = scan
        known = files.of_source(source.name, paths) if files is not None else {}
        _look_at_files(source, scan, {} if read_all else known, observation, clock, advance)
        if scan.root_state is RootState.OK:
            unknown = _unknown_folders(scan)
            observation.gone += [
                DocumentName(source.name, path)
                for path in known
                if path not in scan.files and not _is_below(path, unknown)
            ]
    return observation


def other_names(observation: Observation, files: FileRows) -> set[DocumentName]:
    """The other names of files that were found changed: what was written by one name was written by all, and
    nobody is told of the others.
    """
    changed = [
        look.stat
        for name, look in observation.looks.items()
        if name.path in observation.scans[name.source].linked
    ]
    names = {name for stat in changed for name in files.other_names(stat)}
    return {name for name in names if not observation.covers(name)}


def changed_between(before: Observation, after: Observation) -> set[DocumentName]:
    """The documents that two looks did not find alike: they may have been anything in between."""
    names = before.revisions.keys() | after.revisions.keys()
    changed = {name for name in names if before.revisions.get(name) != after.revisions.get(name)}
    return changed | before.unstable | after.unstable


def read_when_quiet(source: FileSource, path: str) -> FileContent:
    """Read a file, a few times over if it is being written. Raises UnstableFileError when it stays so."""
    wait_s = UNSTABLE_WAIT_S
    for _ in range(UNSTABLE_ATTEMPTS - 1):
        try:
            return source.read(path)
        except UnstableFileError:
            time.sleep(wait_s)
            wait_s *= 2
    return source.read(path)


def _look_at_files(
    source: FileSource,
    scan: Scan,
    known: Mapping[str, SeenFile],
    observation: Observation,
    clock: Clock,
    advance: Callable[[int], None],
) -> None:
    for path, stat in scan.files.items():
        name = DocumentName(source.name, path)
        seen = known.get(path)
        if seen is not None and seen.stat == stat and not is_racy(stat, seen.observed_ns):
            observation.revisions[name] = seen.revision
            observation.stats[name] = stat
        else:
            _read_one(source, name, seen, observation, clock)
            advance(1)
    for problem in scan.unreadable:
        if not problem.is_directory:
            observation.unreadable[DocumentName(source.name, problem.path)] = problem.reason


def _read_one(
    source: FileSource, name: DocumentName, seen: SeenFile | None, observation: Observation, clock: Clock
) -> None:
    observed_ns = clock.now_ns()
    try:
        found = read_when_quiet(source, name.path)
    except FileNotFoundError:
        return  # gone since the scan: as if it had never been there
    except UnstableFileError:
        observation.unstable.add(name)
    except OSError as error:
        observation.unreadable[name] = error.strerror or str(error)
    else:
        observation.revisions[name] = found.revision
        observation.stats[name] = found.stat
        look = SeenFile(found.stat, observed_ns, found.revision)
        if seen is None or seen.stat != look.stat or is_racy(seen.stat, seen.observed_ns):
            observation.looks[name] = look


def unknown_documents(scan: Scan, recorded: Sequence[DocumentName]) -> dict[DocumentName, str]:
    """Recorded documents below a folder that could not be listed, with the reason; the folder itself where
    none is recorded, so that it is not passed over in silence.
    """
    found = {}
    for problem in scan.unreadable:
        if not problem.is_directory:
            continue
        reason = f"the folder {problem.path!r} can't be read: {problem.reason}"
        below = [n for n in recorded if n.source == scan.source and n.path.startswith(problem.path + "/")]
        for name in below or [DocumentName(scan.source, problem.path)]:
            found[name] = reason
    return found


def _unknown_folders(scan: Scan) -> tuple[str, ...]:
    return tuple(problem.path + "/" for problem in scan.unreadable if problem.is_directory)


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    return bool(folders) and path.startswith(folders)
