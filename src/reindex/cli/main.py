"""The entry point of `reindex`, and the place where errors become messages and exit codes.

It imports next to nothing by itself: a Ctrl-C among the imports of the verbs is to find `main` at work.
"""

from __future__ import annotations

import errno
import io
import os
import sys

from reindex.cli.output import warn
from reindex.errors import ExitCode, ReindexError
from reindex.stores.light_import import make_light

_INTERRUPTED = "interrupted: what was published stays; run the command again to go on"


def main() -> None:
    """Run the command line. Exit codes: README.md, "Exit codes"."""
    try:
        _make_streams()
        make_light()
        from reindex.cli.verbs import app

        app()
    except ReindexError as error:
        what = "interrupted" if error.exit_code is ExitCode.INTERRUPTED else "error"
        warn(f"{what}: {error.message}")
        if error.hint:
            warn(f"hint: {error.hint}")
        sys.exit(error.exit_code)
    except SystemExit as ending:
        if ending.code == ExitCode.INTERRUPTED:  # typer turned Ctrl-C into this
            warn(_INTERRUPTED)
        raise
    except KeyboardInterrupt:  # among the imports
        warn(_INTERRUPTED)
        sys.exit(ExitCode.INTERRUPTED)
    except OSError as error:  # BrokenPipeError, or a full disk behind a redirection
        if error.errno not in {errno.EPIPE, errno.ENOSPC}:
            raise
        if error.errno == errno.ENOSPC:
            warn("error: no space left where the output goes")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more can be said
        sys.exit(ExitCode.ERROR)


def _make_streams() -> None:
    """Of the three streams those that are closed lead nowhere, and what an encoding can't say is escaped."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            if not _is_open(number):  # else the next file that is opened, a store of ours, takes its number
                os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
