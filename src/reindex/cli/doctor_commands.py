"""`doctor`: what is wrong here, and what to do about it."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict

import typer

from reindex.cli.options import ConfigOption, DataDirOption, JsonOption
from reindex.cli.output import print_json, say
from reindex.cli.performing import open_place
from reindex.errors import ExitCode

_COLOURS = {"ok": "\x1b[32m", "warning": "\x1b[33m", "failed": "\x1b[31m"}
_PLAIN = "\x1b[0m"


def doctor(
    config: ConfigOption = None, data_dir: DataDirOption = None, json_output: JsonOption = False
) -> None:
    """Check everything that an index needs, and say what to do where it lacks. Exit 6 if anything failed.

    Example: reindex doctor --json
    """
    from reindex.doctor.examination import examine
    from reindex.doctor.findings import State

    findings = []
    for finding in examine(lambda: open_place(config, data_dir, json_output=json_output).open_app()):
        findings.append(finding)
        if not json_output:
            print(_mark(finding.state.value), end="")  # noqa: T201 (its colour is no text of others)
            say(f"{finding.check}: {finding.found}")
            if finding.fix:
                say(f"         {finding.fix}")
            sys.stdout.flush()
    is_healthy = all(finding.state is not State.FAILED for finding in findings)
    if json_output:
        print_json({"ok": is_healthy, "checks": [asdict(finding) for finding in findings]})
    if not is_healthy:
        raise typer.Exit(ExitCode.UNHEALTHY)


def _mark(state: str) -> str:
    shown = f"{state:<9}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        return f"{_COLOURS[state]}{shown}{_PLAIN}"
    return shown
