"""All checks of the doctor's, one after the other."""

from collections.abc import Callable, Iterable, Iterator

from reindex.app import App
from reindex.doctor.documents import check_sources
from reindex.doctor.findings import Finding, failed, fine
from reindex.doctor.machine import check_clock, check_data_dir, check_inotify, check_space, read_inotify
from reindex.doctor.model import check_model
from reindex.doctor.provider import check_provider
from reindex.doctor.service import check_service
from reindex.doctor.stores import check_stores
from reindex.errors import ConfigError
from reindex.maintenance import folder_bytes
from reindex.presence import find_daemon


def examine(open_app: Callable[[], App]) -> Iterator[Finding]:
    """The findings as they come; the slowest, the model, is last. Changes no store.

    Without a configuration there is nothing else to look at.
    """
    try:
        app = open_app()
    except ConfigError as error:
        yield failed("configuration", error.message, error.hint or "Mend it; `reindex config validate`.")
        return
    count = len(app.settings.sources)
    yield fine("configuration", f"valid, {count} source{'s' * (count != 1)}")
    checks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("data directory", lambda: [check_data_dir(app.data_dir)]),
        ("disk space", lambda: [check_space(app.data_dir, _used(app))]),
        ("clock", lambda: [check_clock(app.data_dir)]),
        ("sources", lambda: _sources(app)),
        ("stores", lambda: check_stores(app)),
        ("daemon", lambda: check_service(app)),
        ("model", lambda: _model(app)),
    )
    for name, check in checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 (one check that breaks must not hide the others)
            words = f"this check broke: {type(error).__name__}: {error}"
            yield failed(name, words, "Please report it; the other checks are not touched by it.")


def _sources(app: App) -> Iterator[Finding]:
    found = check_sources(app.sources(), app.settings.daemon.poll_s)
    yield from found.findings
    is_watching = find_daemon(app.data_dir) is not None
    yield check_inotify(found.folders, read_inotify(), is_watching=is_watching)


def _model(app: App) -> Iterable[Finding]:
    return check_provider(app) if app.settings.embedding.provider == "openai" else [check_model(app)]


def _used(app: App) -> int:
    return folder_bytes(app.data_dir) if app.data_dir.is_dir() else 0
