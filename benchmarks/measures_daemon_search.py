"""Searching through the daemon in an index of many chunks, against LanceDB's own queries."""

import threading
import time
from pathlib import Path
from urllib.parse import quote

from harness import HERE, Context, Row, median, shown, spread
from measures import Corpus
from measures_rebuild import CHILD as REBUILD
from running import Daemon, daemon, percentile, with_daemon
from scale import child, make_config

CHILD = HERE / "child_daemon.py"
CLIENTS = 16


def search(context: Context, corpus: Corpus) -> list[Row]:
    """All rows of one index: the daemon and bare LanceDB take turns."""
    del corpus
    chunks = 6_000 if context.quick else 100_000
    config = with_daemon(make_config(context.work / "daemon-search"))
    if context.quick:  # so small an index is searched without a vector index, unless it is asked for
        config.write_text(config.read_text() + "\n[index]\nvector_index_min_rows = 5000\n")
    child("load", REBUILD, config=config, documents=chunks // 10)
    return measure(config, f"{chunks:,} chunks", context.times(5, 1), 30 if context.quick else 200)


def measure(config: Path, size: str, repeats: int, count: int) -> list[Row]:
    """`config` is of an index by word vectors, with a daemon that has the real model for questions."""
    texts = child("questions", CHILD, count=count, seed=1)["questions"]
    child("remember", CHILD, config=config, texts=texts)
    rounds = []
    with daemon(config) as running:
        clients = Clients(running)
        clients.ask(texts, "hybrid", 1)  # from the disk into the daemon's memory
        for number in range(repeats):
            new = child("questions", CHILD, count=count // 2, seed=100 + number)["questions"]
            rounds.append(
                {
                    "bare": child("bare", CHILD, config=config, texts=texts, clients=CLIENTS),
                    "hybrid": clients.ask(texts, "hybrid", 1),
                    "encoded": clients.ask([f"{text} {number}" for text in new], "hybrid", 1),
                    "hybrid, crowd": clients.ask(texts * 2, "hybrid", CLIENTS),
                    "vector, crowd": clients.ask(texts * 2, "vector", CLIENTS),
                }
            )
    found = child("recall", REBUILD, config=config)["recall"]
    return [
        *_alone(rounds, size),
        *_crowd(rounds, size),
        Row(
            f"1 less recall@10 by vectors against exact, {size}",
            f"{found:.4f}",
            figure=1 - found,
            limit=0.01,
            spread="(exact)",
            note="200 chunks with noise added to their vectors",
        ),
    ]


def _alone(rounds: list[dict], size: str) -> list[Row]:
    """One client, that waits for each answer."""
    bare = [median(each["bare"]["hybrid"]["alone"]["latencies_ms"]) for each in rounds]
    rows = []
    for name, key, share, limit in (
        ("hybrid, the question's vector remembered, p50", "hybrid", 0.5, 15),
        ("hybrid, the question's vector remembered, p95", "hybrid", 0.95, 25),
        ("hybrid, a new question, with the encoder, p50", "encoded", 0.5, 30),
    ):
        ours = [percentile(each[key]["latencies_ms"], share) for each in rounds]
        rows.append(
            Row(
                f"warm `/v1/search`, {size}, {name}",
                f"{median(ours):.1f} ms",
                f"{median(bare):.1f} ms",
                median(ours),
                " ms",
                limit,
                spread(ours),
                f"daemon: {shown(median([each[key]['cpu_ms'] for each in rounds]))} ms of CPU; floor:"
                " p50 of the same queries by LanceDB alone, in the process of who asks:"
                f" {shown(median([each['bare']['hybrid']['alone']['cpu_ms'] for each in rounds]))} ms of CPU",
            )
        )
    return rows


def _crowd(rounds: list[dict], size: str) -> list[Row]:
    """Sixteen clients; bare LanceDB over ours, so that less is better."""
    rows = []
    for mode in ("vector", "hybrid"):
        ours = [each[f"{mode}, crowd"]["per_s"] for each in rounds]
        bare = [each["bare"][mode]["crowd"]["per_s"] for each in rounds]
        found = [floor / mine for floor, mine in zip(bare, ours, strict=True)]
        p99 = [percentile(each[f"{mode}, crowd"]["latencies_ms"], 0.99) for each in rounds]
        rows.append(
            Row(
                f"`/v1/search` by {mode}, {CLIENTS} clients, {size}: requests a second, bare over ours",
                f"{median(ours):.0f} a second",
                f"{median(bare):.0f} a second",
                median(found),
                " x",
                None,
                spread(found),
                f"p99 {shown(median(p99))} ms; clients by HTTP on the same cores; floor: the same queries by"
                " LanceDB's async API, in the process of who asks; hits are neither merged nor given places",
            )
        )
    return rows


class Clients:
    """Clients in threads, each with a connection that stays open."""

    def __init__(self, running: Daemon) -> None:
        self._running = running

    def ask(self, texts: list[str], mode: str, clients: int) -> dict:
        """Milliseconds of each answer; answers a second; and the daemon's CPU for each."""
        waiting, latencies, failures = iter(texts), [], []
        lock = threading.Lock()

        def client() -> None:
            connection = self._running.connect()
            connection.connect()
            while True:
                with lock:
                    text = next(waiting, None)
                if text is None:
                    break
                begun = time.perf_counter()
                connection.request("GET", f"/v1/search?query={quote(text)}&mode={mode}")
                answer = connection.getresponse()
                content = answer.read()
                latencies.append(1e3 * (time.perf_counter() - begun))
                if answer.status != 200 or b'"rank": 10' not in content:
                    failures.append(content[:300])
            connection.close()

        used, started = self._running.cpu_s(), time.perf_counter()
        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took_s = time.perf_counter() - started
        assert len(latencies) == len(texts), "a client broke"
        assert not failures, failures[:2]
        cpu_ms = 1e3 * (self._running.cpu_s() - used) / len(latencies)
        return {"latencies_ms": latencies, "per_s": len(latencies) / took_s, "cpu_ms": cpu_ms}
