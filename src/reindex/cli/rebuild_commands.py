"""`rebuild`: a new generation beside the live one, and the switch to it."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.connection import order
from reindex.cli.index_commands import say_sync
from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, QuietOption, WaitOption
from reindex.cli.output import say
from reindex.cli.performing import Command, open_place
from reindex.errors import ConfigError

if TYPE_CHECKING:
    from reindex.app import App
    from reindex.objects import Object
    from reindex.report import Progress
    from reindex.tasks import Outcome

_NICENESS = 5  # a rebuild is in no hurry; who searches beside it is


class Provider(StrEnum):
    """Where a model runs."""

    LOCAL = "local"
    OPENAI = "openai"


def rebuild(
    model: Annotated[
        str | None, typer.Option("--model", help="Another model than the configuration's.", metavar="M")
    ] = None,
    provider: Annotated[
        Provider | None, typer.Option("--provider", help="Another provider than the configuration's.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Embed everything again, whatever the cache has.")
    ] = False,
    no_promote: Annotated[
        bool, typer.Option("--no-promote", help="Stop when it is ready and the gate was asked.")
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Drop the generation that was begun, and do no more.")
    ] = False,
    wait: WaitOption = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make the index anew beside the live one, prove it, and switch to it. Search goes on meanwhile.

    By the recipe of the configuration (model, dimensions, chunking); texts that were embedded in the same
    space cost nothing. Interrupted, it goes on where it was with the next run. With a provider's model most
    texts go by batch: --wait stays until they are there; else the next run, or a daemon, goes on.
    """
    if abandon and (model or provider or fresh or no_promote):
        raise ConfigError("--abandon goes with no other option", "Leave the others out.")
    place = open_place(config, data_dir, json_output=json_output, quiet=quiet)
    if abandon:
        place.perform(Command(_abandon, order("/v1/rebuild", abandon=True), _say_abandoned))
        return
    model = _from_here(model)
    provider_name = provider.value if provider is not None else None

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.outcomes import rebuild_outcome
        from reindex.rebuilding import RebuildOptions
        from reindex.rebuilding import rebuild as run_rebuild

        os.nice(_NICENESS)
        options = RebuildOptions(model, provider_name, fresh, promotes=not no_promote, wait_s=wait or 0.0)  # type: ignore[arg-type]
        return rebuild_outcome(run_rebuild(app, progress, options))

    request = order(
        "/v1/rebuild", model=model, provider=provider_name, fresh=fresh, no_promote=no_promote, wait=wait
    )
    place.perform(Command(direct, request, say_rebuild))


def say_rebuild(value: Object) -> None:
    """The object of a rebuild, a promotion or a rollback for a person."""
    say_sync(value)
    gate, number = value["gate"], value["generation"]
    if gate:
        _say_gate(gate)
    if value["promoted"]:
        before = value["from_generation"]
        say(f"generation {number} is live" + (f", before it {before}" if before is not None else ""))
    elif gate and not gate["passed"]:
        say(
            f"generation {number} is NOT live: the gate refused it (see above);"
            f" `reindex generations promote {number} --force` takes it all the same"
        )
    elif value["chunks"]["in_flight"]:
        say(f"generation {number} waits for its batches: the next `reindex rebuild`, or a daemon, goes on")
    elif value["documents"]["pending"]:
        say(f"generation {number} is not whole yet: the next `reindex rebuild`, or a daemon, goes on")
    else:
        say(f"generation {number} is ready: `reindex generations promote {number}` switches to it")


def _abandon(app: App, progress: Progress) -> Outcome:
    from reindex.outcomes import abandon_outcome
    from reindex.rebuilding import abandon

    return abandon_outcome(abandon(app, progress))


def _say_abandoned(value: Object) -> None:
    number = value["abandoned"]
    say("there is nothing to abandon" if number is None else f"generation {number} is dropped")


def _from_here(model: str | None) -> str | None:
    """A directory is meant from where the command is given, not from the configuration."""
    if model is not None and Path(model).is_dir():
        return str(Path(model).resolve())
    return model


def _say_gate(gate: Object) -> None:
    parts = [f"{gate['documents']:,} documents and {gate['chunks']:,} chunks inspected"]
    if gate["self_retrieval"] is not None:
        parts.append(f"self-retrieval {gate['self_retrieval']:.3f}")
    if gate["recall"] is not None and gate["recall_change"] is not None:
        recall = f"recall@10 {gate['recall']:.3f} ({gate['recall_change']:+.3f})"
        parts.append(f"{recall} on {gate['probes']} probes")
    if gate["overlap"] is not None:
        parts.append(f"overlap@10 {gate['overlap']:.3f}")
    say(f"gate:      {', '.join(parts)}")
