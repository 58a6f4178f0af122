"""A folder with a daemon of the real command line, over a model that is none."""

import json
import signal
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from doubles import House
from processes import CONFIG, Place, wait_until
from reindex.presence import find_daemon, send_signal

EXTRA = '\n[daemon]\nhttp = "127.0.0.1:0"\n'


class Served(Place):
    """`fault` is the file by which its model is told to fail, `log` the one with what the model was sent."""

    is_real = False  # the model
    token = ""

    def start(self, *arguments, real_model=False):
        return super().start(*arguments, real_model=real_model or self.is_real)

    @property
    def data_dir(self):
        return self.folder / ".reindex"

    @property
    def config(self):
        return self.folder / "config.toml"

    @property
    def log(self):
        return self.folder / "sent.log"

    @property
    def fault(self):
        return self.folder / "fault"

    @property
    def presence(self):
        return find_daemon(self.data_dir)

    @property
    def house(self):
        """The same stores for the test's own process."""
        return House(self.folder, data_dir=self.data_dir)

    def configure(self, before, after):
        text = self.config.read_text()
        assert before in text
        self.config.write_text(text.replace(before, after))

    def up(self):
        answer = self.run("start", "--quiet", "--json")
        assert answer.code == 0, answer.err
        return answer.json

    def kill(self):
        presence = self.presence
        if presence is not None:
            send_signal(presence, signal.SIGKILL)
            wait_until(lambda: self.presence is None, "the daemon to be gone")

    def ask(self, path, body=None):
        """Status and text of an answer. A body makes it a POST."""
        return self.ask_at(self.presence.url, path, body)

    def ask_at(self, url, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=180) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.read().decode()

    def get(self, path):
        status, text = self.ask(path)
        assert status == 200, (status, text)
        return json.loads(text)

    def post(self, path, **options):
        """The task that was made."""
        status, text = self.ask(path, options)
        assert status == 202, (status, text)
        return json.loads(text)

    def task_over(self, task):
        """The task when it is over."""
        wait_until(lambda: self.get(f"/v1/tasks/{task['id']}?wait=5")["state"] in OVER, f"task {task}")
        return self.get(f"/v1/tasks/{task['id']}")

    def status(self):
        return self.get("/v1/status")

    def finds(self, words):
        hits = self.get("/v1/search?mode=text&k=3&query=" + words.replace(" ", "+"))["hits"]
        return any(words in hit["text"] for hit in hits)

    def until_found(self, words):
        wait_until(lambda: self.finds(words), f"{words!r} to be found")

    def until_ready(self):
        wait_until(lambda: self.status()["state"] == "ready", "the daemon to be well again")

    def is_equal(self):
        return self.run("verify", "--json").code == 0

    def children(self):
        """The daemon's child processes: id -> command line."""
        return children_of(self.presence.pid)

    def sent(self):
        """Every text that its model was sent."""
        return [text for line in self.log.read_text().splitlines() for text in json.loads(line)]

    def sent_twice(self):
        texts = self.sent()
        questions = {"copper lanterns"}
        return sorted({text for text in texts if texts.count(text) > 1} - questions)


OVER = {"succeeded", "failed"}


def children_of(pid):
    """With the command line of each."""
    found = {}
    for each in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if each.name.isdigit() and int(_stat(each.name)[1]) == pid:
                found[int(each.name)] = (each / "cmdline").read_text()
    return found


def _stat(pid):
    """The state, the parent and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def is_alive(pid):
    """A process that ended and was not yet asked for by its parent is none."""
    try:
        return _stat(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def for_a_while(seconds):
    """Turns of a loop that does something all that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield


@pytest.fixture
def served(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "config.toml").write_text(CONFIG + EXTRA)
    place = Served(tmp_path)
    place.environment |= {"SENT_LOG": str(place.log), "MODEL_FAULT": str(place.fault)}
    place.write("first.md", "The first document speaks of copper lanterns.")
    yield place
    place.kill()
