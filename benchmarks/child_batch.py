"""Tasks of a provider's lanes, against the bare SDK and a bare reading of the same answers."""

import base64
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from indexing import Silent, cpu_s, peak_rss_mb
from reindex.app import App
from reindex.batch.collecting import collect
from reindex.batch.context import BatchContext
from reindex.batch.gathering import Gatherer
from reindex.batch.lane import BatchLane
from reindex.clock import SystemClock
from reindex.core.batches import BatchRecord, RemoteBatch
from reindex.core.batching import request_batches
from reindex.core.generations import Generation, GenerationState
from reindex.core.identity import EmbeddingSpace, Recipe
from reindex.core.jobs import JobState, Lane
from reindex.core.money import FREE
from reindex.direct import Text
from reindex.embedders.openai_provider import OpenAIProvider
from reindex.model import DocumentName, EmbeddingKey, Revision
from reindex.opening import Stores, Surroundings, open_stores
from reindex.settings import EmbeddingSettings, OpenAISettings, Settings, SourceSettings
from reindex.syncing import sync

MODEL = "text-embedding-3-small"
WORDS = 60
KEY = {"OPENAI_API_KEY": "sk-benchmark"}
PER_DOCUMENT = 10
REST_S = 0.05
PROVIDER_INPUTS, PROVIDER_TOKENS = 2048, 300_000  # of a request, as billed


def text_of(number: int) -> str:
    """Some sixty words of its own."""
    return f"{number} " + " ".join(f"word{(number * 31 + i * 17) % 5003}" for i in range(WORDS))


def key_of(number: int) -> EmbeddingKey:
    return EmbeddingKey(hashlib.sha256(b"%d" % number).digest())


@contextmanager
def stores_in(folder: Path) -> Iterator[Stores]:
    folder.mkdir()
    with open_stores(folder, "bench", Surroundings(SystemClock(), lambda _: None, 60.0)) as stores:
        yield stores


def generation(stores: Stores, dimensions: int) -> Generation:
    space = EmbeddingSpace("openai", MODEL, dimensions, True, "fp32", "", "")
    made = Generation(1, GenerationState.BUILDING, "g1", Recipe(MODEL, space, "0", 256, 0), 0, "", 1.0, None)
    stores.ledger.generations.add(made)
    return made


def timed(work: Callable[[], object]) -> dict:
    wall, started = time.perf_counter(), cpu_s()
    work()
    return {"cpu_s": cpu_s() - started, "seconds": time.perf_counter() - wall}


# An output file into the cache.


@dataclass
class OneFile:
    """A provider that has one result, on this disk."""

    path: Path
    account: str = "bench"

    def download(self, _: str, destination: Path) -> None:
        os.link(self.path, destination)


def ingest(lines: int, dimensions: int, repeats: int) -> dict:
    """A whole output file: our collecting (canary, each vector verified, filed in the cache, all accounted),
    and the file read, parsed and decoded line by line.
    """
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "output.jsonl"
        write_output(path, lines, dimensions)
        for repeat in range(repeats):
            with stores_in(Path(work) / f"stores-{repeat}") as stores:
                context = BatchContext(stores, OneFile(path), OpenAISettings(), lambda _: FREE)
                ours.append(timed(collecting(context, lines, dimensions)))
                assert stores.cache.count() == lines
            bare.append(timed(lambda: read_bare(path, lines)))
        size_mb = path.stat().st_size / 1e6
    return {"ours": ours, "bare": bare, "lines": lines, "megabytes": size_mb, "peak_mb": peak_rss_mb()}


def collecting(context: BatchContext, lines: int, dimensions: int) -> Callable[[], object]:
    """A job that was sent and has ended: what is to be timed."""
    ledger = context.stores.ledger
    generation(context.stores, dimensions)
    number = ledger.jobs.enqueue(
        1, Lane.BATCH, [key_of(i) for i in range(lines)], 15 * lines, 1.0, model=MODEL
    )
    record = BatchRecord(number, "1-bench", "bench", dimensions, submitting_at=1.0, batch_id="batch")
    ledger.batches.save(record)
    for state in (JobState.SUBMITTING, JobState.SUBMITTED):
        ledger.jobs.change_state(number, state, 1.0)
    job = ledger.jobs.one(number)
    assert job is not None
    ended = RemoteBatch("batch", "completed", "input", "output", created_at=1.0)
    return lambda: collect(context, job, record, [ended], lambda _: False)


def write_output(path: Path, lines: int, dimensions: int) -> None:
    """As OpenAI writes it, in base64."""
    random = np.random.default_rng(1)
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(lines):
            vector = random.normal(size=dimensions).astype("<f4")
            vector /= np.linalg.norm(vector)
            usage = {"prompt_tokens": 15, "total_tokens": 15}
            item = {"object": "embedding", "index": 0, "embedding": base64.b64encode(vector).decode()}
            body = {"object": "list", "data": [item], "model": MODEL, "usage": usage}
            response = {"status_code": 200, "request_id": f"{number:032x}", "body": body}
            line = {"id": f"batch_req_{number:032x}", "custom_id": key_of(number).hex(), "response": response}
            file.write(json.dumps({**line, "error": None}).encode() + b"\n")


def read_bare(path: Path, lines: int) -> None:
    count = 0
    with path.open("rb", buffering=1 << 20) as file:
        for line in file:
            parsed = json.loads(line)
            assert parsed["custom_id"]
            embedding = parsed["response"]["body"]["data"][0]["embedding"]
            count += len(np.frombuffer(base64.b64decode(embedding), "<f4")) > 0
    assert count == lines


# The lane against a server.


def openai_settings(base_url: str) -> OpenAISettings:
    return OpenAISettings(base_url=base_url, lane="batch", batch_poll_s=REST_S)


def batch_lane(base_url: str, texts: int, dimensions: int, repeats: int) -> dict:
    """Texts gathered, sent, collected into the cache; and the same requests by the SDK: lines written,
    uploaded, created, the output streamed to the disk, parsed and decoded.
    """
    ours, bare = [], []
    with tempfile.TemporaryDirectory() as work:
        run_lane(base_url, Path(work) / "warm", range(10), dimensions)
        bare_batch(base_url, Path(work) / "warm.jsonl", range(10), dimensions)
        for repeat in range(repeats):
            numbers = range((2 * repeat + 1) * texts, (2 * repeat + 2) * texts)
            ours.append(run_lane(base_url, Path(work) / f"{repeat}", numbers, dimensions))
            numbers = range((2 * repeat + 2) * texts, (2 * repeat + 3) * texts)
            bare.append(bare_batch(base_url, Path(work) / f"{repeat}.jsonl", numbers, dimensions))
    return {"ours": ours, "bare": bare, "texts": texts}


def memory_of_lane(base_url: str, texts: int, dimensions: int) -> dict:
    """The most memory of so many texts through the lane, over that of ten."""
    with tempfile.TemporaryDirectory() as work:
        run_lane(base_url, Path(work) / "warm", range(10), dimensions)
        own_mb = peak_rss_mb()
        used = run_lane(base_url, Path(work) / "all", range(10, texts + 10), dimensions)
    return {"own_mb": own_mb, "peak_mb": peak_rss_mb(), "texts": texts, **used}


def run_lane(base_url: str, folder: Path, numbers: range, dimensions: int) -> dict:
    """The lane's own CPU, without what makes the texts, and without waiting for the server."""
    settings = openai_settings(base_url)
    provider = OpenAIProvider(settings, KEY)
    next(provider.batches().listed(time.time()), None)  # the SDK's client is made with the first request
    used = {"cpu_s": 0.0, "seconds": 0.0}

    def add(work: Callable[[], object]) -> None:
        for name, value in timed(work).items():
            used[name] += value

    with stores_in(folder) as stores:
        context = BatchContext(stores, provider.batches(), settings, lambda _: FREE)
        gatherer = Gatherer(context, generation(stores, dimensions), dimensions)
        for first in range(numbers.start, numbers.stop, 1000):
            documents = list(documents_of(range(first, min(first + 1000, numbers.stop))))
            add(lambda d=documents: [gatherer.add(*each) for each in d])
        add(gatherer.close)
        lane, is_open = BatchLane(context), True
        while is_open:
            found = SimpleNamespace()
            add(lambda f=found: setattr(f, "attended", lane.attend(is_last=True)))
            assert found.attended.outage is None, found.attended.outage
            is_open = bool(found.attended.open)
            if is_open:
                time.sleep(REST_S if len(numbers) < 10_000 else 1.0)
        assert stores.cache.count() == len(numbers) + 1, "and the canary"
    provider.close()
    return used


def documents_of(numbers: range) -> Iterator[tuple]:
    for first in range(numbers.start, numbers.stop, PER_DOCUMENT):
        part = range(first, min(first + PER_DOCUMENT, numbers.stop))
        texts = {key_of(number): Text(text_of(number), 150) for number in part}
        name = DocumentName("docs", f"{first}.md")
        yield name, Revision(hashlib.sha256(b"%d" % first).digest()), "plain 1", texts, set()


def bare_batch(base_url: str, path: Path, numbers: range, dimensions: int) -> dict:
    """What anybody has to write, without a thought for what goes wrong."""
    from openai import OpenAI

    texts = [text_of(number) for number in numbers]
    client = OpenAI(base_url=base_url, api_key=KEY["OPENAI_API_KEY"])
    made = SimpleNamespace()

    def send() -> None:
        with path.open("wb") as file:
            for number, text in zip(numbers, texts, strict=True):
                body = {"model": MODEL, "input": text, "dimensions": dimensions, "encoding_format": "base64"}
                line = {"custom_id": str(number), "method": "POST", "url": "/v1/embeddings", "body": body}
                file.write(json.dumps(line).encode() + b"\n")
        with path.open("rb") as file:
            file_id = client.files.create(file=(path.name, file), purpose="batch").id
        made.batch = client.batches.create(
            completion_window="24h", endpoint="/v1/embeddings", input_file_id=file_id
        )

    def collect_it() -> None:
        with client.files.with_streaming_response.content(made.batch.output_file_id) as response:
            response.stream_to_file(path)
        read_bare(path, len(texts))

    used = timed(send)
    while made.batch.status != "completed":
        time.sleep(REST_S)
        made.batch = client.batches.retrieve(made.batch.id)
    more = timed(collect_it)
    client.close()
    return {name: used[name] + more[name] for name in used}


# At once.


def realtime(base_url: str, texts: int, dimensions: int, repeats: int) -> dict:
    """Texts by our embedder, verified arrays; and by the SDK as it comes, in requests of the same size."""
    from openai import OpenAI

    settings = openai_settings(base_url)
    provider = OpenAIProvider(settings, KEY)
    space = EmbeddingSpace("openai", MODEL, dimensions, True, "fp32", "", "")
    embedder = provider.embedder(Recipe(MODEL, space, "0", 256, 0))
    client = OpenAI(base_url=base_url, api_key=KEY["OPENAI_API_KEY"])
    ours, bare = [], []
    for repeat in range(repeats + 1):
        sent = [text_of(number) for number in range(repeat * texts, (repeat + 1) * texts)]
        counts = [150] * texts
        parts = list(
            request_batches(counts, settings.max_inputs_per_request, settings.max_tokens_per_request)
        )

        def by_us(sent: list = sent, parts: list = parts) -> None:
            for first, end in parts:
                embedder.embed_with_usage(sent[first:end], [150] * (end - first))

        def by_sdk(sent: list = sent, parts: list = parts) -> None:
            for first, end in parts:
                answer = client.embeddings.create(input=sent[first:end], model=MODEL, dimensions=dimensions)
                np.array([item.embedding for item in answer.data], np.float32)

        ours.append(timed(by_us))
        bare.append(timed(by_sdk))
    provider.close()
    client.close()
    return {"ours": ours[1:], "bare": bare[1:], "texts": texts}


def realtime_sync(base_url: str, texts: int, dimensions: int) -> dict:
    """A whole first load in real time; the server counts its requests."""
    with tempfile.TemporaryDirectory() as work:
        docs = Path(work) / "docs"
        docs.mkdir()
        for first in range(0, texts, PER_DOCUMENT):
            paragraphs = (text_of(number) * 3 for number in range(first, first + PER_DOCUMENT))
            (docs / f"{first}.md").write_text("\n\n".join(paragraphs))
        openai = OpenAISettings(base_url=base_url, lane="realtime")
        settings = Settings(
            data_dir=Path(work) / "index",
            sources=(SourceSettings(name="docs", path=docs),),
            embedding=EmbeddingSettings(provider="openai", model=MODEL, dimensions=dimensions, openai=openai),
        )
        app = App(settings, Path(work), environment=KEY)
        report = sync(app, Silent(), accept_deletes=False)
        app.close()
    least = max(-(-report.chunks.embedded // PROVIDER_INPUTS), -(-report.tokens_embedded // PROVIDER_TOKENS))
    return {"texts": report.chunks.embedded, "tokens": report.tokens_embedded, "least": least}
