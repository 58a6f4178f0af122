"""Parsing in a process of its own: a document that hangs, kills or fills it fails alone.

The process is started by the first document, and serves all that follow.
"""

import threading
import time
from typing import Self

from reindex.errors import ParseError, ParserUnavailableError
from reindex.model import Block
from reindex.parsers.child import ParserChild, ParserLimits
from reindex.parsers.frames import FrameError, Outcome, blocks_from_bytes, words_from_bytes
from reindex.parsers.registry import parser_name
from reindex.processes.parent_side import ChildDiedError, TimeUpError
from reindex.settings import ParsingSettings

TIMEOUT_STEP_BYTES = 5_000_000
ATTEMPTS = 2  # the second in a new process: the first may have died of something else than the document
START_ATTEMPTS = 4
START_WAIT_S = 0.1  # doubled after each attempt
KEPT_BYTES_MAX = 256_000_000  # of memory between documents: above it, a new process takes over


class ParserProcess:
    """Parses for one thread at a time, whichever it is; may be closed from any."""

    def __init__(self, settings: ParsingSettings) -> None:
        """Starts nothing yet."""
        self._settings = settings
        self._limits = ParserLimits(settings.memory_mb, reply_bytes_max=int(settings.max_text_mb * 1_000_000))
        self._lock = threading.Lock()
        self._child: ParserChild | None = None
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it was ended for good."""
        return self._is_closed

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        child = self._child
        return child.pid if child is not None else None

    def parse(self, path: str, content: bytes) -> tuple[Block, ...]:
        """The blocks of a document in reading order; none for an empty one.

        Raises ParseError when the document is at fault, ParserUnavailableError when there can be no process.
        """
        with self._lock:
            refusal = ParseError("")
            for _ in range(ATTEMPTS):
                try:
                    return self._parse_once(path, content)
                except (ChildDiedError, FrameError) as death:
                    refusal = self._refusal(path, f"died, in {ATTEMPTS} attempts: {death}")
                except MemoryError:
                    needed = f"needed more than {self._settings.memory_mb} MB of memory"
                    refusal = self._refusal(path, needed, "memory_mb")
                except TimeUpError:
                    took = f"took longer than {self._timeout_s(content):g} s"
                    raise self._refusal(path, took, "timeout_s") from None
            raise refusal

    def close(self) -> None:
        """End the process, also in the middle of a document: that `parse`, and every later one, raises."""
        self._is_closed = True
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parse_once(self, path: str, content: bytes) -> tuple[Block, ...]:
        """Raises ParseError, and what tells of a process that is lost: then the next one is a new one."""
        child = self._child or self._started()
        is_usable = False
        try:
            outcome, answer = child.ask(path, content, self._timeout_s(content))
            if outcome is Outcome.OUT_OF_MEMORY:
                raise MemoryError
            blocks = blocks_from_bytes(answer) if outcome is Outcome.PARSED else ()
            is_usable = child.kept_bytes <= KEPT_BYTES_MAX
        finally:
            if not is_usable:
                self._stop()
        if outcome is Outcome.TOO_LONG:
            made = f"made more than {self._settings.max_text_mb:g} MB of text"
            raise self._refusal(path, made, "max_text_mb")
        if outcome is Outcome.REFUSED:
            raise ParseError(*words_from_bytes(answer))
        return blocks

    def _started(self) -> ParserChild:
        wait_s = START_WAIT_S
        for attempt in range(1, START_ATTEMPTS + 1):
            if self._is_closed:
                raise ParserUnavailableError("the parser process was closed")
            try:
                self._child = ParserChild(self._limits)
            except (OSError, ChildDiedError, TimeUpError) as error:
                if attempt == START_ATTEMPTS:
                    raise ParserUnavailableError(
                        f"the parser process can't be started: {str(error) or 'it does not answer'}",
                        "No document is at fault. Free memory or processes (or raise parsing.memory_mb), then"
                        " run it again.",
                    ) from error
                time.sleep(wait_s)
                wait_s *= 2
            else:
                if self._is_closed:  # meanwhile: `close` may have come too early to see this one
                    raise ParserUnavailableError("the parser process was closed")
                return self._child
        raise AssertionError("the last attempt returns or raises")

    def _timeout_s(self, content: bytes) -> float:
        """A small document that hangs holds up the others for a minute; a large one gets what it needs."""
        return self._settings.timeout_s * (1 + len(content) // TIMEOUT_STEP_BYTES)

    def _refusal(self, path: str, what: str, setting: str = "") -> ParseError:
        """The document's failure: at a limit, the limit and the setting that raises it are named."""
        subject = f"the {parser_name(path)} parser "
        if not setting:
            return ParseError(subject + what, "open the file and save it again, or exclude it")
        return ParseError(
            f"{subject}{what} (parsing.{setting})",
            "exclude it, or raise that limit and run `reindex jobs retry`",
        )

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.close()
