"""What is stored: databases, the published pointer and its table, and what was left behind."""

from collections.abc import Iterator
from pathlib import Path

from reindex.app import App
from reindex.doctor.findings import Finding, failed, fine, warning
from reindex.errors import StoreError
from reindex.stores.cache import FILE as CACHE_FILE
from reindex.stores.ledger import FILE as LEDGER_FILE
from reindex.stores.ledger import Ledger
from reindex.stores.manifests import tables_on_disk, versions_on_disk
from reindex.stores.pointer import Pointer
from reindex.stores.sqlite_reading import check_file

_LEFT_BEHIND_SHOWN = 3


def check_stores(app: App) -> Iterator[Finding]:
    """Each of them; nothing is written."""
    for check, name in (("ledger", LEDGER_FILE), ("vector cache", CACHE_FILE)):
        yield _database(check, app.data_dir / name)
    yield _published(app)
    yield _left_behind(app.data_dir)


def _database(check: str, path: Path) -> Finding:
    if not path.exists():
        return fine(check, "not made yet")
    try:
        check_file(path)
    except StoreError as error:
        return failed(check, error.message, error.hint or "Run `reindex sync`.")
    return fine(check, f"{path.name} is sound, {path.stat().st_size / 1e6:.1f} MB")


def _published(app: App) -> Finding:
    check = "published index"
    try:
        published = Pointer(app.data_dir).read()
        with app.ledger() as ledger:
            live = ledger.generations.live() if ledger is not None else None
    except StoreError as error:
        return failed(check, error.message, error.hint or "Run `reindex sync`.")
    if published is None and live is None:
        return fine(check, "nothing is published yet")
    if published is None:
        return failed(check, "the pointer published.json is gone", "Run `reindex sync`: it is written again.")
    if not (app.data_dir / published.manifest).is_file():
        versions = versions_on_disk(app.data_dir, published.table)
        words = f"version {published.version} of the table is gone ({len(versions)} others are there)"
        return failed(check, words, "Run `reindex sync`: what is missing is made anew from the cache.")
    if live is None or (live.number, live.version) != (published.generation, published.version):
        words = "pointer and ledger name different versions: a run is under way, or was interrupted"
        return warning(check, words, "Run `reindex sync`: it puts them right.")
    return fine(check, f"generation {published.generation}, version {published.version}")


def _left_behind(data_dir: Path) -> Finding:
    """Files that nothing uses any more."""
    names = [each.name for each in data_dir.glob("*.new")] + [
        each.name for each in data_dir.glob("*.damaged-*")
    ]
    known = _known_tables(data_dir)
    if known is not None:
        names += [f"table {each}" for each in tables_on_disk(data_dir) if each not in known]
    if not names:
        return fine("leftovers", "none")
    shown = ", ".join(sorted(names)[:_LEFT_BEHIND_SHOWN])
    words = f"{len(names)} that nothing uses: {shown}{' ...' if len(names) > _LEFT_BEHIND_SHOWN else ''}"
    fix = f"`reindex gc` removes tables; files named .new or .damaged in {data_dir} may be deleted."
    return warning("leftovers", words, fix)


def _known_tables(data_dir: Path) -> set[str] | None:
    """The tables that the ledger names; None where it can't be read."""
    try:
        ledger = Ledger.open_for_reading(data_dir)
        if ledger is None:
            return None
        try:
            return {each.table for each in ledger.generations.all()}
        finally:
            ledger.close()
    except StoreError:
        return None
