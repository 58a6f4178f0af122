"""What is mounted where, and which file systems tell of nothing that happens on them: those of other
machines.
"""

import os
from collections.abc import Iterator
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")
_SILENT = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "ceph", "afs", "glusterfs", "lustre"}
)


def file_system_of(folder: str) -> str:
    """The type of the file system that holds a real path, as the kernel calls it; "" if that is unknown."""
    best, kind = -1, ""
    for point, fields in _mounts():
        # A later line stands over an earlier one of the same place.
        if len(point) >= best and _lies_below(folder, point):
            best, kind = len(point), fields[fields.index(b"-", 6) + 1].decode()
    return kind


def mounts_around(folder: str) -> frozenset[bytes]:
    """What is mounted above, at and below a real path: which mount it is, of which device, where."""
    return frozenset(
        b" ".join((fields[0], fields[2], fields[4]))
        for point, fields in _mounts()
        if _lies_below(folder, point) or _lies_below(point, folder)
    )


def tells_of_changes(kind: str) -> bool:
    """Whether every change there, by whomever, is an event here."""
    return kind not in _SILENT and not kind.startswith("fuse")


def _mounts() -> Iterator[tuple[str, list[bytes]]]:
    """Each mount's folder, and all fields of its line."""
    try:
        table = _TABLE.read_bytes()
    except OSError:
        return
    for line in table.splitlines():
        fields = line.split(b" ")
        yield os.fsdecode(fields[4].decode("unicode_escape").encode("latin-1")), fields


def _lies_below(path: str, folder: str) -> bool:
    return (path + "/").startswith(folder.rstrip("/") + "/")
