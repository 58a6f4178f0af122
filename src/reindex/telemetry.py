"""Logging of a process that lives long: text on a terminal, JSON lines elsewhere, secrets nowhere."""

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from reindex.logfiles import LogFile

_MASK = "***"
_SECRET_NAMES = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS)$", re.IGNORECASE)
_SECRET_CHARACTERS_MIN = 6  # a shorter value of such a variable is more likely a word of every other line
_SHAPES = (
    (re.compile(r"(?<=://)[^/\s@\"'?#]+@"), f"{_MASK}@"),
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]+"), rf"\g<1>{_MASK}"),
    (re.compile(r"\bsk-[\w-]{8,}"), _MASK),
)
_NOISY = ("asyncio", "httpcore", "httpcore2", "httpx", "httpx2", "openai", "urllib3", "watchdog")
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_PRIORITY = 7
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Telemetry:
    """The logging of this process once it is set up."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._secrets = _secrets_of(environment)
        self.masker = Masker(self._secrets)

    def change(self, level: str, secrets: Iterable[str] = ()) -> None:
        """Another level (debug, info, warning, error), and more that must never be written."""
        self._secrets.update(secrets)
        self.masker = Masker(self._secrets)
        logging.getLogger().setLevel(level.upper())
        for name in _NOISY:
            logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def set_up_logging(
    level: str,
    secrets: Iterable[str] = (),
    *,
    environment: Mapping[str, str],
    log_file: Path | None = None,
) -> Telemetry:
    """Log to stderr, or to `log_file`, which then takes stdout and stderr as well. What nobody caught, in any
    thread, is logged too. To be called once, before anything else logs.

    `secrets` are texts that are masked, beside the environment's keys and tokens, wherever they would appear.
    """
    telemetry = Telemetry(environment)
    handler: logging.Handler
    if log_file is not None:
        handler = LogFile(log_file, takes_output=True)
        handler.setFormatter(_Masking(_JsonFormatter(), telemetry))
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Masking(_formatter_for(sys.stderr, environment), telemetry))
    logging.raiseExceptions = False  # it would be told to the very stream that fails
    logging.getLogger().handlers[:] = [handler]
    logging.captureWarnings(capture=True)
    telemetry.change(level, secrets)
    _log_what_nobody_caught()
    return telemetry


class Masker:
    """Puts *** in place of secrets: of those that it is told, and of what looks like one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def masked(self, text: str) -> str:
        """The text without them."""
        if self._known is not None:
            text = self._known.sub(_MASK, text)
        for shape, mask in _SHAPES:
            text = shape.sub(mask, text)
        return text


class _Masking(logging.Formatter):
    """Another formatter's lines, masked as a whole: message, fields and traceback."""

    def __init__(self, inner: logging.Formatter, telemetry: Telemetry) -> None:
        super().__init__()
        self._inner = inner
        self._telemetry = telemetry

    def format(self, record: logging.LogRecord) -> str:
        return self._telemetry.masker.masked(self._inner.format(record))


class _JsonFormatter(logging.Formatter):
    """One object a line: ts (UTC), level, logger, message, the record's own fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        value: dict[str, object] = {
            "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        value.update((name, each) for name, each in _fields(record).items() if name not in value)
        if record.exc_info:
            value["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            value["stack"] = self.formatStack(record.stack_info)
        return json.dumps(value, default=str)


class _TextFormatter(logging.Formatter):
    """A line for a person; below it the traceback, where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        line = _printable(f"{moment} {record.levelname.lower():<8} {record.getMessage()}{fields}")
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            line += "".join(f"\n  {_printable(each)}" for each in traceback.split("\n"))
        return line


class _JournalFormatter(_JsonFormatter):
    """The same with the priority in front by which journald files it."""

    def format(self, record: logging.LogRecord) -> str:
        levels = (number for level, number in _PRIORITIES if record.levelno >= level)
        return f"<{next(levels, _DEBUG_PRIORITY)}>{super().format(record)}"


def _formatter_for(stream: IO[str], environment: Mapping[str, str]) -> logging.Formatter:
    if stream.isatty():
        return _TextFormatter()
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return _JsonFormatter()
    is_journal = environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    return _JournalFormatter() if is_journal else _JsonFormatter()


def _log_what_nobody_caught() -> None:
    logger = logging.getLogger("reindex")

    def of_process(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            logger.critical("nobody caught this", exc_info=(kind, error, traceback))

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            name = args.thread.name if args.thread is not None else "?"
            error = (args.exc_type, args.exc_value, args.exc_traceback)
            logger.critical("nobody caught this in thread %s", name, exc_info=error)

    sys.excepthook = of_process
    threading.excepthook = of_thread


def _secrets_of(environment: Mapping[str, str]) -> set[str]:
    return {
        value
        for name, value in environment.items()
        if _SECRET_NAMES.search(name) and len(value) >= _SECRET_CHARACTERS_MIN
    }


def _forms(secret: str) -> set[str]:
    """How a text may be written in a line: as it is, in JSON, in Python's quotes, in an address."""
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="", errors="replace")}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _OWN}


def _printable(text: str) -> str:
    """One line that any terminal can show: a name of a file may hold anything."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
