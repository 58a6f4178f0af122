"""`status --watch`: the state as it changes; a terminal shows it in place, a pipe a line for each change."""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reindex.cli.output import printable

EVERY_S = 1.0
_HOME, _TO_END_OF_LINE, _TO_END = "\x1b[H", "\x1b[K", "\x1b[J"
_OTHER_SCREEN, _OWN_SCREEN = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_ALWAYS_CHANGING = frozenset({"lag_s", "uptime_s", "took_ms"})
_QUIT = frozenset({b"q", b"Q", b"\x03", b"\x04"})

StatusObject = Mapping[str, Any]


def watch_status(ask: Callable[[], StatusObject], *, json_output: bool, every_s: float = EVERY_S) -> None:
    """Ask for the status object (that of `status --json`) again and again, until q or Ctrl-C.

    On a terminal it is shown in place. Elsewhere, and with `json_output`, there is a line for each change.
    What `ask` raises ends it.
    """
    try:
        if sys.stdout.isatty() and not json_output:
            _show_in_place(ask, every_s)
        else:
            _show_changes(ask, every_s, json_output=json_output)
    except KeyboardInterrupt:
        pass  # it is how one leaves


def _show_in_place(ask: Callable[[], StatusObject], every_s: float) -> None:
    with _whole_screen() as keys:
        while True:
            size = shutil.get_terminal_size()
            lines = [*_page(ask()), "", f"{time.strftime('%H:%M:%S')}, every {every_s:g} s; q ends"]
            shown = [printable(line)[: size.columns] for line in lines[: size.lines]]
            content = f"{_TO_END_OF_LINE}\n".join(shown)
            sys.stdout.write(f"{_HOME}{content}{_TO_END_OF_LINE}{_TO_END}")
            sys.stdout.flush()
            if _asked_to_quit(keys, every_s):
                return


def _show_changes(ask: Callable[[], StatusObject], every_s: float, *, json_output: bool) -> None:
    shown = None
    while True:
        status = ask()
        stable = json.dumps({name: value for name, value in status.items() if name not in _ALWAYS_CHANGING})
        if stable != shown:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            line = json.dumps(status) if json_output else f"{moment} {'; '.join(_page(status))}"
            print(printable(line), flush=True)  # noqa: T201
            shown = stable
        time.sleep(every_s)


@contextmanager
def _whole_screen() -> Iterator[int | None]:
    """The terminal's other screen, and what keys can be read from: without echo, each at once."""
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    before = termios.tcgetattr(keys) if keys is not None else None
    sys.stdout.write(_OTHER_SCREEN)
    try:
        if keys is not None:
            tty.setcbreak(keys)
        yield keys
    finally:
        if keys is not None and before is not None:
            termios.tcsetattr(keys, termios.TCSADRAIN, before)
        sys.stdout.write(_OWN_SCREEN)
        sys.stdout.flush()


def _asked_to_quit(keys: int | None, wait_s: float) -> bool:
    """Wait so long, or until a key is pressed: was it the one that ends it?"""
    if keys is None:
        time.sleep(wait_s)
        return False
    readable, _, _ = select.select([keys], [], [], wait_s)
    return bool(readable) and os.read(keys, 1) in _QUIT | {b""}


def _page(status: StatusObject) -> list[str]:
    """A status object in lines, the important ones first."""
    live, documents, daemon = status.get("live"), status.get("documents") or {}, status.get("daemon") or {}
    lines = [f"{status.get('state')}: {_daemon(daemon)}"]
    lines += [f"  {reason}" for reason in status.get("reasons") or ()]
    if live:
        lines.append(f"generation {live['generation']}, version {live['version']}, model {live['model']}")
        lines.append(f"{live['documents']:,} documents, {live['chunks']:,} chunks")
    waiting = [f"{documents[name]:,} {name}" for name in ("pending", "failed", "held") if documents.get(name)]
    lines.append(", ".join(waiting) or "every document is at its current revision")
    if status.get("lag_s"):
        lines.append(f"the oldest change that is not indexed is {status['lag_s']:.0f} s old")
    building = status.get("building")
    if building:
        size = f"{building['documents']:,} documents, {building['chunks']:,} chunks"
        lines.append(f"beside it: generation {building['generation']}, {building['state']}, {size}")
    jobs = [f"{count:,} {state}" for state, count in (status.get("jobs") or {}).items() if count]
    if jobs:
        lines.append(f"jobs: {', '.join(jobs)}")
    return lines


def _daemon(daemon: StatusObject) -> str:
    if not daemon.get("running"):
        return "no daemon is running"
    return f"daemon {daemon.get('pid')}, {daemon.get('url') or 'no HTTP'}"
