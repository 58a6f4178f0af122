"""`query`, `status` and `verify`: what reads the index."""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from contextlib import closing
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, QuietOption, open_app
from reindex.cli.output import behind_object, iso, plural, print_json, printable, say, warn
from reindex.cli.progress import make_progress
from reindex.errors import ExitCode

if TYPE_CHECKING:
    from reindex.document_status import DocumentStatus
    from reindex.search import Hit, SearchResult
    from reindex.status import StoreStatus
    from reindex.verify import Verification

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_SHOWN_LINES = 8
_DETAILS_SHOWN = 50


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
    from reindex.search import SearchMode
    from reindex.stores.snapshot import Filter

    app = open_app(config, data_dir)
    reader = app.reader()
    how = SearchMode(mode.value), Filter(source, path_prefix)
    if generation in {None, reader.published().generation}:
        found = reader.search(text, k, *how)
    else:
        from reindex.browsing import search_generation

        assert generation is not None, "it is another than the published one"
        found = search_generation(app, generation, text, k, *how)
    if found.degraded:
        warn(f"note: answered by words alone, because {found.degraded}")
    if found.behind is not None:
        behind, age_s = plural(found.behind.documents, "document"), found.behind.age_s(time.time())
        warn(f"note: generation {found.generation} is {behind} behind, for {age_s:.0f} s")
    if json_output:
        print_json(_query_object(found))
    else:
        _say_hits(found, text)


def status(
    path: Annotated[str | None, typer.Argument(help="A file: why it is, or is not, found.")] = None,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """How the index stands against the documents right now."""
    app = open_app(config, data_dir)
    if path is not None:
        from reindex.document_status import document_status

        document = document_status(app, path)
        print_json(_document_object(document)) if json_output else _say_document(document)
        return
    from reindex.status import store_status

    store = store_status(app)
    print_json(_status_object(store)) if json_output else _say_status(store)


def verify(
    deep: Annotated[
        bool, typer.Option("--deep", help="Also chunk everything again, and embed a sample again.")
    ] = False,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Read all documents now and compare them with the index. Exit 6 if they differ."""
    from reindex.verifying import run_verify

    with closing(make_progress(quiet=quiet)) as progress, closing(open_app(config, data_dir)) as app:
        found = run_verify(app, progress, deep=deep)
    for detail in found.details[:_DETAILS_SHOWN]:
        warn(detail)
    if len(found.details) > _DETAILS_SHOWN:
        warn(f"... and {len(found.details) - _DETAILS_SHOWN} more")
    if json_output:
        print_json(_verify_object(found))
    else:
        say(
            "the index equals the documents" if found.ok else "the index DIFFERS from the documents: run sync"
        )
        for name, count in _verify_object(found).items():
            if name != "ok" and (count or name in {"documents", "chunks"}):
                say(f"  {name.replace('_', ' ')}: {count}")
    if not found.ok:
        raise typer.Exit(ExitCode.UNHEALTHY)
    if found.failed:
        raise typer.Exit(ExitCode.PARTIAL)


def _query_object(found: SearchResult) -> dict[str, object]:
    return {
        "generation": found.generation,
        "version": found.version,
        "model": found.model,
        "degraded": bool(found.degraded),
        "took_ms": found.took_ms,
        "hits": [asdict(hit) for hit in found.hits],
        **behind_object(found.behind),
    }


def _say_hits(found: SearchResult, text: str) -> None:
    is_terminal = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    marks = _word_pattern(text) if is_terminal else None
    if not found.hits:
        say("nothing found")
    for hit in found.hits:
        _say_hit(hit, marks)


def _say_hit(hit: Hit, marks: re.Pattern[str] | None) -> None:
    place = f"{hit.path}:{hit.line_start}-{hit.line_end}"
    say(f"{hit.rank}. {hit.source}/{place}  ({hit.score:.4f})" + (f"  {hit.heading}" if hit.heading else ""))
    lines = [line for line in hit.text.split("\n") if line.strip()]
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


def _document_object(document: DocumentStatus) -> dict[str, object]:
    return asdict(document) | {"indexed_at": iso(document.indexed_at)}


def _say_document(document: DocumentStatus) -> None:
    say(f"{document.path}: {document.state}" + (f" ({document.reason})" if document.reason else ""))
    if document.revision is not None:
        say(f"  indexed at {iso(document.indexed_at)}, revision {document.revision[:16]}")


def _status_object(store: StoreStatus) -> dict[str, object]:
    live = store.live
    return {
        "state": store.state,
        "reasons": list(store.reasons),
        "daemon": {"running": False, "pid": None, "url": None, "version": None},
        "live": None
        if live is None
        else {
            "generation": live.number,
            "version": live.version,
            "model": live.recipe.model,
            "documents": store.documents,
            "chunks": store.chunks,
        },
        **(behind_object(live.behind) if live is not None else {}),
        "building": _building_object(store),
        "documents": {
            "total": store.documents,
            "pending": store.pending,
            "failed": len(store.failures),
            "held": store.held,
        },
        "lag_s": store.lag_s,
        "jobs": {state.value: count for state, count in store.jobs.items()},
        "spend": {"tokens": store.tokens_spent, "usd": store.usd_spent, "saved_usd": 0.0},
    }


def _building_object(store: StoreStatus) -> dict[str, object] | None:
    begun = store.building
    if begun is None:
        return None
    return {
        "generation": begun.number,
        "state": begun.state.value,
        "model": begun.recipe.model,
        "dimensions": begun.recipe.space.dimensions,
        "documents": store.building_documents,
        "chunks": store.building_chunks,
    }


def _say_status(store: StoreStatus) -> None:
    live = store.live
    if live is None and store.building is not None:
        say("the first load is not done: run `reindex sync`")
    elif live is None:
        say("nothing indexed yet: run `reindex sync`")
    else:
        say(f"{store.state}: generation {live.number}, version {live.version}, model {live.recipe.model}")
        say(f"{plural(store.documents, 'document')}, {plural(store.chunks, 'chunk')}")
    if live is not None and live.behind is not None:
        behind = plural(live.behind.documents, "document")
        say(f"  after a rollback it is {behind} behind: run `reindex sync`")
    if live is not None and store.building is not None:
        size = f"{plural(store.building_documents, 'document')}, {plural(store.building_chunks, 'chunk')}"
        say(f"  beside it: generation {store.building.number}, {store.building.state}, {size}")
    for reason in store.reasons:
        say(f"  {reason}")
    if store.lag_s:
        say(f"  the oldest change that is not indexed is {store.lag_s:.0f} s old")
    for failure in store.failures:
        say(f"  failed: {failure.name}: {failure.reason}")


def _verify_object(found: Verification) -> dict[str, object]:
    value = asdict(found)
    del value["details"]
    return {"ok": found.ok, **value}
