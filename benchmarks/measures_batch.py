"""A provider's lanes, against a stand-in in a process of its own: the server's CPU is not measured."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from harness import Context, Row, clean, median, ratios, run_child, shown, spread
from measures import Corpus, reindex

DIMENSIONS = 1536
MEMORY_DIMENSIONS = 256  # of very many: what is in memory does not go with them, and the disk is not measured


class Server:
    """`reindex dev-openai`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._control = base_url.removesuffix("/v1") + "/dev"

    def requests(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self._control}/state") as answer:
            return json.load(answer)["requests"]

    def set(self, **options: object) -> None:
        request = urllib.request.Request(
            f"{self._control}/options",
            json.dumps(options).encode(),
            {"Content-Type": "application/json"},
            method="POST",
        )
        urllib.request.urlopen(request).close()


@contextmanager
def serving() -> Iterator[Server]:
    """It is told at once what it need not remember."""
    command = [reindex(), "dev-openai", "--port", "0", "--batch-delay", "0", "--control"]
    process = subprocess.Popen(
        command, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        server = Server(line.split('base_url = "')[1].split('"')[0])
        server.set(remembers_texts=False)
        yield server
    finally:
        process.terminate()
        process.wait()


def ingest(context: Context, corpus: Corpus) -> list[Row]:
    """A whole output file."""
    del corpus
    lines = 5_000 if context.quick else 50_000
    found = run_child("batch_ingest", lines=lines, dimensions=DIMENSIONS, repeats=context.times(5, 3))
    return [
        _ratio(
            f"batch: an output of {lines:,} lines of {DIMENSIONS} dimensions verified and filed, over"
            " reading, parsing and decoding it, CPU",
            found,
            1.3,
        )
    ]


def lane(context: Context, corpus: Corpus) -> list[Row]:
    """From texts to the cache."""
    del corpus
    texts = 1_000 if context.quick else 20_000
    with serving() as server:
        found = run_child(
            "batch_lane",
            base_url=server.base_url,
            texts=texts,
            dimensions=DIMENSIONS,
            repeats=context.times(5, 3),
        )
    name = f"batch: {texts:,} texts gathered, sent and collected, over the SDK and bare JSON, CPU"
    return [_ratio(name, found, 1.2)]


def memory(context: Context, corpus: Corpus) -> list[Row]:
    """50,000 texts; `batch-memory-long` has ten times as many."""
    del corpus
    return _memory(5_000 if context.quick else 50_000)


def memory_long(context: Context, corpus: Corpus) -> list[Row]:
    del corpus
    return [Row("batch: 500,000 texts", note="skipped by --quick")] if context.quick else _memory(500_000)


def _memory(texts: int) -> list[Row]:
    with serving() as server:
        found = run_child(
            "memory_of_lane", base_url=server.base_url, texts=texts, dimensions=MEMORY_DIMENSIONS
        )
        requests = sum(server.requests().values())
    return [
        Row(
            f"batch: peak RSS of {texts:,} texts through the lane, over that of ten",
            f"{found['peak_mb']:.0f} MB",
            f"{found['own_mb']:.0f} MB",
            found["peak_mb"] - found["own_mb"],
            " MB",
            200,
            note=f"{found['cpu_s']:.0f} s of CPU, {requests:,} requests",
            detail=found,
        )
    ]


def realtime(context: Context, corpus: Corpus) -> list[Row]:
    """At once: CPU of the embedder, and requests of a whole first load."""
    del corpus
    texts = 1_000 if context.quick else 4_000
    load = 1_000 if context.quick else 10_000
    with serving() as server:
        found = run_child(
            "realtime",
            base_url=server.base_url,
            texts=texts,
            dimensions=DIMENSIONS,
            repeats=context.times(5, 3),
        )
        before = server.requests().get("embeddings", 0)
        loaded = run_child(
            "realtime_sync", base_url=server.base_url, texts=load, dimensions=MEMORY_DIMENSIONS
        )
        requests = server.requests()["embeddings"] - before
    return [
        _ratio(
            f"real time: {texts:,} texts embedded and verified, over the SDK as it comes, CPU", found, 1.2
        ),
        Row(
            f"real time: requests of a first load of {loaded['texts']:,} texts, over the least possible",
            f"{requests:,}",
            f"{loaded['least']:,}",
            requests / loaded["least"],
            " x",
            None if context.quick else 1.02,
            note="at the provider's limits of 2,048 texts and 300,000 billed tokens",
            detail=loaded | {"requests": requests},
        ),
    ]


def _ratio(name: str, found: dict, limit: float) -> Row:
    ours: Sequence[dict] = found["ours"]
    bare: Sequence[dict] = found["bare"]
    values = ratios(ours, bare, "cpu_s")
    return Row(
        name,
        f"{median([each['cpu_s'] for each in ours]):.2f} s",
        f"{median([each['cpu_s'] for each in bare]):.2f} s",
        median(values),
        " x",
        limit,
        spread(values),
        f"wall ratio {shown(median(ratios(ours, bare, 'seconds')))}",
        found,
    )
