"""The protocol under arbitrary histories: documents change, runs come and crash, batches progress, end and
break, requests meet faults of every kind, time passes, the ledger is lost. Whatever happens, no wrong vector
is indexed, requests are bounded, and each text is paid once but for what is counted; when the faults cease,
all is indexed.
"""

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from doubles import paragraphs
from openai_standin import StandIn
from provider.kill_points import run_until
from provider_house import ProviderHouse
from reindex.core.canary import CANARY_TEXT
from reindex.dev_openai import batch_faults, faults, refusals
from reindex.dev_openai.faults import Lines, WrongVector
from reindex.errors import OutageError, ReindexError
from reindex.stores.booking_rows import Outcome

GRACE_S = 60
NAMES = ("a.md", "b.md", "c.md", "folder/d.md")
NUMBERS = st.lists(st.integers(0, 40), max_size=6, unique=True)
SOME = st.sampled_from([Lines(), Lines(every=2), Lines(every=3), Lines(first=1)])
DETECTABLE = [kind for kind in WrongVector if kind not in {WrongVector.SHIFTED, WrongVector.SWAPPED}]
WRONG = st.sampled_from(DETECTABLE)
BATCH_FAULTS = st.one_of(
    st.builds(batch_faults.Dropped, SOME, st.booleans()),
    st.builds(batch_faults.Duplicated, SOME),
    st.builds(batch_faults.Unknown, st.integers(1, 3)),
    st.builds(batch_faults.LineFails, st.sampled_from([400, 429, 500]), SOME),
    st.builds(batch_faults.Garbled, SOME),
    st.builds(batch_faults.TruncatedOutput, st.floats(0, 1)),
    st.builds(batch_faults.Halfway, st.sampled_from(["expired", "failed", "cancelled"]), st.floats(0, 1)),
    st.builds(
        batch_faults.Fails,
        st.sampled_from(["token_limit_exceeded", "billing_hard_limit_reached", "insufficient_quota", "odd"]),
    ),
    st.builds(batch_faults.Stuck, st.sampled_from(["validating", "in_progress", "finalizing"])),
    st.just(batch_faults.NoOutput()),
    st.just(batch_faults.GoneOutput()),
    st.builds(faults.WrongVectors, WRONG, SOME),
)
CALL_FAULTS = st.one_of(
    st.builds(faults.Reset, st.booleans()),
    st.builds(faults.Cut, st.floats(0, 1), st.booleans()),
    st.builds(
        faults.Refuse, st.builds(refusals.server_error, st.sampled_from([500, 502, 503])), st.booleans()
    ),
    st.builds(faults.Refuse, st.builds(refusals.rate_limited, st.sampled_from([1.0, 7200.0]))),
    st.builds(
        faults.Refuse, st.sampled_from([refusals.no_money(), refusals.wrong_key(), refusals.forbidden()])
    ),
)
ANSWER_FAULTS = st.one_of(
    st.builds(faults.WrongVectors, WRONG, SOME),
    st.sampled_from([faults.Reordered(), faults.NoIndex(), faults.SameIndex(), faults.FewerItems()]),
)
ROUTES = st.sampled_from(
    ["files.create", "batches.create", "batches.list", "batches.retrieve", "files.retrieve", "files.content"]
)
ENDINGS = ("finish", "finish", "expire", "cancel")
EXCEPTIONS = (Outcome.AGAIN_LOST, Outcome.AGAIN_STUCK, Outcome.AGAIN_NOW)

NAME = st.sampled_from(NAMES)
NO_ID = st.sampled_from([None, ""])
ALSO = st.one_of(
    st.tuples(st.just("delete"), NAME),
    st.tuples(st.just("copy_or_rename"), NAME, NAME, st.booleans()),
    st.tuples(st.just("another_lane"), st.sampled_from(["batch", "auto", "realtime"])),
    st.tuples(st.just("cancel_by_hand"), st.integers(1, 8)),
    st.tuples(st.just("time_passes"), st.sampled_from([2, GRACE_S + 1, 3_700, 90_000])),
    st.tuples(st.just("next_answer_in_real_time_breaks"), st.one_of(CALL_FAULTS, ANSWER_FAULTS)),
    st.tuples(st.just("another_mood"), st.sampled_from([0, 1, 5]), st.sampled_from([0, 3]), NO_ID),
    st.sampled_from([("run_now",), ("retry_by_hand",), ("lose_the_ledger",)]),
)


class Protocol(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="protocol-"))
        self.openai = StandIn()
        self.openai.__enter__()
        self.openai.options.hold.add("in_progress")
        self.house = ProviderHouse(
            self.folder, self.openai, batch_min_chunks=4, batch_grace_s=GRACE_S, attempts_max=2
        )
        self.last_request = 0  # texts of the last request in real time
        self.allowed = 0  # payments that no ledger can know of: an answer in real time that was lost
        self.counted = 0  # what a ledger had counted that was lost
        self.openai.fault("embeddings", None, times=None, where=self.see_request)

    def see_request(self, call):
        """A rule that never happens, and sees all."""
        with suppress(ValueError, TypeError):
            given = json.loads(call.body)["input"]
            self.last_request = 1 if isinstance(given, str) else len(given)
        return False

    def teardown(self):
        try:
            self.let_all_be_well()
        finally:
            self.openai.__exit__(None, None, None)
            shutil.rmtree(self.folder, ignore_errors=True)

    # a day: something is edited, something breaks, a run comes, and the provider works

    @rule(
        edit=st.tuples(st.sampled_from(NAMES), NUMBERS),
        breaks=st.none() | BATCH_FAULTS,
        call=st.none() | st.tuples(ROUTES, CALL_FAULTS, st.integers(1, 3)),
        crash_at=st.none() | st.integers(0, 60),
        endings=st.lists(st.tuples(st.sampled_from(ENDINGS), st.floats(0, 1)), max_size=3),
        also=st.none() | ALSO,
    )
    def day(self, edit, breaks, call, crash_at, endings, also):
        self.write(*edit)
        if also is not None:
            getattr(self, also[0])(*also[1:])
        if breaks is not None:
            self.openai.fault("batch", breaks)
        if call is not None:
            route, fault, times = call
            self.openai.fault(route, fault, times=times)
        if crash_at is None:
            self.sync()
        else:
            self.crash(crash_at)
        batches = [batch for batch in self.openai.batches() if batch.is_open]
        for batch, (how, share) in zip(batches, endings, strict=False):
            self.end(batch, how, share)

    def write(self, name, numbers):
        self.house.write(name, paragraphs(*numbers))

    def sync(self, *, is_now=False):
        """It ends well or with an error of ours."""
        before = self.openai.requests()
        with suppress(ReindexError):
            self.house.sync(accept_deletes=True, is_now=is_now)
        made = self.openai.requests() - before
        assert made.total() <= 40 + 8 * len(self.openai.batches()), made
        self.check()

    def crash(self, at):
        self.last_request = 0
        with suppress(ReindexError):
            run_until(at, lambda: self.house.sync(accept_deletes=True))
        self.allowed += self.last_request
        self.check()

    def end(self, batch, how, share):
        if how == "finish":
            self.openai.finish(batch)
        elif how == "expire":
            self.openai.expire(batch, share)
        else:
            self.openai.progress(batch, share)
            with suppress(refusals.Refusal):
                self.openai.service.batches.cancel(batch)

    # what may happen beside it

    def delete(self, name):
        (self.house.docs / name).unlink(missing_ok=True)

    def copy_or_rename(self, name, other, moves):
        source = self.house.docs / name
        if source.exists() and name != other:
            self.house.write(other, source.read_bytes())
            if moves:
                source.unlink()

    def another_lane(self, lane):
        self.house.with_openai(lane=lane)

    def run_now(self):
        self.sync(is_now=True)

    def retry_by_hand(self):
        self.house.retry()

    def cancel_by_hand(self, number):
        with suppress(ReindexError):
            self.house.cancel(number)

    def lose_the_ledger(self):
        if not (self.house.data_dir / "ledger.sqlite").exists():
            return
        self.counted += self.exceptions()
        for suffix in ("", "-wal", "-shm"):
            (self.house.data_dir / f"ledger.sqlite{suffix}").unlink(missing_ok=True)

    # the provider

    def next_answer_in_real_time_breaks(self, fault):
        """Whatever it brings is paid, and perhaps again."""
        met = []

        def counting(call):
            if not met:
                met.append(call)
                self.see_request(call)
                self.allowed += self.last_request
                return True
            return False

        self.openai.fault("embeddings", fault, where=counting)

    def another_mood(self, lag_s, fresh_s, no_id):
        self.openai.options.listing_lag_s = lag_s
        self.openai.options.fresh_missing_s = fresh_s
        self.openai.options.no_id = no_id

    def time_passes(self, seconds):
        self.openai.advance(seconds)
        self.house.clock.ahead_s += seconds

    # what holds

    def exceptions(self):
        return sum(self.house.booked(outcome) for outcome in EXCEPTIONS)

    def check(self):
        if self.house.published() is not None:
            self.house.check_vectors()
        self.check_bill()

    def check_bill(self):
        twice = self.openai.billed_twice(except_texts=(CANARY_TEXT,))
        excess = sum(times - 1 for times in twice.values())
        if excess > self.allowed + self.counted:
            counted = self.exceptions()
            assert excess <= self.allowed + self.counted + counted, (excess, self.allowed, counted, twice)

    def let_all_be_well(self):
        self.openai.clear_faults()
        self.openai.options.hold.clear()
        self.openai.options.listing_lag_s = self.openai.options.fresh_missing_s = 0
        for _ in range(20):
            self.house.retry()
            with suppress(OutageError):  # the news of a batch that failed for want of money
                report = self.house.sync(accept_deletes=True)
                documents = report.documents
                if not report.chunks.in_flight and not documents.pending and not documents.failed:
                    break
            self.openai.finish_all()
            self.time_passes(GRACE_S + 1)
        found = self.house.verify()
        assert found.ok, (found, self.house.jobs(), report)
        assert not report.documents.failed, report.failures
        assert {job.state for job in self.house.jobs()} <= {"done", "cancelled", "failed"}
        self.house.check_vectors()
        self.check_bill()
        assert not [batch for batch in self.openai.orphans() if batch.is_open]


if settings.get_current_profile_name() == "deep":
    Protocol.TestCase.settings = settings(max_examples=100, stateful_step_count=60)
else:  # shrinking takes minutes: the failure as it was found, and the deep profile to make it small
    Protocol.TestCase.settings = settings(
        max_examples=3, stateful_step_count=12, phases=[Phase.explicit, Phase.reuse, Phase.generate]
    )
test_the_protocol_holds = Protocol.TestCase
