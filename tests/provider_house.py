"""A House whose model is a provider's: the real lanes against the stand-in for OpenAI."""

from dataclasses import replace

from doubles import House, Told
from reindex.app import App
from reindex.core.canary import CANARY_TEXT
from reindex.retrying import cancel, retry
from reindex.search import SearchMode
from reindex.settings import EmbeddingSettings, OpenAISettings
from reindex.status import store_status
from reindex.stores.snapshot import Filter
from reindex.syncing import sync
from reindex.verifying import run_verify

MODEL = "text-embedding-3-small"
DIMENSIONS = 256  # asked for; small, so that tests are quick


class ProviderHouse(House):
    """`openai` is the stand-in. The lane is batch unless it is said otherwise; nothing waits long."""

    def __init__(self, folder, openai, **settings):
        super().__init__(folder)
        self.openai = openai
        self.environment = {}  # beside the key
        self._apps = []
        openai.close_with(self)
        self.settings = replace(
            self.settings,
            embedding=EmbeddingSettings(
                provider="openai",
                model=MODEL,
                dimensions=DIMENSIONS,
                openai=OpenAISettings(
                    **{
                        "base_url": openai.base_url,
                        "lane": "batch",
                        "batch_grace_s": 0,
                        "batch_poll_s": 0.01,
                        "retries_max": 1,
                        "retry_wait_max_s": 0,
                        "timeout_s": 60,
                        **settings,
                    }
                ),
            ),
        )

    def with_openai(self, **settings):
        """Another setting of the provider from now on."""
        embedding = self.settings.embedding
        openai = replace(embedding.openai, **settings)
        self.settings = replace(self.settings, embedding=replace(embedding, openai=openai))
        return self

    @property
    def app(self):
        """Another one each time, as a command has it."""
        made = App(
            self.settings,
            self.docs.parent,
            self.clock,
            environment={"OPENAI_API_KEY": self.openai.key, **self.environment},
            parser=self.parser,
        )
        self._apps.append(made)
        return made

    def close(self):
        """The connections of all of them."""
        for app in self._apps:
            if app._provider is not None:
                app._provider.close()
        self._apps.clear()

    def sync(self, *, accept_deletes=False, is_now=False, wait_s=0.0):
        self.told = Told()
        return sync(self.app, self.told, accept_deletes=accept_deletes, is_now=is_now, wait_s=wait_s)

    def settle(self, rounds=12, *, through=()):
        """Syncs, with every batch finished between them, until nothing is in flight. Errors `through` which
        it goes end a round, and are kept in `errors`.
        """
        self.errors = []
        for _ in range(rounds):
            try:
                report = self.sync()
            except through as error:
                self.errors.append(error)
            else:
                if not report.chunks.in_flight and not report.documents.pending:
                    return report
            self.openai.finish_all()
        raise AssertionError(f"still in flight after {rounds} rounds: {self.jobs()} {self.errors}")

    def check_converged(self, documents, **again):
        """After `settle`: so many documents, each as on the disk, with the vector of its text; each text paid
        once, but for those that are counted as paid again: {lost, stuck, now}.
        """
        found = self.verify()
        assert found.ok, found
        assert (found.documents, found.failed) == (documents, 0)
        self.check_vectors()
        status = store_status(self.app)
        assert status.paid_again == {"lost": 0, "stuck": 0, "now": 0} | again
        assert not self.openai.orphans()
        assert not list((self.data_dir / "batches").glob("*")), "what is done leaves no file"
        assert not self.notes_of_jobs(), "nor a note"
        twice = self.openai.billed_twice(except_texts=(CANARY_TEXT,))
        if any(again.values()):
            assert sum(count - 1 for count in twice.values()) <= sum(again.values()), twice
        else:
            assert not twice, twice

    def reasons(self):
        """Of all jobs, oldest first."""
        return [job.reason for job in self.jobs()]

    def jobs(self):
        """Oldest first."""
        with self.app.ledger() as ledger:
            return [] if ledger is None else ledger.jobs.all()[::-1]

    def record(self, job):
        with self.app.ledger() as ledger:
            return ledger.batches.one(job)

    def cancel(self, job):
        with self.app.writer("jobs cancel", lambda _: None) as writer:
            return cancel(self.app, writer, str(job))

    def notes_of_jobs(self):
        """What is remembered of batches and files at the provider beside their jobs."""
        ids = [remote.id for remote in (*self.openai.batches(), *self.openai.files())]
        with self.app.ledger() as ledger:
            names = [name for (name,) in ledger._database.rows("SELECT name FROM notes")]
        return [name for name in names if any(each in name for each in ids)]

    def retry(self, name=None):
        with self.app.writer("jobs retry", lambda _: None) as writer:
            return retry(writer, name)

    def booked(self, outcome):
        with self.app.ledger() as ledger:
            return ledger.bookings.texts(outcome)

    def verify(self, *, deep=False):
        return run_verify(self.app, Told(), deep=deep)

    def found(self, text):
        """Paths of the documents that answer by words alone: nothing is paid."""
        answer = self.reader().search(text, 10, SearchMode.TEXT, Filter(None, None))
        return [hit.path for hit in answer.hits]

    def check_paid_once(self):
        """The bill: each text once, canaries apart."""
        twice = self.openai.billed_twice(except_texts=(CANARY_TEXT,))
        assert not twice, twice

    def check_vectors(self):
        """Every row has the vector that its text has."""
        chunks = list(self.snapshot().chunks())
        if not chunks:
            return
        embedder = self.openai.service.embedder
        wanted = embedder.vectors(MODEL, [chunk.text for chunk in chunks], DIMENSIONS)
        for chunk, vector in zip(chunks, wanted, strict=True):
            assert float(chunk.vector @ vector) > 0.999, chunk.text


def prose(number, paragraphs=3):
    """A document with texts of its own."""
    parts = [
        f"Paragraph {part} of document {number}: " + f"word{number}x{part} " * 9 for part in range(paragraphs)
    ]
    return f"# Document {number}\n\n" + "\n\n".join(parts) + "\n"
