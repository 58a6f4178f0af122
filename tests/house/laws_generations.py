"""What is done to generations: rebuilds that end, stop or crash, promotion, rollback, and giving up."""

from contextlib import suppress
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import rule

from doubles import COMMITS, UPKEEP, Crash, crash_at
from house.laws_faults import FAULTS, failing
from reindex.errors import ConfigError, ReindexError
from reindex.rebuilding import abandon
from reindex.switching import drop

_POINTS = st.sampled_from([f"{side} {name}" for name in COMMITS | UPKEEP for side in ("before", "after")])


class GenerationRules:
    """Every one of them ends with the live generation whole and equal to the disk, or with an error of ours
    and the live one as it was.
    """

    @rule(dimensions=st.sampled_from([0, 16]))
    def change_the_space(self, dimensions):
        embedding = replace(self.house.settings.embedding, dimensions=dimensions)
        self.house.settings = replace(self.house.settings, embedding=embedding)

    @rule(promotes=st.sampled_from([True, True, False]), fresh=st.sampled_from([False, False, True]))
    def rebuild(self, promotes, fresh):
        self.allow_again(fresh=fresh)
        report = self.switch(lambda: self.house.rebuild(promotes=promotes, fresh=fresh))
        if report is not None and report.promoted:
            assert self.wanted_recipe() == self.house.published().recipe.fingerprint

    @rule(point=_POINTS, nth=st.integers(1, 3), fresh=st.sampled_from([False, False, True]))
    def crash_in_a_rebuild(self, point, nth, fresh):
        self.allow_again(fresh=fresh)
        self.crash_in(point, nth, lambda: self.house.rebuild(fresh=fresh))

    @rule(fault=st.sampled_from(FAULTS), nth=st.integers(1, 6))
    def fail_in_a_rebuild(self, fault, nth):
        """A full disk and the like: an error of ours, and the next one goes on."""
        sent = len(self.house.embedder.batches)
        self.is_settled = False
        with failing(fault, nth) as hits:
            with suppress(ReindexError):
                self.house.rebuild()
            if len(hits) >= nth and fault[0] == "cache.sqlite":
                self.allow(self.house.embedder.batches[sent:])

    @rule()
    def rollback(self):
        self.switch(self.house.rollback, may_fail=True)

    @rule(point=_POINTS)
    def crash_in_a_rollback(self, point):
        self.crash_in(point, 1, self.house.rollback)

    @rule(force=st.booleans())
    def promote(self, force):
        """One that is ready, or was live before: the newest there is."""
        waiting = [n for n, state in self.house.states().items() if state in {"ready", "retired"}]
        if waiting:
            self.switch(lambda: self.house.promote(waiting[-1], force=force), may_fail=True)

    @rule()
    def abandon(self):
        self.is_settled = False
        abandon(self.house.app, self.house.told)

    @rule(at=st.integers(0, 5))
    def drop(self, at):
        numbers = [*self.house.states()]
        if numbers:
            with suppress(ConfigError):
                drop(self.house.app, self.house.told, numbers[at % len(numbers)])

    def switch(self, run, *, may_fail=False):
        """Something that may switch to another generation. None where it could not be done."""
        self.is_settled = False
        try:
            report = run()
        except ReindexError as error:
            assert may_fail or "can't be scanned" in error.message, error.message
            return None
        self.is_dark = self.is_cache_lost = self.is_damaged = False
        self.is_settled = True
        found = self.house.verify_by_few()
        assert found.ok, found
        self.check_answers()
        assert not self.house.open_jobs()
        self.check_paid_once()
        return report

    def crash_in(self, point, nth, run):
        sent = len(self.house.embedder.batches)
        self.is_settled = False
        with crash_at(point, nth), suppress(Crash, ReindexError):
            run()
        if point == "before 2 cache":
            self.allow(self.house.embedder.batches[sent:][-1:])

    def allow_again(self, *, fresh):
        """Vectors that are to be made afresh are paid for once more, each."""
        if fresh:
            self.allow([[*self.house.embedder.sent]])
