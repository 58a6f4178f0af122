"""An OpenAI of our own, in a thread of the test process: its state, its bill and its faults are at hand, and
it lives on when a client in another process is killed.

    with StandIn() as openai:
        openai.fault("batches.create", Reset(after=True))          # the next one; n=3: the third from now
        openai.fault("embeddings", rate_limited(30), times=2, where=lambda call: b"needle" in call.body)
        openai.fault("batch", Dropped(Lines(every=10)))            # what becomes of the next batch
        openai.options.hold.add("in_progress")  # batches wait there for finish() or release()
        ...base_url=openai.base_url, $OPENAI_API_KEY=openai.key...
        openai.finish(openai.batches()[-1])
        assert openai.billed_twice() == {}
"""

import ssl
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from reindex.dev_openai.batch_faults import Halfway
from reindex.dev_openai.batches import TERMINAL
from reindex.dev_openai.faults import Refuse
from reindex.dev_openai.options import Options
from reindex.dev_openai.refusals import Refusal
from reindex.dev_openai.server import Server
from reindex.dev_openai.service import Service

KEY = "sk-standin-0123456789"


class StandIn(AbstractContextManager):
    """The arguments are fields of `Options`, all of which may be changed later in `options`."""

    def __init__(self, *, control=False, **options):
        self._folder = tempfile.TemporaryDirectory(prefix="dev-openai-")
        self.options = Options(**{"key": KEY, **options})
        self.service = Service(Path(self._folder.name), self.options)
        self._server = Server(self.service, has_control=control)
        self._clients = []

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *exc_info):
        for client in self._clients:
            client.close()
        self._server.stop()
        self._folder.cleanup()

    @property
    def base_url(self):
        return self._server.base_url

    @property
    def control_url(self):
        return self.base_url.removesuffix("/v1") + "/dev"

    @property
    def key(self):
        return self.options.key or KEY

    def client(self, **options):
        """The real SDK, without retries; closed with this."""
        import openai  # a second of CPU: not every test needs it

        no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to load certificates takes 25 ms of CPU
        defaults = {
            "base_url": self.base_url,
            "api_key": self.key,
            "max_retries": 0,
            "http_client": openai.DefaultHttpxClient(verify=no_tls),
        }
        client = openai.OpenAI(**(defaults | options))
        self._clients.append(client)
        return client

    def close_with(self, client):
        """Close it too when this ends."""
        self._clients.append(client)

    # faults and time

    def fault(self, route, fault, *, n=1, times=1, where=None):
        """The rule: `rule.met` counts how often it happened. A refusal comes before anything is done."""
        fault = Refuse(fault) if isinstance(fault, Refusal) else fault
        return self.service.faults.add(route, fault, n=n, times=times, where=where)

    def clear_faults(self):
        self.service.faults.clear()

    def advance(self, seconds):
        """Let the server's clock jump."""
        self.service.clock.advance(seconds)

    def now(self):
        return self.service.clock.now()

    # batches

    def batches(self):
        """Oldest first."""
        return self.service.batches.all()

    def batch(self, batch_or_id):
        return self.service.batches.get(getattr(batch_or_id, "id", batch_or_id), is_fresh_missing=False)

    def finish(self, batch_or_id, limit_s=60.0):
        """Held, stuck and delayed no more; returns when it is over."""
        batch = self.batch(batch_or_id)
        self.service.worker.finish(batch, limit_s)
        return batch

    def finish_all(self, limit_s=60.0):
        for batch in self.batches():
            if batch.is_open:
                self.finish(batch, limit_s)

    def progress(self, batch_or_id, share):
        """What share of its lines is done if it is cancelled or expires."""
        self.batch(batch_or_id).progress = share

    def expire(self, batch_or_id, share=0.5, limit_s=60.0):
        """Its window closes now, with that share of its lines done."""
        batch = self.batch(batch_or_id)
        batch.faults = (*batch.faults, Halfway("expired", share))
        return self.finish(batch, limit_s)

    def wait_for(self, batch_or_id, *statuses, limit_s=30.0):
        """Wait until it is in one of the statuses, or over."""
        batch = self.batch(batch_or_id)
        wanted = frozenset(statuses) or TERMINAL
        changed = self.service.batches.changed
        with changed:
            assert changed.wait_for(lambda: batch.status in wanted, limit_s), batch.status
        return batch

    def release(self):
        """No status is held any more."""
        self.service.worker.release()

    def orphans(self):
        """Batches still open, or with an output that nobody fetched to its end."""
        return self.service.orphans()

    def files(self, purpose=""):
        return [file for file in self.service.files.all() if not purpose or file.purpose == purpose]

    # the bill

    def bill(self):
        """Counter of (lane, text)."""
        return self.service.bill.counts()

    def entries(self):
        """Counter of Entry(lane, model, dimensions, text)."""
        return self.service.bill.entries()

    def billed(self, text, model=""):
        return self.service.bill.billed(text, model)

    def billed_twice(self, except_texts=()):
        """{text: times} of those that were paid more than once in one model and dimensions."""
        return self.service.bill.twice(except_texts)

    def tokens(self):
        """Counter of (lane, model)."""
        return self.service.bill.tokens()

    def requests(self):
        """Counter of routes."""
        return self.service.requests()


@pytest.fixture
def openai_standin():
    with StandIn() as standin:
        yield standin
