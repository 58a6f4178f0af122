"""`logs`: what the daemon wrote into its log."""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from datetime import datetime
from typing import Annotated

import typer

from reindex.cli.options import ConfigOption, DataDirOption, JsonOption, load
from reindex.cli.output import printable, warn

_FOLLOW_EVERY_S = 0.2
_LINES = 100
_SHOWN_BEFORE = frozenset({"ts", "level", "logger", "message", "exception", "stack"})


def logs(
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    lines: Annotated[int, typer.Option("-n", help="How many lines of what is there.", min=0)] = _LINES,
    config: ConfigOption = None,
    data_dir: DataDirOption = None,
    json_output: JsonOption = False,
) -> None:
    """The log of the daemon that `reindex start` began; with --json one object a line.

    A daemon of systemd logs to the journal (journalctl --user -u reindex), `reindex run` to its terminal.

    Example: reindex logs -f -n 20
    """
    from reindex.logfiles import Follower, last_lines, log_path

    path = log_path(load(config, data_dir).settings.data_dir)
    if not path.exists():
        warn(f"note: there is no log {path}: `reindex start` begins one")
    try:
        with closing(Follower(path)) as follower:  # first, so that no line falls between
            for line in last_lines(path, lines):
                _show(line, json_output=json_output)
            while follow:
                for line in follower.lines():
                    _show(line, json_output=json_output)
                sys.stdout.flush()
                time.sleep(_FOLLOW_EVERY_S)
    except KeyboardInterrupt:
        raise typer.Exit from None  # it is how one leaves


def _show(content: bytes, *, json_output: bool) -> None:
    line = content.decode(errors="surrogateescape")
    value = _parsed(line)
    if json_output:
        print(json.dumps(value if value is not None else {"message": line}))  # noqa: T201
    elif value is None:
        print(printable(line))  # noqa: T201
    else:
        for each in _text(value):
            print(printable(each))  # noqa: T201


def _parsed(line: str) -> dict[str, object] | None:
    """One of our own lines; None for what a library, or a crash, wrote."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _text(value: dict[str, object]) -> list[str]:
    """A record for a person: local time, level, message, fields; below it the traceback."""
    fields = "".join(f" {name}={each}" for name, each in value.items() if name not in _SHOWN_BEFORE)
    level = str(value.get("level", "info"))
    shown = [f"{_local_time(value.get('ts'))} {level:<8} {value.get('message', '')}{fields}"]
    for name in ("exception", "stack"):
        shown += [f"  {line}" for line in str(value.get(name, "")).splitlines()]
    return shown


def _local_time(moment: object) -> str:
    try:
        return datetime.fromisoformat(str(moment)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return str(moment)
