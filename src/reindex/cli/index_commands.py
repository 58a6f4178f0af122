"""`plan`, `sync` and `gc`: what changes the index, or would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.connection import order
from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, QuietOption, WaitOption
from reindex.cli.output import plural, say
from reindex.cli.performing import Command, open_place
from reindex.core.money import dollars

if TYPE_CHECKING:
    from reindex.app import App
    from reindex.objects import Object
    from reindex.report import Progress
    from reindex.tasks import Outcome


def plan(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """What a sync would do and cost. Embeds nothing, writes nothing."""

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.outcomes import plan_outcome
        from reindex.planning import make_plan

        return plan_outcome(make_plan(app, progress))

    place = open_place(config, data_dir, json_output=json_output, quiet=quiet)
    place.perform(Command(direct, None, _say_plan))


def sync(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    wait: WaitOption = None,
    now: Annotated[bool, typer.Option("--now", help="Use the fast lane for everything.")] = False,
    accept_deletes: Annotated[
        bool, typer.Option("--accept-deletes", help="Believe a mass deletion that is held.")
    ] = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring the index up to date with the documents. Pays only for text that is new.

    With a provider's model a large backlog goes by batch, for half the price: the command sends it and ends,
    --wait stays until the answer is there, and --now embeds everything at once. A local model is always done.
    """

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.outcomes import sync_outcome
        from reindex.syncing import sync as run_sync

        report = run_sync(app, progress, accept_deletes=accept_deletes, is_now=now, wait_s=wait or 0.0)
        return sync_outcome(report)

    request = order("/v1/sync", wait=wait, now=now, accept_deletes=accept_deletes)
    place = open_place(config, data_dir, json_output=json_output, quiet=quiet)
    place.perform(Command(direct, request, say_sync))


def gc(
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Remove what no reader can reach any more: old generations and versions, lost tables, vectors over the
    cache's limit.
    """

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.attending import remove_uploads
        from reindex.maintenance import collect_garbage
        from reindex.outcomes import gc_outcome

        with app.writer("gc", progress.warn) as writer:
            progress.phase("collecting garbage", 0, "steps")
            remove_uploads(app, writer)
            return gc_outcome(collect_garbage(writer, app.settings))

    place = open_place(config, data_dir, json_output=json_output, quiet=quiet)
    place.perform(Command(direct, order("/v1/gc"), _say_gc))


def say_sync(value: Object) -> None:
    """The `sync` object for a person."""
    documents, chunks = value["documents"], value["chunks"]
    worked = [
        f"{count} {what}"
        for what, count in documents.items()
        if count and what not in {"failed", "held", "pending"}
    ]
    say(f"documents: {', '.join(worked) or 'none'}")
    for count, what in (
        (documents["failed"], "failed (see above; `reindex jobs list` shows them)"),
        (documents["held"], "deletions held (see above)"),
        (documents["pending"], "pending: they wait for a batch, or were being written"),
    ):
        if count:
            say(f"           {count} {what}")
    say(
        f"chunks:    {chunks['total']:,} in the index; {chunks['embedded']:,} embedded"
        f" ({value['tokens_embedded']:,} tokens), {chunks['reused']:,} reused, {chunks['deleted']:,} deleted"
    )
    if chunks["in_flight"]:
        say(f"in flight: {chunks['in_flight']:,} chunks, by batch; the next sync takes them in")
    if value["generation"] is None:
        say(f"published: nothing yet, after {value['duration_s']:.1f} s")
        return
    say(
        f"published: generation {value['generation']}, version {value['version']},"
        f" in {value['duration_s']:.1f} s"
    )


def _say_plan(value: Object) -> None:
    documents, chunks = value["documents"], value["chunks"]
    say(
        f"documents: {documents['added']} to add, {documents['changed']} changed, {documents['moved']} moved,"
        f" {documents['deleted']} to delete, {documents['unchanged']} unchanged,"
        f" {documents['ignored']} ignored"
    )
    for count, what in (
        (documents["pending"], "being written, or gone meanwhile"),
        (documents["failed"], "failed"),
        (documents["held"], "deletions held"),
    ):
        if count:
            say(f"           {count} {what}")
    say(
        f"chunks:    {chunks['to_embed']} to embed ({value['tokens']:,} tokens),"
        f" {chunks['cached']} already embedded"
    )
    cost = value["cost_usd"]
    if chunks["in_flight"]:
        say(f"           {chunks['in_flight']} are in batches that are under way")
    if cost["realtime"]:
        say(f"cost:      {dollars(cost['realtime'])} in real time, {dollars(cost['batch'])} by batch")
    else:
        say(f"cost:      $0, about {value['eta_s']:.0f} s")


def _say_gc(value: Object) -> None:
    say(
        f"removed {plural(value['versions_removed'], 'version')},"
        f" {plural(value['tables_removed'], 'table')}, {plural(value['encoders_removed'], 'encoder')},"
        f" {plural(value['vectors_evicted'], 'cached vector')}"
    )
    before, after = value["bytes_before"], value["bytes_after"]
    say(f"data directory: {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")
