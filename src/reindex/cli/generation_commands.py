"""`generations`: what the index is made of, and sending readers to another generation."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, QuietOption, open_app
from reindex.cli.output import iso, print_json, say
from reindex.cli.progress import make_progress
from reindex.cli.rebuild_commands import tell

if TYPE_CHECKING:
    from reindex.browsing import Difference
    from reindex.core.generations import Generation

generations_app = typer.Typer(help="The generations of the index.", rich_markup_mode=None)

NumberArgument = Annotated[int, typer.Argument(help="A generation's number.", metavar="N")]
ForceOption = Annotated[bool, typer.Option("--force", help="Whatever speaks against it.")]


@generations_app.callback(invoke_without_command=True)
def generations(
    context: typer.Context,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """The generations of the index. Without a verb: list."""
    if context.invoked_subcommand is None:
        generations_list(config, data_dir, json_output)


@generations_app.command("list")
def generations_list(
    config: ConfigOption = None, data_dir: DataDirOption = None, json_output: JsonOption = False
) -> None:
    """Every generation with its state, recipe and size."""
    from reindex.stores.manifests import table_bytes

    app = open_app(config, data_dir)
    with app.ledger() as ledger:
        found = ledger.generations.all() if ledger is not None else []
        live = ledger.generations.live() if ledger is not None else None
        totals = {g.number: ledger.documents.totals(g.number) for g in found} if ledger is not None else {}
        sizes = {g.number: table_bytes(app.data_dir, g.table) for g in found}
    if json_output:
        print_json(
            {
                "live": live.number if live is not None else None,
                "generations": [_generation_object(g, *totals[g.number], sizes[g.number]) for g in found],
            }
        )
        return
    for generation in found:
        say(_generation_line(generation, totals[generation.number][1], sizes[generation.number]))
    if not found:
        say("no generations: run `reindex sync`")


@generations_app.command("promote")
def generations_promote(
    number: NumberArgument,
    force: ForceOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Bring a generation up to date, ask the gate, and send readers to it."""
    from reindex.switching import promote_generation

    with closing(make_progress(quiet=quiet)) as progress, closing(open_app(config, data_dir)) as app:
        report = promote_generation(app, progress, number, force=force)
    tell(report, json_output=json_output)


@generations_app.command("rollback")
def generations_rollback(
    force: ForceOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Send readers back to the generation before, at once; then bring that one up to date."""
    from reindex.switching import rollback

    with closing(make_progress(quiet=quiet)) as progress, closing(open_app(config, data_dir)) as app:
        report = rollback(app, progress, force=force)
    tell(report, json_output=json_output)


@generations_app.command("drop")
def generations_drop(
    number: NumberArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Give up a generation that is not searched. Files that a reader may have open go with a later `gc`."""
    from reindex.switching import drop

    with closing(make_progress(quiet=True)) as progress:
        dropped = drop(open_app(config, data_dir), progress, number)
    if json_output:
        print_json({"dropped": dropped.number})
    else:
        say(f"generation {dropped.number} is dropped")


@generations_app.command("diff")
def generations_diff(
    first: Annotated[int, typer.Argument(help="A generation.", metavar="A")],
    second: Annotated[int, typer.Argument(help="Another one.", metavar="B")],
    query: Annotated[
        list[str] | None,
        typer.Option("--query", help="A question (may be given again) [the probe file's].", metavar="TEXT"),
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """What two generations answer differently, at 10 hits."""
    from reindex.browsing import compare_generations

    found = compare_generations(open_app(config, data_dir), first, second, query or [])
    if json_output:
        print_json(_difference_object(first, second, found))
        return
    for text, comparison in found.questions:
        say(f"{comparison.overlap:.2f}  {text}")
        for what, documents in (
            ("lost", comparison.lost),
            ("gained", comparison.gained),
            ("moved", comparison.moved),
        ):
            for document in documents:
                say(f"      {what}: {document}")
    say(f"overlap@10 of {len(found.questions)} questions: {found.overlap:.3f}")


def _difference_object(first: int, second: int, found: Difference) -> dict[str, object]:
    return {
        "a": first,
        "b": second,
        "overlap": found.overlap,
        "queries": [
            {
                "query": text,
                "overlap": comparison.overlap,
                "moved": list(comparison.moved),
                "lost": list(comparison.lost),
                "gained": list(comparison.gained),
            }
            for text, comparison in found.questions
        ],
    }


def _generation_line(generation: Generation, chunks: int, size_bytes: int) -> str:
    promoted = "never promoted"
    if generation.promoted_at is not None:
        by = f" by {generation.promoted_by}" if generation.promoted_by else ""
        promoted = f"promoted {iso(generation.promoted_at)}{by}"
    return (
        f"{generation.number}  {generation.state}  {generation.recipe.described}; {chunks:,} chunks,"
        f" {size_bytes / 1e6:.1f} MB, created {iso(generation.created_at)}, {promoted}"
    )


def _generation_object(
    generation: Generation, documents: int, chunks: int, size_bytes: int
) -> dict[str, object]:
    space = generation.recipe.space
    return {
        "number": generation.number,
        "state": generation.state.value,
        "model": generation.recipe.model,
        "dimensions": space.dimensions,
        "precision": space.precision,
        "max_tokens": generation.recipe.max_tokens,
        "overlap_tokens": generation.recipe.overlap_tokens,
        "documents": documents,
        "chunks": chunks,
        "bytes": size_bytes,
        "created_at": iso(generation.created_at),
        "promoted_at": iso(generation.promoted_at),
        "promoted_by": generation.promoted_by or None,
    }
