"""The model's process with a model that does what its texts say."""

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from reindex.embedders.frames import READY, REPLY
from reindex.embedders.worker import serve
from reindex.errors import EmbeddingError, ModelError


class HostileModel:
    def __init__(self, orders, say):
        self._dimensions, self._say = orders.space.dimensions, say
        self._asked = READY
        self._replies = next(fd for fd in range(3, 20) if _is_ours_to_write(fd))

    def embed(self, texts):
        self._asked += 1
        vectors = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        vectors[:, 0] = 1.0
        for row, text in enumerate(texts):
            verb, _, rest = text.partition(" ")
            getattr(self, verb, lambda *_: None)(rest, vectors[row])
        return vectors[:-1] if "lose" in texts else vectors

    def die(self, name, _):
        os.kill(os.getpid(), signal.Signals[name])

    def die_once(self, marker, _):
        if not Path(marker).exists():
            Path(marker).touch()
            self.die("SIGKILL", _)

    def hang(self, _, __):
        while True:
            time.sleep(1)

    def end(self, code, _):
        os._exit(int(code))

    def refuse(self, words, _):
        raise EmbeddingError(words, "a hint")

    def lack(self, words, _):
        raise ModelError(words, "a hint")

    def bug(self, words, _):
        raise KeyError(words)

    def chatter(self, _, __):
        print("on stdout")
        sys.stdin.read(1)

    def tell(self, words, _):
        self._say(words)

    def infinite(self, _, row):
        row[0] = np.inf

    def short(self, _, row):
        row[0] = 0.5

    def nice(self, _, row):
        """How nice it is, as a vector."""
        row[0] = 0.0
        row[os.nice(0)] = 1.0

    def scribble(self, content, _):
        os.write(self._replies, bytes.fromhex(content))
        time.sleep(0.05)

    def answer(self, numbers, _):
        """A reply with these numbers in its head: outcome, rows, columns, bytes."""
        outcome, rows, columns, length = map(int, numbers.split())
        os.write(self._replies, REPLY.pack(self._asked, outcome, rows, columns, length))


def _is_ours_to_write(descriptor):
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    except OSError:
        return False


def main(lifeline):
    serve(lifeline, HostileModel)
