"""Reading generations other than the published one: a query of one, and what two answer differently."""

from collections.abc import Sequence
from dataclasses import dataclass

from reindex.app import App
from reindex.core.comparing import Comparison, compare, mean
from reindex.core.generations import GenerationState
from reindex.errors import ConfigError
from reindex.rebuilding import answer_of, probes_of
from reindex.search import SearchMode, SearchResult
from reindex.stores.pointer import Published
from reindex.stores.snapshot import Filter, Snapshot
from reindex.switching import find_generation
from reindex.writer import published_from

_READABLE = frozenset({GenerationState.LIVE, GenerationState.READY, GenerationState.RETIRED})


@dataclass(frozen=True, slots=True)
class Difference:
    """What two generations answer to the same questions: documents, at 10 hits. `overlap` is the mean of all
    questions, None without one.
    """

    overlap: float | None
    questions: tuple[tuple[str, Comparison], ...]


def search_generation(
    app: App, number: int | None, text: str, k: int, mode: SearchMode, limits: Filter
) -> SearchResult:
    """A query of the live generation (None, or its own number), or of one that readers are not sent to: as
    that one was when it was written last.
    """
    reader = app.reader()
    if number is None or number == reader.published().generation:
        return reader.search(text, k, mode, limits)
    return reader.ask(_snapshot(app, number), text, k, mode, limits)


def compare_generations(app: App, first: int, second: int, questions: Sequence[str]) -> Difference:
    """Ask both the same. Without questions those of the probe file are asked."""
    questions = questions or [probe.query for probe in probes_of(app)]
    if not questions:
        raise ConfigError(
            "there is nothing to ask", "Give --query TEXT, or set [promotion] queries to a file of probes."
        )
    before, after = _snapshot(app, first), _snapshot(app, second)
    answer = answer_of(app)
    found = tuple((text, compare(answer(before, text), answer(after, text))) for text in questions)
    return Difference(mean([comparison.overlap for _, comparison in found]), found)


def readable(app: App, number: int) -> Published:
    """What a generation is to be read at. Raises ConfigError where there is none, or none that is whole."""
    with app.ledger() as ledger:
        found = find_generation(ledger.generations.all() if ledger is not None else [], number)
    if found.state not in _READABLE:
        raise ConfigError(
            f"generation {number} is {found.state} and can't be searched", "`reindex generations` lists them."
        )
    return published_from(found, 0.0)


def _snapshot(app: App, number: int) -> Snapshot:
    return Snapshot.open(app.data_dir, readable(app, number))
