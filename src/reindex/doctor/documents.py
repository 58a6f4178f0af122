"""The sources: are they there, can they be read, and does their file system tell of changes?"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from reindex.doctor.findings import Finding, failed, fine, warning
from reindex.errors import ReindexError
from reindex.sources.files import FileSource, RootState, Scan

_FUTURE_TOLERANCE_S = 2.0
_SILENT_TYPES = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "vboxsf", "virtiofs"})
_MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Sources:
    """What the checks found, and how many folders there are to watch."""

    findings: tuple[Finding, ...]
    folders: int


def check_sources(sources: dict[str, FileSource], poll_s: float) -> Sources:
    """Every source by itself, and the times of all files together."""
    findings: list[Finding] = []
    folders = 0
    future = 0
    for name, source in sources.items():
        try:
            scan = source.scan()
        except ReindexError as error:
            findings.append(failed(f"source {name}", error.message, error.hint or "Mend the configuration."))
            continue
        findings += _look(source, scan, poll_s)
        folders += _folders(scan)
        limit_ns = int((time.time() + _FUTURE_TOLERANCE_S) * 1e9)
        future += sum(found.mtime_ns > limit_ns for found in scan.files.values())
    if future:
        words = f"{future:,} documents are dated in the future: each pass reads them whole"
        fix = "Set the clock, or give them the time of now: touch FILE."
        findings.append(warning("times of documents", words, fix))
    return Sources(tuple(findings), folders)


def filesystem_of(folder: Path, mounts: str) -> str:
    """The type of the file system that holds a folder, by a text like /proc/self/mountinfo; "" if unknown."""
    best, kind = "", ""
    real = os.path.realpath(folder)
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        point = fields[4].encode().decode("unicode_escape", errors="replace")
        is_above = point in {"/", real} or real.startswith(point + "/")
        if is_above and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind


def is_silent(kind: str) -> bool:
    """Does a file system of this type not tell of what other machines change in it?"""
    return kind in _SILENT_TYPES or kind.startswith("fuse")


def _look(source: FileSource, scan: Scan, poll_s: float) -> Iterator[Finding]:
    check = f"source {source.name}"
    if scan.root_state is not RootState.OK:
        words = scan.root_state.value.replace("_", " ")
        reason = f": {scan.root_reason}" if scan.root_reason else ""
        fix = "Mount or make the folder, mend its permissions, or correct path in [[sources]]."
        yield failed(check, f"{source.root} is {words}{reason}", fix)
        return
    try:
        kind = filesystem_of(source.root, _MOUNTS.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        kind = ""
    how = f" on {kind}" if kind else ""
    if is_silent(kind):
        how += f", which does not tell of all changes: it is looked at every {poll_s:g} s (daemon.poll_s)"
    found = f"{source.root}{how}: {len(scan.files):,} documents"
    if scan.unreadable:
        first = scan.unreadable[0]
        words = f"{found}, {len(scan.unreadable):,} paths can't be read ({first.path}: {first.reason})"
        yield warning(check, words, "Mend their permissions, or leave them out with exclude.")
    elif not scan.files:
        yield warning(check, found, "Are include and exclude as they are meant? `reindex status FILE` tells.")
    else:
        yield fine(check, found)


def _folders(scan: Scan) -> int:
    """The folders of documents, and those above them."""
    found = {parent for path in scan.files for parent in PurePosixPath(path).parents}
    return max(1, len(found))
