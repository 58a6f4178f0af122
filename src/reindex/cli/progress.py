"""Progress on stderr: a bar with rate and time left on a terminal, plain lines now and then in a pipe."""

from __future__ import annotations

import sys
import time
from typing import Any

from reindex.cli.output import printable, warn

LINE_EVERY_S = 10.0


def make_progress(*, quiet: bool) -> QuietProgress:
    """The progress that fits where stderr goes."""
    if quiet:
        return QuietProgress()
    if sys.stderr.isatty():
        return BarProgress()
    return LineProgress()


class QuietProgress:
    """What is said only."""

    def phase(self, name: str, total: int, unit: str) -> None:
        """Says nothing."""

    def advance(self, amount: int) -> None:
        """Says nothing."""

    def waiting(self) -> None:
        """Says nothing."""

    def planned(self, documents: int) -> None:
        """Says nothing."""

    def count(self, *, documents: int, chunks: int) -> None:
        """Says nothing."""

    def warn(self, message: str) -> None:
        """Warnings are never left out."""
        self.tell(f"warning: {message}")

    def tell(self, line: str) -> None:
        """A line as it is."""
        warn(line)

    def close(self) -> None:
        """Nothing is open."""


class LineProgress(QuietProgress):
    """A line every ten seconds, and none for what is over sooner."""

    def __init__(self) -> None:
        self._name, self._total, self._unit = "", 0, ""
        self._done = self._documents = self._chunks = 0
        self._begun = self._said = time.monotonic()

    def phase(self, name: str, total: int, unit: str) -> None:
        """Start counting anew."""
        self._name, self._total, self._unit, self._done = name, total, unit, 0
        self._begun = self._said = time.monotonic()

    def advance(self, amount: int) -> None:
        """Count, and say so if it is time."""
        self._done += amount
        if time.monotonic() - self._said >= LINE_EVERY_S:
            self._say()

    def count(self, *, documents: int, chunks: int) -> None:
        """Remember for the next line."""
        self._documents, self._chunks = documents, chunks

    def _say(self) -> None:
        self._said = time.monotonic()
        elapsed = self._said - self._begun
        parts = [f"{self._name}:"]
        if self._total:
            parts.append(f"{100 * self._done // self._total} %,")
            if self._done * 20 >= self._total:  # before that it is the loading of the model that is measured
                left = elapsed * (self._total - self._done) / self._done
                parts.append(f"about {left:.0f} s left,")
        else:
            parts.append(f"{self._done:,} {self._unit},")
        parts.append(f"{self._documents:,} documents published, {self._chunks:,} chunks embedded")
        warn(" ".join(parts))


class BarProgress(QuietProgress):
    """rich's bar: what, how far, how fast, how long still."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._counts = ""

    def phase(self, name: str, total: int, unit: str) -> None:
        """A new bar in place of the old one."""
        self.close()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %" if total else "{task.completed} " + unit),
            TimeRemainingColumn(),
            TextColumn("{task.fields[counts]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(printable(name), total=total or None, counts=self._counts)
        self._bar.start()
        self._begun = time.monotonic()

    def advance(self, amount: int) -> None:
        """Move the bar."""
        self._bar.advance(self._task, amount)

    def count(self, *, documents: int, chunks: int) -> None:
        """Counts and rate, to the right of the bar."""
        rate = chunks / max(time.monotonic() - self._begun, 0.001)
        self._counts = f"{documents:,} documents, {chunks:,} chunks embedded, {rate:.1f}/s"
        self._bar.update(self._task, counts=self._counts)

    def tell(self, line: str) -> None:
        """Above the bar."""
        if self._bar is not None:
            self._bar.console.print(printable(line), markup=False, highlight=False)
        else:
            super().tell(line)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
