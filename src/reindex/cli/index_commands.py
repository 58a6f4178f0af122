"""`plan`, `sync` and `gc`: what changes the index, or would."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, QuietOption, open_app
from reindex.cli.output import plural, print_json, say, warn
from reindex.cli.progress import make_progress
from reindex.errors import ExitCode

if TYPE_CHECKING:
    from reindex.planning import PlanReport
    from reindex.report import PassReport


def plan(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """What a sync would do and cost. Embeds nothing, writes nothing."""
    from reindex.planning import make_plan

    with closing(make_progress(quiet=quiet)) as progress, closing(open_app(config, data_dir)) as app:
        found = make_plan(app, progress)
    for notice in found.notices:
        warn(f"note: {notice}")
    if json_output:
        print_json(_plan_object(found))
    else:
        _say_plan(found)


def sync(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    wait: Annotated[
        float | None, typer.Option("--wait", help="Seconds to wait for work in flight.", metavar="S")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Use the fast lane for everything.")] = False,
    accept_deletes: Annotated[
        bool, typer.Option("--accept-deletes", help="Believe a mass deletion that is held.")
    ] = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring the index up to date with the documents. Pays only for text that is new.

    With a local model everything is done when the command ends: --wait and --now change nothing then.
    """
    from reindex.syncing import sync as run_sync

    del wait, now  # the local lane is always the fast one, and leaves nothing in flight
    with closing(make_progress(quiet=quiet)) as progress, closing(open_app(config, data_dir)) as app:
        report = run_sync(app, progress, accept_deletes=accept_deletes)
    warn_of(report)
    if json_output:
        print_json(sync_object(report))
    else:
        say_sync(report)
    if report.is_partial:
        raise typer.Exit(ExitCode.PARTIAL)


def gc(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Remove what no reader can reach any more: old generations and versions, lost tables, vectors over the
    cache's limit.
    """
    from reindex.maintenance import collect_garbage

    app = open_app(config, data_dir)
    with closing(make_progress(quiet=quiet)) as progress, app.writer("gc", progress.warn) as writer:
        progress.phase("collecting garbage", 0, "steps")
        found = collect_garbage(writer, app.settings)
    if json_output:
        print_json(asdict(found))
        return
    say(
        f"removed {plural(found.versions_removed, 'version')}, {plural(found.tables_removed, 'table')},"
        f" {plural(found.encoders_removed, 'encoder')}, {plural(found.vectors_evicted, 'cached vector')}"
    )
    say(f"data directory: {found.bytes_before / 1e6:.1f} MB before, {found.bytes_after / 1e6:.1f} MB now")


def _plan_object(found: PlanReport) -> dict[str, object]:
    return {
        "documents": {
            "added": found.added,
            "changed": found.changed,
            "moved": found.moved,
            "deleted": found.deleted,
            "unchanged": found.unchanged,
            "ignored": found.ignored,
            "pending": found.pending,
        },
        "chunks": {"to_embed": found.to_embed, "cached": found.cached, "in_flight": found.in_flight},
        "tokens": found.tokens,
        "cost_usd": {"realtime": 0.0, "batch": 0.0},
        "eta_s": found.eta_s,
    }


def _say_plan(found: PlanReport) -> None:
    say(
        f"documents: {found.added} to add, {found.changed} changed, {found.moved} moved,"
        f" {found.deleted} to delete, {found.unchanged} unchanged, {found.ignored} ignored"
    )
    for count, what in (
        (found.pending, "being written, or gone meanwhile"),
        (found.failed, "failed"),
        (found.held, "deletions held"),
    ):
        if count:
            say(f"           {count} {what}")
    say(f"chunks:    {found.to_embed} to embed ({found.tokens:,} tokens), {found.cached} already embedded")
    say(f"cost:      $0 (local model), about {found.eta_s:.0f} s")


def warn_of(report: PassReport) -> None:
    """What a person should know of a pass, on stderr."""
    for notice in report.notices:
        warn(f"note: {notice}")
    for name, reason in report.failures.items():
        warn(f"failed: {name}: {reason}")


def sync_object(report: PassReport) -> dict[str, object]:
    """The `sync` object of the interface."""
    return {
        "generation": report.generation,
        "version": report.version,
        "documents": asdict(report.documents),
        "chunks": asdict(report.chunks),
        "tokens_embedded": report.tokens_embedded,
        "cost_usd": report.cost_usd,
        "commits": report.commits,
        "duration_s": report.duration_s,
    }


def say_sync(report: PassReport) -> None:
    """The same for a person."""
    documents, chunks = report.documents, report.chunks
    worked = [
        f"{count} {what}"
        for what, count in asdict(documents).items()
        if count and what not in {"failed", "held", "pending"}
    ]
    say(f"documents: {', '.join(worked) or 'none'}")
    for count, what in (
        (documents.failed, "failed (see above; `reindex jobs list` shows them)"),
        (documents.held, "deletions held (see above)"),
        (documents.pending, "pending: they were being written"),
    ):
        if count:
            say(f"           {count} {what}")
    say(
        f"chunks:    {chunks.total:,} in the index; {chunks.embedded:,} embedded"
        f" ({report.tokens_embedded:,} tokens), {chunks.reused:,} reused, {chunks.deleted:,} deleted"
    )
    say(f"published: generation {report.generation}, version {report.version}, in {report.duration_s:.1f} s")
