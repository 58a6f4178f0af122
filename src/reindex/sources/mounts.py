"""Which kind of file system a folder is on: those of other machines tell of nothing that happens there."""

import os
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")
_SILENT = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "ceph", "afs", "glusterfs", "lustre"}
)


def file_system_of(folder: str) -> str:
    """The type of the file system that holds a real path, as the kernel calls it; "" if that is unknown."""
    best, kind = -1, ""
    try:
        table = _TABLE.read_bytes()
    except OSError:
        return ""
    for line in table.splitlines():
        fields = line.split(b" ")
        separator = fields.index(b"-", 6)
        point = os.fsdecode(fields[4].decode("unicode_escape").encode("latin-1"))
        # A later line stands over an earlier one of the same place.
        if len(point) >= best and (folder + "/").startswith(point.rstrip("/") + "/"):
            best, kind = len(point), fields[separator + 1].decode()
    return kind


def tells_of_changes(kind: str) -> bool:
    """Whether every change there, by whomever, is an event here."""
    return kind not in _SILENT and not kind.startswith("fuse")
