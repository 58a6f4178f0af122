"""A daemon that is measured: started over a project, asked over HTTP, watched from outside, stopped."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from harness import HERE, clean

LIMIT_S = 1200.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Daemon:
    """One that is ready, over the project of a config.toml. `config` must leave it the port."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.data_dir = config.parent / ".reindex"
        self._passes_log = config.parent / "passes.log"
        self._passes_log.write_text("")
        self._log = (config.parent / "daemon.log").open("ab")
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "daemon_told.py"), "run", "--config", str(config)],
            stdout=self._log,
            stderr=self._log,
            env=clean() | {"PASSES_LOG": str(self._passes_log)},
        )
        self.pid = self._process.pid
        self.ready_s = wait_for(self._find, started)
        self.ready_cpu_s = self.cpu_s()
        self._connection = self.connect()

    def _find(self) -> bool:
        if self._process.poll() is not None:
            words = (self.config.parent / "daemon.log").read_text()[-2000:]
            raise RuntimeError(f"the daemon ended with {self._process.returncode}: {words}")
        try:
            note = json.loads((self.data_dir / "daemon.json").read_bytes())
        except (OSError, ValueError):
            return False
        self.url = note["url"] if note["pid"] == self.pid else ""
        return bool(self.url and note["is_ready"])

    def reconnect(self) -> None:
        """Ask by a new connection from now on."""
        self._connection.close()
        self._connection = self.connect()

    def connect(self) -> http.client.HTTPConnection:
        """Another connection, kept open."""
        parts = urlsplit(self.url)
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=LIMIT_S)

    def get(self, path: str) -> dict:
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == http.client.OK, f"{path}: {answer.status} {content[:500]!r}"
        return json.loads(content)

    def search(self, query: str, mode: str = "text") -> dict:
        return self.get(f"/v1/search?query={quote(query)}&mode={mode}")

    def finds(self, word: str, path: str) -> bool:
        return any(hit["path"] == path for hit in self.search(word)["hits"])

    @property
    def is_quiet(self) -> bool:
        """Whether all that it has heard of is indexed."""
        status = self.get("/v1/status")
        return status["documents"]["pending"] == 0 and status["lag_s"] == 0 and not status["phase"]

    def passes(self) -> list[dict]:
        """What passes did since this was asked last."""
        found = [json.loads(line) for line in self._passes_log.read_text().splitlines()]
        with self._passes_log.open("r+") as file:
            file.truncate(0)
        return found

    def cpu_s(self) -> float:
        """Of the process itself; what runs beside it, and has not ended, has its own."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mb(self) -> dict[str, float]:
        """Resident, and what of it is its own rather than pages of files."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
        own, files = int(found["RssAnon"]) / 1024, int(found["RssFile"]) / 1024
        return {"rss_mb": own + files, "own_mb": own, "files_mb": files}

    def stop(self) -> None:
        self._connection.close()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            self._log.close()


@contextmanager
def daemon(config: Path) -> Iterator[Daemon]:
    """One that is ready, and gone afterwards."""
    found = Daemon(config)
    try:
        yield found
    finally:
        found.stop()


def with_daemon(config: Path, *more: str) -> Path:
    """The configuration with a port of the system's choice."""
    config.write_text(config.read_text() + '\n[daemon]\nhttp = "127.0.0.1:0"\n' + "".join(more))
    return config


def wait_for(is_so: Callable[[], bool], since: float | None = None, every_s: float = 0.005) -> float:
    """Seconds until it is so, from `since` (by time.perf_counter) or now."""
    started = time.perf_counter() if since is None else since
    while not is_so():
        if time.perf_counter() - started > LIMIT_S:
            raise RuntimeError(f"not within {LIMIT_S:.0f} s")
        time.sleep(every_s)
    return time.perf_counter() - started


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[round(share * (len(values) - 1))]
