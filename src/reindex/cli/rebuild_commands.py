"""`rebuild`: a new generation beside the live one, and the switch to it."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.index_commands import say_sync, sync_object, warn_of
from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, QuietOption, open_app
from reindex.cli.output import print_json, say, warn
from reindex.cli.progress import make_progress
from reindex.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from reindex.gate import GateReport
    from reindex.rebuilding import RebuildReport

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
    wait: Annotated[
        float | None, typer.Option("--wait", help="Seconds to wait for work in flight.", metavar="S")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make the index anew beside the live one, prove it, and switch to it. Search goes on meanwhile.

    By the recipe of the configuration (model, dimensions, chunking); texts that were embedded in the same
    space cost nothing. Interrupted, it goes on where it was with the next run. With a local model everything
    is done when the command ends: --wait changes nothing then.
    """
    del wait  # the local lane leaves nothing in flight
    if abandon and (model or provider or fresh or no_promote):
        raise ConfigError("--abandon goes with no other option", "Leave the others out.")
    with closing(make_progress(quiet=quiet)) as progress, closing(open_app(config, data_dir)) as app:
        if abandon:
            from reindex.rebuilding import abandon as run_abandon

            number = run_abandon(app, progress)
        else:
            from reindex.rebuilding import RebuildOptions
            from reindex.rebuilding import rebuild as run_rebuild

            os.nice(_NICENESS)
            options = RebuildOptions(
                model=_from_here(model),
                provider=provider.value if provider is not None else None,
                fresh=fresh,
                promotes=not no_promote,
            )
            report = run_rebuild(app, progress, options)
    if not abandon:
        tell(report, json_output=json_output)
    elif json_output:
        print_json({"abandoned": number})
    else:
        say("there is nothing to abandon" if number is None else f"generation {number} is dropped")


def tell(report: RebuildReport, *, json_output: bool) -> None:
    """Say what a rebuild, a promotion or a rollback did. Raises Exit with the code for it."""
    gate = report.gate
    for notice in gate.notices if gate is not None else ():
        warn(f"note: {notice}")
    for refusal in gate.refusals if gate is not None else ():
        warn(f"gate: {refusal}")
    warn_of(report.work)
    if json_output:
        print_json(_rebuild_object(report))
    else:
        _say_rebuild(report)
    if report.is_refused:
        raise typer.Exit(ExitCode.GATE_REFUSED)
    if report.work.is_partial:
        raise typer.Exit(ExitCode.PARTIAL)


def _from_here(model: str | None) -> str | None:
    """A directory is meant from where the command is given, not from the configuration."""
    if model is not None and Path(model).is_dir():
        return str(Path(model).resolve())
    return model


def _rebuild_object(report: RebuildReport) -> dict[str, object]:
    sync = sync_object(report.work)
    return {
        "from_generation": report.from_generation,
        "generation": report.generation,
        "promoted": report.promoted,
        "gate": {} if report.gate is None else _gate_object(report.gate),
        **{name: value for name, value in sync.items() if name != "generation"},
    }


def _gate_object(gate: GateReport) -> dict[str, object]:
    found = asdict(gate)
    del found["faults"]  # they are among the refusals
    return {"passed": gate.passed, **found, "recall_change": gate.recall_change, "refusals": gate.refusals}


def _say_rebuild(report: RebuildReport) -> None:
    say_sync(report.work)
    if report.gate is not None:
        _say_gate(report.gate)
    number = report.generation
    if report.promoted:
        came_from = f", before it {report.from_generation}" if report.from_generation is not None else ""
        say(f"generation {number} is live{came_from}")
    elif report.is_refused:
        say(
            f"generation {number} is NOT live: the gate refused it (see above);"
            f" `reindex generations promote {number} --force` takes it all the same"
        )
    else:
        say(f"generation {number} is ready: `reindex generations promote {number}` switches to it")


def _say_gate(gate: GateReport) -> None:
    parts = [f"{gate.documents:,} documents and {gate.chunks:,} chunks inspected"]
    if gate.self_retrieval is not None:
        parts.append(f"self-retrieval {gate.self_retrieval:.3f}")
    if gate.recall is not None and gate.recall_change is not None:
        parts.append(f"recall@10 {gate.recall:.3f} ({gate.recall_change:+.3f}) on {gate.probes} probes")
    if gate.overlap is not None:
        parts.append(f"overlap@10 {gate.overlap:.3f}")
    say(f"gate:      {', '.join(parts)}")
