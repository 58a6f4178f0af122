"""Desired against recorded: what must happen to make a generation equal to the disk."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from reindex.model import DocumentName, Revision


class Recorded(NamedTuple):
    """What a generation holds of a document: its revision, and the versions of the code that parsed it."""

    revision: Revision
    parser: str


@dataclass(frozen=True, slots=True)
class Differences:
    """The documents that disk and generation do not have alike, on either side; how many they have alike, and
    how many are recorded in each source.
    """

    desired: Mapping[DocumentName, Revision]
    recorded: Mapping[DocumentName, Recorded]
    unchanged: int
    totals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """Every document in exactly one place. `moved` maps the new name to the old one.

    `failed` are at a revision that is known to fail permanently; what was recorded of them stays served.
    `waiting` are at a revision whose vectors a batch is to bring, and likewise.
    `reparsed` counts those of `changed` whose content is the same: the code that parses them is another.
    """

    added: tuple[DocumentName, ...]
    changed: tuple[DocumentName, ...]
    moved: Mapping[DocumentName, DocumentName]
    deleted: tuple[DocumentName, ...]
    unchanged: int
    failed: tuple[DocumentName, ...]
    waiting: tuple[DocumentName, ...] = ()
    reparsed: int = 0

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.changed or self.moved or self.deleted)


def compare(
    desired: Mapping[str, Mapping[str, Revision]],
    recorded: Iterable[tuple[str, str, Revision, str]],
    parser_of: Callable[[str], str],
    settled: Mapping[str, int] | None = None,
) -> Differences:
    """What is on disk (source -> path -> revision) against what a generation holds (source, path, revision
    and parser of each document). `parser_of` a path are the versions of the code that would parse it now. Of
    `settled` sources, which are in neither, it is known that all of so many documents are alike.

    In a large tree nearly all are alike: of those, nothing is made anew.
    """
    left = {source: dict(paths) for source, paths in desired.items()}
    nothing: dict[str, Revision] = {}
    unlike: dict[DocumentName, Recorded] = {}
    for source, path, revision, parser in recorded:
        here = left.get(source, nothing)
        if here.get(path) == revision and parser == parser_of(path):
            del here[path]
        else:
            unlike[DocumentName(source, path)] = Recorded(revision, parser)
    alike = {source: len(paths) - len(left[source]) for source, paths in desired.items()}
    alike.update(settled or {})
    return Differences(
        desired={
            DocumentName(source, path): revision
            for source, here in left.items()
            for path, revision in here.items()
        },
        recorded=unlike,
        unchanged=sum(alike.values()),
        totals=Counter(alike) + Counter(name.source for name in unlike),
    )


def plan(
    found: Differences,
    kept: AbstractSet[DocumentName],
    dead: Mapping[DocumentName, Recorded],
    parser_of: Callable[[str], str],
    awaited: Mapping[DocumentName, Recorded] | None = None,
) -> Plan:
    """What to do about the differences.

    `kept` are documents of which nothing is known now (unreadable, held): neither changed nor deleted. `dead`
    are permanent failures: a document waits while it is at exactly that revision and parser; and so does one
    that is `awaited` from a batch.
    """
    desired, recorded = found.desired, found.recorded
    added, changed, failed, waiting = [], [], [], []
    awaited = awaited or {}
    for name, revision in desired.items():
        now = (revision, parser_of(name.path))
        if dead.get(name) == now:
            failed.append(name)
        elif awaited.get(name) == now:
            waiting.append(name)
        elif name in recorded:
            changed.append(name)
        else:
            added.append(name)
    gone = [name for name in recorded if name not in desired and name not in kept]
    moved = _moves(added, gone, desired, recorded)
    left = set(moved.values())
    return Plan(
        added=tuple(sorted(name for name in added if name not in moved)),
        changed=tuple(sorted(changed)),
        moved=moved,
        deleted=tuple(sorted(name for name in gone if name not in left)),
        unchanged=found.unchanged,
        failed=tuple(sorted(failed)),
        waiting=tuple(sorted(waiting)),
        reparsed=sum(recorded[name].revision == desired[name] for name in changed),
    )


def _moves(
    added: list[DocumentName],
    gone: list[DocumentName],
    desired: Mapping[DocumentName, Revision],
    recorded: Mapping[DocumentName, Recorded],
) -> dict[DocumentName, DocumentName]:
    """Pair each new name with a vanished one of the same content; one that keeps its file name first."""
    leaving, coming = sorted(gone, reverse=True), sorted(added)
    pairs: dict[DocumentName, DocumentName] = {}
    taken: set[DocumentName] = set()
    for kind_of in (_file_of, _content_of):
        candidates: dict[Hashable, list[DocumentName]] = defaultdict(list)
        for old in leaving:
            if old not in taken:
                candidates[kind_of(old, recorded[old].revision)].append(old)
        for name in coming:
            alike = candidates.get(kind_of(name, desired[name]))
            if alike and name not in pairs:
                pairs[name] = alike.pop()
                taken.add(pairs[name])
    return pairs


def _file_of(name: DocumentName, revision: Revision) -> Hashable:
    return revision, name.path.rpartition("/")[2]


def _content_of(_: DocumentName, revision: Revision) -> Hashable:
    return revision
