"""`query`, `status` and `verify`: what reads the index."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.connection import Request, question
from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, QuietOption
from reindex.cli.output import plural, printable, say
from reindex.cli.performing import Command, open_place
from reindex.core.money import dollars

if TYPE_CHECKING:
    from reindex.app import App
    from reindex.objects import Object
    from reindex.report import Progress
    from reindex.tasks import Outcome

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_SHOWN_LINES = 8


class Mode(StrEnum):
    """How to search (reindex.search.SearchMode, which costs too much to import for --help)."""

    HYBRID = "hybrid"
    VECTOR = "vector"
    TEXT = "text"


def query(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    k: Annotated[int, typer.Option("-k", help="How many hits.", min=1, max=1000)] = 10,
    mode: Annotated[Mode, typer.Option("--mode", help="How to search.")] = Mode.HYBRID,
    source: Annotated[str | None, typer.Option("--source", help="Only this source.")] = None,
    path_prefix: Annotated[
        str | None, typer.Option("--path-prefix", help="Only paths that begin so.", metavar="P")
    ] = None,
    generation: Annotated[
        int | None, typer.Option("--generation", help="Another generation than the live one.", metavar="G")
    ] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Search the index by meaning and by words."""

    def direct(app: App, _: Progress) -> Outcome:
        from reindex.browsing import search_generation
        from reindex.objects import query_object
        from reindex.search import SearchMode
        from reindex.stores.snapshot import Filter
        from reindex.tasks import Outcome

        limits = Filter(source, path_prefix)
        return Outcome(
            query_object(search_generation(app, generation, text, k, SearchMode(mode.value), limits))
        )

    request = question(
        "/v1/search",
        query=text,
        k=k,
        mode=mode.value,
        source=source,
        path_prefix=path_prefix,
        generation=generation,
    )
    place = open_place(config, data_dir, json_output=json_output)
    place.perform(Command(direct, request, lambda value: _say_hits(value, text), _query_notes))


def status(
    path: Annotated[str | None, typer.Argument(help="A file: why it is, or is not, found.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, until q or Ctrl-C.")] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """How the index stands against the documents right now."""
    place = open_place(config, data_dir, json_output=json_output)
    if path is None:
        overall = Command(_direct_status, Request("/v1/status"), _say_status)
        if watch:
            from reindex.cli.watch import watch_status

            watch_status(lambda: place.ask(overall), json_output=json_output)
        else:
            place.perform(overall)
        return
    from reindex.locating import locate

    # a path is meant from where the command is given, which a daemon does not know
    document = str(locate({source.name: source.path for source in place.settings.sources}, path))

    def direct(app: App, _: Progress) -> Outcome:
        from reindex.document_status import document_status
        from reindex.objects import document_object
        from reindex.tasks import Outcome

        return Outcome(document_object(document_status(app, document)))

    place.perform(Command(direct, Request("/v1/status", [("path", document)]), _say_document))


def verify(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also chunk everything again, and embed a sample again.")
    ] = False,
    spend: Annotated[
        bool,
        typer.Option("--spend", help="With --deep: embed the sample also by a provider, for its price."),
    ] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read all documents now and compare them with the index. Exit 6 if they differ."""

    def direct(app: App, progress: Progress) -> Outcome:
        from reindex.outcomes import verify_outcome
        from reindex.verifying import run_verify

        return verify_outcome(run_verify(app, progress, deep=deep, spends=spend))

    place = open_place(config, data_dir, json_output=json_output, quiet=quiet)
    place.perform(Command(direct, None, _say_verified))


def _direct_status(app: App, _: Progress) -> Outcome:
    from reindex.objects import status_object
    from reindex.presence import find_daemon
    from reindex.status import store_status
    from reindex.tasks import Outcome

    return Outcome(status_object(store_status(app), find_daemon(app.data_dir)))


def _query_notes(value: Object) -> tuple[str, ...]:
    """What is not as it should be with an answer."""
    notes = []
    if value["degraded"]:
        notes.append(f"note: answered by words alone, because {value['degraded_reason']}")
    if "behind" in value:
        behind = plural(value["behind"]["documents"], "document")
        age_s = value["behind"]["age_s"]
        notes.append(f"note: generation {value['generation']} is {behind} behind, for {age_s:.0f} s")
    return tuple(notes)


def _say_hits(value: Object, text: str) -> None:
    is_terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    marks = _word_pattern(text) if is_terminal else None
    if not value["hits"]:
        say("nothing found")
    for hit in value["hits"]:
        _say_hit(hit, marks)


def _say_hit(hit: Object, marks: re.Pattern[str] | None) -> None:
    place = f"{hit['source']}/{hit['path']}:{hit['line_start']}-{hit['line_end']}"
    say(f"{hit['rank']}. {place}  ({hit['score']:.4f})" + (f"  {hit['heading']}" if hit["heading"] else ""))
    lines = [line for line in hit["text"].split("\n") if line.strip()]
    for line in lines[:_SHOWN_LINES]:
        shown = printable(textwrap.shorten(line, 160, placeholder=" ..."))
        print("   " + (marks.sub(rf"{_BOLD}\g<0>{_PLAIN}", shown) if marks else shown))  # noqa: T201
    if len(lines) > _SHOWN_LINES:
        say(f"   ... {len(lines) - _SHOWN_LINES} more lines")
    say("")


def _word_pattern(text: str) -> re.Pattern[str] | None:
    """The words of the query, as they may begin words of a hit."""
    words = sorted({word for word in re.findall(r"\w+", text) if len(word) > 2}, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})\w*", re.IGNORECASE) if words else None


def _say_document(value: Object) -> None:
    say(f"{value['path']}: {value['state']}" + (f" ({value['reason']})" if value["reason"] else ""))
    if value["revision"] is not None:
        say(f"  indexed at {value['indexed_at']}, revision {value['revision'][:16]}")


def _say_status(value: Object) -> None:
    live, building, daemon = value["live"], value["building"], value["daemon"]
    if live is None and building is not None:
        say("nothing is published yet: the first load is not done")
    elif live is None:
        say("nothing indexed yet: run `reindex sync`")
    else:
        place = f"generation {live['generation']}, version {live['version']}"
        say(f"{value['state']}: {place}, model {live['model']}")
        say(f"{plural(live['documents'], 'document')}, {plural(live['chunks'], 'chunk')}")
    if daemon["running"]:
        where = daemon["url"] or "no HTTP"
        say(f"  daemon: process {daemon['pid']}, {where}, version {daemon['version']}")
    if "behind" in value:
        behind = plural(value["behind"]["documents"], "document")
        say(f"  after a rollback it is {behind} behind: run `reindex sync`")
    if live is not None and building is not None:
        size = f"{plural(building['documents'], 'document')}, {plural(building['chunks'], 'chunk')}"
        say(f"  beside it: generation {building['generation']}, {building['state']}, {size}")
    for reason in value["reasons"]:
        say(f"  {reason}")
    if value["lag_s"]:
        say(f"  the oldest change that is not indexed is {value['lag_s']:.0f} s old")
    _say_money(value)
    failures = value["failures"]
    for failure in failures:
        say(f"  failed: {failure['source']}:{failure['path']}: {failure['reason']}")
    if (more := value["documents"]["failed"] - len(failures)) > 0:
        say(f"  ... and {more} more: `reindex jobs list` shows them")


def _say_money(value: Object) -> None:
    """Nothing, as long as no model has a price."""
    spend, again = value["spend"], value["paid_again"]
    if spend["usd"]:
        saved = f", batches saved {dollars(spend['saved_usd'])}" if spend["saved_usd"] else ""
        say(f"  spent: {dollars(spend['usd'])} for {spend['tokens']:,} tokens{saved}")
    named = (("lost", "unanswered"), ("stuck", "in a batch that did not end"), ("now", "wanted at once"))
    counted = [f"{again[name]} {what}" for name, what in named if again[name]]
    if counted:
        say(f"  texts sent twice, and maybe paid twice: {', '.join(counted)}")


def _say_verified(value: Object) -> None:
    say("the index equals the documents" if value["ok"] else "the index DIFFERS from the documents: run sync")
    for name, count in value.items():
        if name != "ok" and (count or name in {"documents", "chunks"}):
            say(f"  {name.replace('_', ' ')}: {count}")
