"""A pass over the places that changed leaves the same record and the same table as a pass over everything."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.disk_operations import Disk
from doubles import House, Told, check_whole, contents
from reindex.model import outermost
from reindex.syncing import Look, sync_with


def pass_over(house, places):
    with house.app.writer("sync", lambda _: None) as writer:
        sync_with(house.app, writer, Told(), look=Look(places))


def everything(docs):
    """What stands at each path: enough to see what a step changed."""
    found = {}
    for path in docs.rglob("*"):
        stat = path.lstat()
        found[str(path.relative_to(docs))] = (
            stat.st_mode,
            stat.st_ino,
            stat.st_size,
            stat.st_mtime_ns,
            stat.st_ctime_ns,
        )
    return found


def changed(before, after):
    """As the watcher says it: what is at another state; the folder of an ignore file that is."""
    paths = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    places = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        places.add(folder if name in {".gitignore", ".reindexignore"} else path)
    return places


def record(house):
    with house.ledger() as ledger:
        number = ledger.generations.live().number
        seen = ledger.files.of_source("docs")
        return (
            sorted(ledger.documents.revisions(number)),
            {path: (stat, revision) for path, stat, _, revision in seen},
            {name: (f.revision, f.reason, f.permanent) for name, f in ledger.failures.all().items()},
            [(hold.source, hold.documents, hold.reason) for hold in ledger.failures.holds()],
        )


@given(st.integers(0, 2**32), st.lists(st.integers(1, 12), min_size=1, max_size=4), st.booleans())
@settings(max_examples=8)
def test_some_places_or_everything(seed, steps, is_wider):
    folder = Path(tempfile.mkdtemp(prefix="reindex-places-"))
    try:
        some = House(folder).with_default_windows()
        whole = House(folder, data_dir=folder / "whole").with_default_windows()
        for number in range(6):
            some.write(f"stays/{number}.md", f"Document {number} stays.")
        some.sync()
        whole.sync()
        disk = Disk(seed, some.docs, folder / "outside", burst=(2, 5))
        for count in steps:
            before = everything(some.docs)
            for _ in range(count):
                disk.step()
            disk.be_quiet()
            places = changed(before, everything(some.docs))
            if is_wider:
                places |= {path.rpartition("/")[0] for path in list(places)[:1]}
            pass_over(some, {"docs": outermost(places)} if places else {})
            pass_over(whole, None)
            assert record(some) == record(whole), disk.log
            assert contents(some.snapshot()) == contents(whole.snapshot()), disk.log
            check_whole(some.snapshot())
        assert not some.embedder.paid_twice
    finally:
        shutil.rmtree(folder, ignore_errors=True)
