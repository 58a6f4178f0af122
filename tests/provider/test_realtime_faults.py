"""The real-time lane under random faults: every vector right, and the books between what was surely and what
was possibly billed.
"""

import os
import random

import numpy as np

from openai_double import Books
from provider_house import MODEL
from reindex.dev_openai import faults, refusals
from reindex.dev_openai.faults import Lines, WrongVector, WrongVectors
from reindex.embedders.openai_client import OpenAIConnection
from reindex.embedders.openai_realtime import OpenAIEmbedder
from reindex.embedders.rate_limit import RateLimiter
from reindex.settings import OpenAISettings

ROUNDS = int(os.environ.get("ROUNDS", "40"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
TIMEOUT_S = 0.8
DIMENSIONS = 256
UNSEEN = {WrongVector.SHIFTED, WrongVector.SWAPPED, WrongVector.OTHER_MODEL}  # by one vector, or let pass


def any_fault(chance):
    kinds = [kind for kind in WrongVector if kind not in UNSEEN]
    return chance.choice(
        [
            faults.Reset(),
            faults.Reset(after=True),
            faults.Hang(1.5 * TIMEOUT_S),
            faults.Hang(1.5 * TIMEOUT_S, after=True),
            faults.Cut(chance.random()),
            faults.Cut(chance.random(), reset=True),
            faults.Slow(2000),
            faults.Reordered(),
            faults.NoIndex(),
            faults.SameIndex(),
            faults.FewerItems(),
            faults.FloatsOnly(),
            refusals.server_error(),
            faults.Refuse(refusals.server_error(), after=True),
            refusals.rate_limited(3600.0),
            *(WrongVectors(kind, Lines(every=chance.randrange(1, 4))) for kind in kinds),
        ]
    )


class PassingTime:
    """Seconds that nobody waits for."""

    now = 0.0

    def sleep(self, seconds):
        self.now += seconds


def test_every_vector_is_right_and_the_books_hold_the_bill(openai):
    chance, time, books = random.Random(SEED), PassingTime(), Books()
    settings = OpenAISettings(
        base_url=openai.base_url, timeout_s=TIMEOUT_S, retries_max=6, attempts_max=6, retry_wait_max_s=4000
    )
    limiter = RateLimiter(lambda: time.now, time.sleep)
    connection = OpenAIConnection(settings, {"OPENAI_API_KEY": openai.key}, limiter)
    assert connection.client  # its imports are not to count as a slow answer
    embedder = OpenAIEmbedder(connection, MODEL, DIMENSIONS, **books.how)
    for number in range(ROUNDS):
        texts = [
            f"lantern {number} {text} " + "harbour " * chance.randrange(30)
            for text in range(chance.randrange(2, 40))
        ]
        met = [any_fault(chance) for _ in range(chance.randrange(3))]
        for fault in met:
            openai.fault("embeddings", fault)
        found = embedder.embed(texts)
        right = openai.service.embedder.vectors(MODEL, texts, DIMENSIONS)
        assert np.abs(found - right).max() < 1e-5, met
        openai.clear_faults()
    connection.close()
    booked, lost = (sum(texts for texts, _ in each) for each in (books.used, books.lost))
    billed = sum(openai.bill().values())
    assert booked <= billed <= booked + lost
    assert sum(tokens for _, tokens in books.used) <= sum(openai.tokens().values())
