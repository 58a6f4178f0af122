"""In the place of the Markdown library, in the real parser process: it does what the document tells it to."""

import os
import re
import signal


class MarkdownIt:
    def __init__(self, _preset):
        self.core = self.ruler = self

    def enable(self, _rule):
        return self

    def disable(self, _rule):
        return self

    def enableOnly(self, _rules):
        return self

    def parse(self, text):
        verb, _, argument = text.strip().partition(" ")
        getattr(self, verb)(argument)
        return []

    def hang(self, _):
        re.match("(a+)+$", "a" * 200 + "b")  # holds the interpreter for ever

    def die(self, name):
        os.kill(os.getpid(), getattr(signal, name))

    def die_once(self, marker):
        if not os.path.exists(marker):
            open(marker, "w").close()
            self.die("SIGKILL")

    def end(self, code):
        os._exit(int(code))

    def fill(self, megabytes):
        self.kept = bytearray(int(megabytes) << 20)

    def fill_once(self, marker):
        if not os.path.exists(marker):
            open(marker, "w").close()
            raise MemoryError

    def chatter(self, _):
        print("not a frame" * 1000, flush=True)
        os.write(2, b"noise" * 1000)

    def scribble(self, hexadecimal):
        """Bytes where the answer belongs: what a library that was taken over could send."""
        for descriptor in range(3, 16):
            try:
                os.write(descriptor, bytes.fromhex(hexadecimal))
            except OSError:
                continue
        signal.pause()

    def interrupt(self, _):
        os.kill(os.getpid(), signal.SIGINT)

    def words(self, _):
        """Nothing but the raw lines."""
