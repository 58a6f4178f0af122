"""Cases that need a kernel of their own, run by `test_matrix_namespaces.py`, each in a namespace:

unshare -Urm python namespaced.py CASE FOLDER
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "src")]

from daemon.conftest import Kept  # noqa: E402
from doubles import House  # noqa: E402
from reindex.settings import DaemonSettings  # noqa: E402
from reindex.sources import roots  # noqa: E402


def house_in(folder):
    house = House(folder)
    house.settings = replace(house.settings, daemon=DaemonSettings(http="", reconcile_s=1e9, poll_s=0.3))
    return house


def names(kept):
    return {layout.name.path for layout in kept.house.snapshot().layouts()}


def held(kept):
    with kept.house.ledger() as ledger:
        return {hold.source: hold.reason for hold in ledger.failures.holds()}


def run(*command):
    subprocess.run(command, check=True)


def few_watches(folder):
    """The kernel's own limit of watches."""
    Path("/proc/sys/user/max_inotify_watches").write_text("10")
    house = house_in(folder)
    for number in range(30):
        house.write(f"f{number}/a.md", f"File {number}.")
    with Kept(house) as kept:
        assert kept.condition.watches == 10, kept.condition
        assert kept.condition.state == "degraded"
        assert "fs.inotify.max_user_watches" in kept.condition.reasons()[0]
        for number in range(30):
            house.write(f"f{number}/b.md", f"Another file {number}.")
        kept.until_equal()
        Path("/proc/sys/user/max_inotify_watches").write_text("1000")
        kept.until(lambda: kept.condition.state == "ready")


def no_instance(folder):
    """The kernel's own limit of inotify instances."""
    Path("/proc/sys/user/max_inotify_instances").write_text("0")
    house = house_in(folder)
    house.write("first.md", "The first.")
    with Kept(house) as kept:
        assert "fs.inotify.max_user_instances" in kept.condition.reasons()[0]
        house.write("a/b.md", "Another.")
        kept.until_equal()


def unmounted(folder):
    """A source's disk is taken away and comes back."""
    house = house_in(folder)
    run("mount", "-t", "tmpfs", "none", str(house.docs))
    house.write("a/first.md", "The first.")
    with Kept(house) as kept:
        run("mount", "--bind", str(house.docs), str(make(folder / "aside")))
        run("umount", "-l", str(house.docs))
        kept.until(lambda: held(kept))
        assert names(kept) == {"a/first.md"}
        run("mount", "--bind", str(folder / "aside"), str(house.docs))
        kept.until(lambda: not held(kept))
        house.write("a/later.md", "Heard again.")
        kept.until_equal()
        assert names(kept) == {"a/first.md", "a/later.md"}
        assert house.embedder.sent.total() == 2


def mounted_over(folder):
    """Something is mounted over a folder of a source, and taken away."""
    house = house_in(folder)
    house.write("stays.md", "This one stays.")
    house.write("sub/below.md", "What lies below.")
    make(folder / "other")
    (folder / "other" / "above.md").write_text("What lies above.")
    with Kept(house) as kept:
        run("mount", "--bind", str(folder / "other"), str(house.docs / "sub"))
        kept.until(lambda: names(kept) == {"stays.md", "sub/above.md"})
        (folder / "other" / "more.md").write_text("Written by the other way.")
        kept.until_equal()
        assert "sub/more.md" in names(kept)
        run("umount", str(house.docs / "sub"))
        kept.until(lambda: names(kept) == {"stays.md", "sub/below.md"})
        house.write("sub/later.md", "Heard.")
        kept.until_equal()


def mounted_elsewhere(folder):
    """A mount that has nothing to do with a source is no reason to look."""
    house = house_in(folder)
    house.write("first.md", "The first.")
    with Kept(house) as kept:
        passes = kept.condition.passes
        run("mount", "-t", "tmpfs", "none", str(make(folder / "other")))
        kept.until(lambda: not kept.keeper._watcher._watches._inotify.mounts_changed.is_set())
        house.write("first.md", "Another.")
        kept.until_equal()
        assert kept.condition.passes == passes + 1, kept.condition


def overlaid(folder):
    """What is written below an overlay is not told: such a source has to be polled."""
    house = house_in(folder)
    for name in ("lower", "upper", "work"):
        make(folder / name)
    options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
    (folder / "lower" / "first.md").write_text("The first.")
    run("mount", "-t", "overlay", "overlay", "-o", options, str(house.docs))
    plain = roots.file_system_of
    roots.file_system_of = lambda path: "fuse.overlay" if path == str(house.docs) else plain(path)
    with Kept(house) as kept:
        assert names(kept) == {"first.md"}
        house.write("through.md", "Through the overlay.")
        kept.until_equal()
        (folder / "lower" / "below.md").write_text("Below the overlay.")
        kept.until(lambda: "below.md" in names(kept))
        kept.until_equal()


def make(folder):
    folder.mkdir(exist_ok=True)
    return folder


if __name__ == "__main__":
    cases = [few_watches, no_instance, unmounted, mounted_over, mounted_elsewhere, overlaid]
    case = {case.__name__: case for case in cases}[sys.argv[1]]
    case(Path(sys.argv[2]))
    print("as it should be")
