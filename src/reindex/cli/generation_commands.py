"""`generations`: what the index is made of, and sending readers to another generation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.connection import Request, order
from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, QuietOption
from reindex.cli.output import say
from reindex.cli.performing import Command, open_place
from reindex.cli.rebuild_commands import say_rebuild

if TYPE_CHECKING:
    from reindex.app import App
    from reindex.objects import Object
    from reindex.report import Progress
    from reindex.tasks import Outcome

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

    def direct(app: App, _: Progress) -> Outcome:
        from reindex.objects import generations_object
        from reindex.tasks import Outcome

        with app.ledger() as ledger:
            return Outcome(generations_object(ledger, app.data_dir))

    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(direct, Request("/v1/generations"), _say_generations))


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

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.outcomes import rebuild_outcome
        from reindex.switching import promote_generation

        return rebuild_outcome(promote_generation(app, progress, number, force=force))

    place = open_place(config, data_dir, json_output=json_output, quiet=quiet)
    place.perform(Command(direct, order(f"/v1/generations/{number}/promote", force=force), say_rebuild))


@generations_app.command("rollback")
def generations_rollback(
    force: ForceOption = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Send readers back to the generation before, at once; then bring that one up to date."""

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.outcomes import rebuild_outcome
        from reindex.switching import rollback

        return rebuild_outcome(rollback(app, progress, force=force))

    place = open_place(config, data_dir, json_output=json_output, quiet=quiet)
    place.perform(Command(direct, order("/v1/rollback", force=force), say_rebuild))


@generations_app.command("drop")
def generations_drop(
    number: NumberArgument,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Give up a generation that is not searched. Files that a reader may have open go with a later `gc`."""

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.outcomes import drop_outcome
        from reindex.switching import drop

        return drop_outcome(drop(app, progress, number).number)

    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(direct, order(f"/v1/generations/{number}/drop"), _say_dropped))


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
    questions = query or []

    def direct(app: App, _: Progress) -> Outcome:
        from reindex.browsing import compare_generations
        from reindex.objects import difference_object
        from reindex.tasks import Outcome

        found = compare_generations(app, first, second, questions)
        return Outcome(difference_object(first, second, found))

    asked = [("a", first), ("b", second), *(("query", text) for text in questions)]
    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(direct, Request("/v1/generations/diff", asked), _say_difference))


def _say_generations(value: Object) -> None:
    for generation in value["generations"]:
        say(_generation_line(generation))
    if not value["generations"]:
        say("no generations: run `reindex sync`")


def _generation_line(generation: Object) -> str:
    promoted = "never promoted"
    if generation["promoted_at"] is not None:
        by = f" by {generation['promoted_by']}" if generation["promoted_by"] else ""
        promoted = f"promoted {generation['promoted_at']}{by}"
    return (
        f"{generation['number']}  {generation['state']}  {generation['recipe']};"
        f" {generation['chunks']:,} chunks, {generation['bytes'] / 1e6:.1f} MB,"
        f" created {generation['created_at']}, {promoted}"
    )


def _say_dropped(value: Object) -> None:
    say(f"generation {value['dropped']} is dropped")


def _say_difference(value: Object) -> None:
    for question in value["queries"]:
        say(f"{question['overlap']:.2f}  {question['query']}")
        for what in ("lost", "gained", "moved"):
            for document in question[what]:
                say(f"      {what}: {document}")
    say(f"overlap@10 of {len(value['queries'])} questions: {value['overlap']:.3f}")
