"""The one place where a command is sent its way, to the daemon or directly, and its outcome is said."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from reindex.cli.options import current_directory, load
from reindex.cli.output import print_json, warn
from reindex.cli.progress import QuietProgress, make_progress
from reindex.errors import ExitCode, NotRunningError, ReindexError

if TYPE_CHECKING:
    from reindex.app import App
    from reindex.cli.connection import Request
    from reindex.objects import Object
    from reindex.settings import Settings
    from reindex.tasks import Outcome

Direct = Callable[["App", QuietProgress], "Outcome"]


def no_notes(_: Object) -> tuple[str, ...]:
    """Of an object that needs none."""
    return ()


@dataclass(frozen=True, slots=True)
class Command:
    """What a command is, whichever way it goes.

    `direct` does it here; None: only a daemon can. `request` asks a daemon for the same; None: it always goes
    directly. `show` prints the object for a person, and `notes` are the lines for stderr that stand in it.
    """

    direct: Direct | None
    request: Request | None
    show: Callable[[Object], None]
    notes: Callable[[Object], tuple[str, ...]] = no_notes


@dataclass(frozen=True, slots=True)
class Place:
    """The settings of a command, and how it speaks. Relative paths in the settings started at `base_dir`."""

    settings: Settings
    base_dir: Path
    is_json: bool
    is_quiet: bool

    def perform(self, command: Command) -> None:
        """Do it, and say what came of it. Raises ReindexError, and Exit with the code for an outcome that is
        not all well.
        """
        try:
            self._perform(command)
        except (KeyError, TypeError, ValueError) as error:
            from reindex.cli.remote import other_version

            version = other_version(self.settings)
            if version is None:
                raise
            raise ReindexError(
                f"the answer of the daemon can't be understood: it is version {version}",
                "`reindex restart` ends it and starts this version.",
            ) from error

    def _perform(self, command: Command) -> None:
        with closing(make_progress(quiet=self.is_quiet)) as progress:
            outcome = self._outcome(command, progress)
        for message in (*outcome.messages, *command.notes(outcome.result)):
            warn(message)
        if self.is_json:
            print_json(outcome.result)
        else:
            command.show(outcome.result)
        if outcome.exit_code is not ExitCode.OK:
            raise typer.Exit(outcome.exit_code)

    def ask(self, command: Command) -> Object:
        """The object alone, without a word. Raises ReindexError."""
        return self._outcome(command, QuietProgress()).result

    def _outcome(self, command: Command, progress: QuietProgress) -> Outcome:
        from reindex.cli.remote import read, write
        from reindex.tasks import Outcome

        if command.request is not None and command.request.makes_task:
            outcome = write(self.settings, command.request, progress)
            if outcome is not None:
                return outcome
        elif command.request is not None:
            answer = read(self.settings, command.request)
            if answer is not None:
                return Outcome(answer)
        if command.direct is None:
            raise NotRunningError("no daemon is running", "`reindex start` starts one.")
        with closing(self.open_app()) as app:
            return command.direct(app, progress)

    def open_app(self) -> App:
        """Everything that works here needs."""
        from reindex.app import App

        return App(self.settings, self.base_dir)


def open_place(config: Path | None, data_dir: Path | None, *, json_output: bool, quiet: bool = True) -> Place:
    """Where a command is given. Raises ConfigError."""
    from reindex.settings_file import find_config

    loaded = load(config, data_dir)
    base_dir = find_config(config, os.environ, current_directory(config, data_dir)).parent
    return Place(loaded.settings, base_dir, json_output, quiet)
