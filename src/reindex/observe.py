"""Looking at the disk: which documents are there, at which revision, and which can't be known now.

Stat first, content only where the stat is new or proves nothing. Nothing is written.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import partial

from reindex.core.racy import is_racy
from reindex.core.settled import digest_of
from reindex.errors import UnstableFileError
from reindex.garbage import uncollected
from reindex.model import DocumentName, FileStat, Places, Revision, lies_in
from reindex.ports import Clock
from reindex.sources.files import FileContent, FileSource, RootState, Scan
from reindex.stores.file_rows import FileIdentity, FileRows, Look, SeenFile, identity_of

UNSTABLE_ATTEMPTS = 4
UNSTABLE_WAIT_S = 0.05  # doubled after each attempt
UNSTABLE_LOOK_S = 1.0  # that one look waits for all of them: many files that grow must not hold up the rest


@dataclass(slots=True)
class Observation:
    """What one look at all sources found.

    `revisions` are the documents that could be read, by source and path. `unreadable` says why others could
    not; `unstable` were being written. `looks` are new stats worth remembering; `gone` are remembered files
    that are no more; `touched` are files that were found changed or gone, and may have other names.
    Of what lies outside `places` nothing is known; None: everything was looked at.

    `settled` are sources with the number of their files: each is as the last look found it, and recorded so;
    nothing more is known of these than that. `digests` are those of the other sources whose files are
    all known by their stats now.
    """

    revisions: dict[str, dict[str, Revision]] = field(default_factory=dict)
    unreadable: dict[DocumentName, str] = field(default_factory=dict)
    unstable: set[DocumentName] = field(default_factory=set)
    looks: dict[DocumentName, SeenFile] = field(default_factory=dict)
    gone: list[DocumentName] = field(default_factory=list)
    touched: set[FileIdentity] = field(default_factory=set)
    scans: dict[str, Scan] = field(default_factory=dict)
    places: Places | None = None
    settled: dict[str, int] = field(default_factory=dict)
    digests: dict[str, bytes] = field(default_factory=dict)

    def revision(self, name: DocumentName) -> Revision | None:
        """Of a document that could be read."""
        assert name.source not in self.settled, "its revisions were not asked for"
        return self.revisions.get(name.source, {}).get(name.path)

    def stat(self, name: DocumentName) -> FileStat:
        """The same."""
        look = self.looks.get(name)
        return self.scans[name.source].files[name.path] if look is None else look.stat

    def documents(self) -> Iterator[tuple[DocumentName, Revision]]:
        """Every one that could be read."""
        assert not self.settled, "their revisions were not asked for"
        for source, revisions in self.revisions.items():
            for path, revision in revisions.items():
                yield DocumentName(source, path), revision

    def covers(self, name: DocumentName) -> bool:
        """Whether its absence says that there is no such document."""
        return self.places is None or lies_in(name, self.places)

    def is_whole(self, source: str) -> bool:
        """Whether all of a source was looked at."""
        return self.places is None or "" in self.places.get(source, ())

    @property
    def total(self) -> int:
        """How many documents could be read."""
        return sum(map(len, self.revisions.values())) + sum(self.settled.values())

    @property
    def ignored(self) -> int:
        return sum(scan.ignored for scan in self.scans.values())


def observe(
    sources: Sequence[FileSource],
    files: FileRows | None,
    clock: Clock,
    advance: Callable[[int], None] = lambda _: None,
    *,
    places: Places | None = None,
    entering: Callable[[str, str], None] = lambda _, __: None,
    writing: frozenset[DocumentName] = frozenset(),
    settled: Mapping[str, bytes] | None = None,
) -> Observation:
    """Scan every source, or only these places, and find each document's revision there.

    `files` are the remembered looks (None: there are none, and every file is read). `advance` is told of
    every file that had to be read, `entering` of (source, folder) right before a folder is listed. `writing`
    are known to be half written: they are not even read. `settled` are digests of sources as they are
    recorded: where the files of one are found to be just those, none is looked up (None: all revisions are
    wanted).
    """
    observation = Observation(places=places)
    patience = Patience()
    for source in sources:
        if places is not None and source.name not in places:
            continue
        paths = None if places is None else places[source.name]
        with uncollected():
            scan = source.scan(paths, partial(entering, source.name))
        observation.scans[source.name] = scan
        half_written = {name.path for name in writing if name.source == source.name} & scan.files.keys()
        is_comparable = settled is not None and observation.is_whole(source.name) and not half_written
        digest = _digest(scan) if is_comparable else None
        if settled and digest is not None and settled.get(source.name) == digest:
            observation.settled[source.name] = len(scan.files)
            continue
        known = files.of_source(source.name, paths) if files is not None else ()
        with uncollected():
            doubtful = _believe(scan, known, observation)
        is_sure = _read_others(source, scan, doubtful, half_written, observation, clock, advance, patience)
        if digest is not None and is_sure:
            observation.digests[source.name] = digest
    return observation


def other_names(observation: Observation, files: FileRows) -> set[DocumentName]:
    """The other names of files that were found changed or gone: what was written by one name was written by
    all, and nobody is told of the others.
    """
    if not observation.touched:
        return set()
    return {name for name in files.names_of(observation.touched) if not observation.covers(name)}


def changed_between(before: Observation, after: Observation) -> set[DocumentName]:
    """The documents that two looks did not find alike: they may have been anything in between."""
    changed = before.unstable | after.unstable
    for source in before.revisions.keys() | after.revisions.keys():
        here = before.revisions.get(source, {}).items() ^ after.revisions.get(source, {}).items()
        changed |= {DocumentName(source, path) for path, _ in here}
    return changed


class Patience:
    """How much longer a look waits for files that are being written."""

    def __init__(self) -> None:
        self.left_s = UNSTABLE_LOOK_S


def read_when_quiet(source: FileSource, path: str, patience: Patience) -> FileContent:
    """Read a file, a few times over if it is being written. Raises UnstableFileError when it stays so."""
    wait_s = UNSTABLE_WAIT_S
    for _ in range(UNSTABLE_ATTEMPTS - 1):
        try:
            return source.read(path)
        except UnstableFileError:
            if patience.left_s < wait_s:
                raise
            patience.left_s -= wait_s
            time.sleep(wait_s)
            wait_s *= 2
    return source.read(path)


def _believe(scan: Scan, known: Iterable[Look], observation: Observation) -> dict[str, SeenFile]:
    """Take the revisions of the files whose stat proves that they are as they were at the last look; find
    those that are gone. Returns the last looks that prove nothing.
    """
    files = scan.files
    revisions = observation.revisions[scan.source] = {}
    doubtful: dict[str, SeenFile] = {}
    for path, stat, observed_ns, revision in known:
        now = files.get(path)
        if now is not None and now == stat and not is_racy(now, observed_ns):
            revisions[path] = revision
        else:
            doubtful[path] = SeenFile(FileStat(*stat), observed_ns, revision)
    if scan.root_state is RootState.OK:
        _find_gone(scan, doubtful, observation)
    return doubtful


def _read_others(
    source: FileSource,
    scan: Scan,
    doubtful: Mapping[str, SeenFile],
    half_written: AbstractSet[str],
    observation: Observation,
    clock: Clock,
    advance: Callable[[int], None],
    patience: Patience,
) -> bool:
    """Returns whether each file's stat as scanned proves by now which revision it has."""
    is_sure = not half_written
    revisions = observation.revisions[source.name]
    for path in half_written:
        revisions.pop(path, None)
        observation.unstable.add(DocumentName(source.name, path))
    for path in [path for path in scan.files if path not in revisions and path not in half_written]:
        name = DocumentName(source.name, path)
        _read_one(source, name, doubtful.get(path), observation, clock, patience)
        advance(1)
        if name in observation.looks and path in scan.linked:
            observation.touched.add(identity_of(observation.looks[name].stat))
        is_sure = is_sure and _is_proven(observation.looks.get(name), scan.files[path])
    for problem in scan.unreadable:
        if not problem.is_directory:
            observation.unreadable[DocumentName(source.name, problem.path)] = problem.reason
    return is_sure


def _is_proven(look: SeenFile | None, stat: FileStat) -> bool:
    """Whether a look that is remembered is of this very stat, and one to believe."""
    return look is not None and look.stat == stat and not is_racy(look.stat, look.observed_ns)


def _digest(scan: Scan) -> bytes | None:
    """Of all its files; None where some may be missing."""
    is_complete = scan.root_state is RootState.OK and not scan.unreadable
    return digest_of(scan.files) if is_complete else None


def _read_one(
    source: FileSource,
    name: DocumentName,
    seen: SeenFile | None,
    observation: Observation,
    clock: Clock,
    patience: Patience,
) -> None:
    observed_ns = clock.now_ns()
    try:
        found = read_when_quiet(source, name.path, patience)
    except FileNotFoundError:
        return  # gone since the scan: as if it had never been there
    except UnstableFileError:
        observation.unstable.add(name)
    except OSError as error:
        observation.unreadable[name] = error.strerror or str(error)
    else:
        observation.revisions[name.source][name.path] = found.revision
        look = SeenFile(found.stat, observed_ns, found.revision)
        if seen is None or seen.stat != look.stat or is_racy(seen.stat, seen.observed_ns):
            observation.looks[name] = look


def _find_gone(scan: Scan, known: Mapping[str, SeenFile], observation: Observation) -> None:
    unknown = {problem.path for problem in scan.unreadable if problem.is_directory}
    for path, seen in known.items():
        if path not in scan.files and not (unknown and any(folder in unknown for folder in _above(path))):
            observation.gone.append(DocumentName(scan.source, path))
            observation.touched.add(identity_of(seen.stat))


def unknown_documents(scan: Scan, recorded: Iterable[DocumentName]) -> dict[DocumentName, str]:
    """Recorded documents below a folder that could not be listed, with the reason; the folder itself where
    none is recorded, so that it is not passed over in silence.
    """
    reasons = {
        problem.path: f"the folder {problem.path!r} can't be read: {problem.reason}"
        for problem in scan.unreadable
        if problem.is_directory
    }
    if not reasons:
        return {}
    found: dict[DocumentName, str] = {}
    bare = dict(reasons)
    for name in recorded:
        if name.source != scan.source:
            continue
        for folder in _above(name.path):
            if folder in reasons:
                found.setdefault(name, reasons[folder])
                bare.pop(folder, None)
    return found | {DocumentName(scan.source, folder): reason for folder, reason in bare.items()}


def _above(path: str) -> Iterator[str]:
    """The folders that a file lies in, the nearest first, without the source's own."""
    while path := path.rpartition("/")[0]:
        yield path


def unscanned_reason(source: str, reason: str) -> str:
    """What to tell of a source whose folder is not there, or can't be listed."""
    return f"source {source!r}: its folder can't be scanned: {reason}"
