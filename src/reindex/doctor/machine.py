"""The place where the index lives, and what the system allows: permissions, space, clock, inotify."""

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reindex.doctor.findings import Finding, failed, fine, warning

_FREE_BYTES_NEEDED = 100_000_000
_FREE_BYTES_WANTED = 1_000_000_000
_CLOCK_TOLERANCE_S = 2.0
_CLOCK_BEFORE = 1_767_225_600.0  # 2026-01-01: no index of this product is older
_SHARE_IN_USE = 0.8
_INSTANCES_SPARE = 16
_LIMITS = Path("/proc/sys/fs/inotify")


@dataclass(frozen=True, slots=True)
class Inotify:
    """What the kernel allows a user, and what all processes that can be seen take of it."""

    watches_max: int
    watches_used: int
    instances_max: int
    instances_used: int


def check_data_dir(data_dir: Path) -> Finding:
    """Can it be written to (proven by doing so), and by nobody else?"""
    check = "data directory"
    place = _nearest(data_dir)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"reindex")
            file.flush()
    except OSError as error:
        return failed(
            check, f"{place} can't be written to: {error.strerror}", "Mend that, or choose another data_dir."
        )
    if place != data_dir:
        return fine(check, f"{data_dir} is not made yet; {place} can be written to")
    if data_dir.stat().st_mode & stat.S_IWOTH:
        return warning(check, f"{data_dir} can be written by everybody", f"chmod o-w {data_dir}")
    return fine(check, f"{data_dir} can be written to")


def check_space(data_dir: Path, used_bytes: int, free_bytes: int | None = None) -> Finding:
    """A rebuild needs as much again as the index takes. `free_bytes` None asks the disk."""
    if free_bytes is None:
        free_bytes = shutil.disk_usage(_nearest(data_dir)).free
    found = f"{free_bytes / 1e9:.1f} GB free, {used_bytes / 1e9:.1f} GB in use by the index"
    fix = "Free some space, or choose a data_dir on another disk; `reindex gc` removes what is not needed."
    if free_bytes < _FREE_BYTES_NEEDED:
        return failed("disk space", found, fix)
    if free_bytes < max(_FREE_BYTES_WANTED, used_bytes):
        return warning("disk space", f"{found}: a rebuild may not fit", fix)
    return fine("disk space", found)


def check_clock(data_dir: Path, *, now: Callable[[], float] = time.time) -> Finding:
    """The system's clock, and that of the file system beside it."""
    check, fix = "clock", "Set the clock (timedatectl status shows it), also that of the file server."
    if now() < _CLOCK_BEFORE:
        return failed(check, f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now()))}", fix)
    try:
        with tempfile.NamedTemporaryFile(dir=_nearest(data_dir)) as file:
            file.write(b"reindex")
            file.flush()
            ahead_s = os.fstat(file.fileno()).st_mtime - now()
    except OSError:
        return fine(check, "not compared with the disk, which can't be written to")
    if abs(ahead_s) > _CLOCK_TOLERANCE_S:
        return warning(check, f"the disk's clock differs by {ahead_s:+.1f} s from the system's", fix)
    return fine(check, "the disk's clock is the system's")


def check_inotify(folders: int, there: Inotify | None, *, is_watching: bool) -> Finding:
    """Is there room for a watch on each folder? `is_watching`: a daemon has them already."""
    check = "inotify"
    if there is None:
        return fine(check, "not known here: folders are looked at now and then")
    needed = there.watches_used + (0 if is_watching else folders)
    instances = there.instances_used + (0 if is_watching else 1)
    found = (
        f"{folders:,} folders; {there.watches_used:,} of {there.watches_max:,} watches and"
        f" {there.instances_used:,} of {there.instances_max:,} instances in use"
    )
    raised = []
    if needed > there.watches_max * _SHARE_IN_USE:
        raised.append(f"fs.inotify.max_user_watches={_power_of_two(2 * needed)}")
    if instances > there.instances_max * _SHARE_IN_USE:
        raised.append(f"fs.inotify.max_user_instances={_power_of_two(2 * instances + _INSTANCES_SPARE)}")
    if not raised:
        return fine(check, found)
    lines = " ".join(raised)
    kept = "\\n".join(raised)
    fix = (
        f"sudo sysctl {lines} (for good: printf '{kept}\\n' | sudo tee /etc/sysctl.d/60-reindex.conf)."
        " Without it, folders are looked at now and then."
    )
    if needed > there.watches_max or instances > there.instances_max:
        return failed(check, f"{found}: not enough", fix)
    return warning(check, f"{found}: nearly all", fix)


def read_inotify() -> Inotify | None:
    """None where there is no inotify."""
    try:
        watches_max = int((_LIMITS / "max_user_watches").read_text())
        instances_max = int((_LIMITS / "max_user_instances").read_text())
    except (OSError, ValueError):
        return None
    watches = instances = 0
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):  # another user's, or gone
            if process.stat().st_uid != os.getuid():
                continue
            for each in (process / "fd").iterdir():
                with suppress(OSError):
                    if str(each.readlink()) == "anon_inode:inotify":
                        instances += 1
                        watches += (process / "fdinfo" / each.name).read_text().count("inotify wd:")
    return Inotify(watches_max, watches, instances_max, instances)


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.exists()), Path("/"))


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
