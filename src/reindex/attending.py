"""Looking after the batches of an open store, and waiting for them."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from reindex.app import App
from reindex.batch.adopting import may_have_unknown
from reindex.batch.context import sweep
from reindex.batch.sweeping import sweep_uploads
from reindex.batch.unhurried import Unhurried
from reindex.core.jobs import Lane
from reindex.errors import ConfigError, ModelError, OutageError
from reindex.report import PassReport, Progress
from reindex.stores.identity_file import read_identity
from reindex.writer import Writer

if TYPE_CHECKING:
    from reindex.batch.lane import Attended

POLL_MAX_S = 60.0  # and ten times that when a batch is two hours old
_OLD_S = 7_200.0
_STEP_S = 0.2


def attend(
    app: App,
    writer: Writer,
    report: PassReport,
    *,
    is_last: bool,
    meanwhile: Callable[[], None] | None = None,
) -> "Attended | None":
    """One round with the provider, told in the report; None where nothing was ever sent by batch.

    `is_last`: what has gathered is sealed and sent. `meanwhile` is called while the provider is waited for,
    and may run a pass. An outage is in the report: everything stays, and is tried again; so is it where there
    is no key any more.
    """
    sweep(writer.stores)
    if not is_awaiting(writer):
        return None
    from reindex.batch.lane import BatchLane  # numpy

    try:
        context = app.batch_context(writer.stores)
        if meanwhile is not None:
            provider = Unhurried(context.provider, meanwhile)
            context = replace(context, provider=provider, meanwhile=meanwhile)
    except (ConfigError, ModelError) as error:
        report.notices.append(f"batches that are under way are not looked after: {error.message}")
        return None
    attended = BatchLane(context).attend(is_last=is_last)
    report.add_sent(attended.texts, attended.tokens, attended.usd)
    report.texts_ahead += attended.texts
    report.notices += [notice for notice in attended.held if notice not in report.notices]
    report.outage = attended.outage
    report.chunks.in_flight = writer.ledger.jobs.texts_in_flight()
    return attended


def is_awaiting(writer: Writer) -> bool:
    """Whether anything is with the provider, or may be."""
    return bool(writer.ledger.jobs.open(Lane.BATCH)) or may_have_unknown(writer.stores)


def wait_for_batches(
    app: App,
    writer: Writer,
    progress: Progress,
    report: PassReport,
    wait_s: float,
    again: Callable[[], object],
    meanwhile: Callable[[], None] | None = None,
) -> None:
    """Look after them until none is open, so much time is over, or a person has to mend something. `again`
    is called when some have ended, `meanwhile` all the time.
    """
    until = time.monotonic() + wait_s
    poll_s = app.settings.embedding.openai.batch_poll_s
    rest_s = _rest_by(report.outage, poll_s)
    progress.phase("waiting for batches", writer.ledger.jobs.texts_in_flight(), "texts")
    shown = 0
    while is_awaiting(writer) and time.monotonic() < until and not app.stop():
        if report.outage is not None and report.outage.is_lasting:
            return
        _rest(app, progress, min(rest_s, until - time.monotonic()), meanwhile)
        attended = attend(app, writer, report, is_last=True, meanwhile=meanwhile)
        if attended is None:
            return
        done = _completed(writer)
        progress.advance(max(0, done - shown))
        shown = max(shown, done)
        if attended.ended:
            again()
            rest_s = poll_s
        rest_s = _rest_by(report.outage, min(2 * rest_s, longest_rest_s(app, writer)))


def _rest_by(outage: OutageError | None, rest_s: float) -> float:
    """At least as long as the provider asked for."""
    return rest_s if outage is None else max(rest_s, outage.wait_s)


def remove_uploads(app: App, writer: Writer) -> None:
    """Remove the files at the provider that no batch needs, if there ever was one. Not while there may be
    batches that the ledger does not know: their texts are learned from those files.
    """
    if read_identity(writer.data_dir) is None or may_have_unknown(writer.stores):
        return
    try:
        sweep_uploads(app.batch_context(writer.stores))
    except (ConfigError, ModelError) as error:
        writer.warn(f"uploads that nobody needs are left to expire: {error.message}")


def longest_rest_s(app: App, writer: Writer) -> float:
    """Between two looks, when nothing has happened for some time."""
    jobs = writer.ledger.jobs.open(Lane.BATCH)
    now = app.clock.now()
    is_old = bool(jobs) and all(now - job.created_at > _OLD_S for job in jobs)
    return max(POLL_MAX_S * (10 if is_old else 1), app.settings.embedding.openai.batch_poll_s)


def _rest(app: App, progress: Progress, rest_s: float, meanwhile: Callable[[], None] | None) -> None:
    """In steps, so that whoever wants an end of it gets one."""
    end = time.monotonic() + rest_s
    while (left := end - time.monotonic()) > 0 and not app.stop():
        progress.advance(0)
        if meanwhile is not None:
            meanwhile()
        time.sleep(min(_STEP_S, left))


def _completed(writer: Writer) -> int:
    records = (writer.ledger.batches.one(job.number) for job in writer.ledger.jobs.open(Lane.BATCH))
    return sum(record.completed for record in records if record is not None)
