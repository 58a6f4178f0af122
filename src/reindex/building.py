"""A generation under construction beside the live one, which stays fresh meanwhile.

    catch_up -> finish_indices -> mark_ready -> inspect (the gate) -> one more pass -> promote

Everything that takes long lets the live generation have a pass every few seconds, so that edits are published
while the other is filled, indexed and inspected. Ledger and cache belong to this thread; indices are built
and rows inspected in another.
"""

import time
from collections.abc import Sequence
from contextlib import closing

from reindex.app import App
from reindex.changes import Changes, find_changes
from reindex.core.generations import Generation, GenerationState
from reindex.errors import EmbeddingError, ModelError, ReindexError
from reindex.gate import Answer, GateReport, Inspection, check_probes, inspect_rows
from reindex.meanwhile import run_beside
from reindex.model import DocumentName
from reindex.observe import Observation, changed_between, observe
from reindex.passes import PassContext, build_pass, serve_pass
from reindex.probes import Probe
from reindex.promotion import promote
from reindex.report import PassReport, Progress, WarningsOnly
from reindex.stores.cache import VectorCache
from reindex.stores.failure_rows import Failure
from reindex.writer import Writer

LIVE_EVERY_S = 2.0  # between two passes of the live generation: about the age at which an edit is found
LIVE_SHARE = 4.0  # and so many times as long as such a pass takes, so that most of the time is for building;
LIVE_WITHIN_S = 8.0  # but no longer than that an edit is published in so many seconds, if that can be
ROUNDS_MAX = 5  # of catching up; what changes after the last is taken by the pass before the promotion
_STALE_SHARE = 10  # more than a tenth of the rows is in no index: to make them anew is quicker


class Building:
    """The live generation and the one that is to take its place. Close it to end its parser."""

    def __init__(self, app: App, live: Writer, beside: Writer, progress: Progress) -> None:
        self._app = app
        self._live = live
        self._beside = beside
        self._progress = progress
        self._parser = app.new_parser()
        self._sources = app.sources()
        self._catalog = app.catalog(live.ledger, is_writable=True)
        self._failures: dict[DocumentName, Failure] = {}
        self._next_live_pass = 0.0
        self._held = 0
        self.waiting = 0  # documents whose texts are in batches, or that the budget of the day holds back
        self.report = PassReport()

    def close(self) -> None:
        self._parser.close()

    def catch_up(self) -> Observation:
        """Passes until nothing is left that can be done now, or the limit of rounds is reached. Returns the
        look at the disk that the last of them worked from.
        """
        for _ in range(ROUNDS_MAX):
            self.report.documents.pending = 0
            observation, changes, is_all = self._one_round()
            held_back = 0 if is_all else self.report.documents.pending
            self.waiting = len(changes.plan.waiting) + held_back
            if changes.plan.is_empty or held_back:
                break
        self.report.documents.pending = self.waiting
        return observation

    def finish_indices(self) -> None:
        """Scalar and full-text indices over all rows, and the vector index if there are enough of them."""
        settings = self._app.settings.index
        table = self._beside.table()
        statistics = table.statistics()
        needs_vectors = statistics.rows >= settings.vector_index_min_rows
        is_stale = statistics.unindexed_rows * _STALE_SHARE > statistics.rows

        def work() -> None:
            if is_stale:
                table.create_indices(with_vectors=needs_vectors)
                return
            if statistics.unindexed_rows >= settings.optimize_unindexed_rows:
                table.optimise()
            if needs_vectors and not statistics.has_vector_index:
                table.build_vector_index()

        self._progress.phase("building the indices", 0, "steps")
        run_beside(work, self.keep_live_fresh)
        self._beside.adopt_version()

    def mark_ready(self) -> None:
        """It is whole: from now on only a person, or the gate, decides about it."""
        generation = self._beside.generation
        assert generation is not None, "there is one"
        if generation.state is GenerationState.BUILDING:
            ready = self._live.ledger.generations.change_state(generation, GenerationState.READY)
            self._beside.generation = ready

    def inspect(
        self, observation: Observation, probes: Sequence[Probe], answer: Answer, min_recall: float
    ) -> GateReport:
        """The gate, on the version as it is now, against the look that it was made from; what has changed on
        the disk since then is left to the pass before the switch.
        """
        now, _ = self._refresh_live()
        in_motion = changed_between(observation, now)
        report = GateReport(held=self._held)
        new = self._beside.snapshot()
        failing = set(self._live.ledger.failures.all())
        reasons = {name: failure.reason for name, failure in self._failures.items()}
        self._progress.phase("inspecting the new generation", 0, "rows")

        def work() -> None:
            cache = VectorCache.open_for_reading(self._app.data_dir)
            assert cache is not None, "a writer has it open"
            with closing(cache):
                inspect_rows(Inspection(new, cache, observation, in_motion, failing, reasons), report)

        run_beside(work, self.keep_live_fresh)
        self._progress.phase("asking the probes", len(probes), "questions")

        def asked() -> None:
            self._progress.advance(1)
            self.keep_live_fresh()

        check_probes(probes, new, self._live.snapshot(), answer, min_recall, report, asked)
        return report

    def promote(self, by: str, report: GateReport, *, force: bool) -> bool:
        """One last pass over both, then the switch. False, and nothing switched, when deletions came to be
        held meanwhile: the new generation lacks what the live one still serves.
        """
        self._one_round()
        report.held = self._held
        if not report.passed and not force:
            return False
        promote(self._beside, by)
        return True

    def _one_round(self) -> tuple[Observation, Changes, bool]:
        """The live generation first: what its guard holds back is held back in the other as well."""
        observation, live_changes = self._refresh_live()
        changes, is_all = build_pass(
            PassContext(self._app, self._sources, self._catalog, self._progress, self.report),
            self._beside,
            self._parser,
            observation,
            accept_deletes=not live_changes.held,
            failures=self._failures,
            meanwhile=self.keep_live_fresh,
        )
        return observation, changes, is_all

    def keep_live_fresh(self) -> None:
        """A pass over the live generation, if it is time."""
        if time.monotonic() >= self._next_live_pass:
            self._refresh_live()

    def _refresh_live(self) -> tuple[Observation, Changes]:
        started = time.monotonic()
        generation = self._live.generation
        assert generation is not None, "readers are on it"
        report = PassReport()
        quiet = WarningsOnly(self._progress)
        context = PassContext(self._app, self._sources, self._catalog, quiet, report)
        observation = observe(list(self._sources.values()), self._live.ledger.files, self._app.clock)
        try:
            changes = serve_pass(context, self._live, generation.recipe, observation, accept_deletes=False)
        except (ModelError, EmbeddingError) as error:  # often why there is to be another generation
            changes = self._without_its_model(observation, generation, error)
        self._held = len(changes.held)
        self.report.add_work_of(report)
        self._next_live_pass = time.monotonic() + _rest_after(time.monotonic() - started)
        return observation, changes

    def _without_its_model(self, observation: Observation, live: Generation, error: ReindexError) -> Changes:
        """The live generation stays as it is. That is said once, and no reason to give up the other."""
        notice = f"generation {live.number} can't take in edits meanwhile: {error.message}"
        if notice not in self.report.notices:
            self._progress.warn(notice)
            self.report.notices.append(notice)
        now = self._live.clock.now()
        ledger = self._live.ledger
        return find_changes(observation, ledger, live.number, accept_deletes=False, now=now)


def _rest_after(pass_s: float) -> float:
    """Seconds until the next pass. An edit right after the last one began waits for its end, for this, and
    for its own.
    """
    longest = max(LIVE_EVERY_S, LIVE_WITHIN_S - 2 * pass_s)
    return min(max(LIVE_EVERY_S, LIVE_SHARE * pass_s), longest)
