"""Every failure a user can meet, as a class: its message says what happened, its hint what to do next.

Bugs are not here: they are assertions.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit code means to a script (the README lists them)."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_RUNNING = 3
    LOCKED = 4
    PARTIAL = 5
    UNHEALTHY = 6
    GATE_REFUSED = 7
    INTERRUPTED = 130


class ReindexError(Exception):
    """Something expected went wrong. `hint` is the next step for the person who reads it."""

    exit_code = ExitCode.ERROR

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(ReindexError):
    """The configuration or the command line is wrong."""

    exit_code = ExitCode.USAGE


class LockedError(ReindexError):
    """Another process writes to this data directory."""

    exit_code = ExitCode.LOCKED


class NothingIndexedError(ReindexError):
    """There is no published generation to read."""


class StoreError(ReindexError):
    """The data directory, the ledger, the cache or the table can't be read or written.

    `is_of_the_place`: it is the disk that is full or the permission that lacks; what is stored is sound.
    """

    is_of_the_place = False


class DiskError(StoreError):
    """No space, no permission, an input/output error: to be mended outside."""

    is_of_the_place = True


class NewerFormatError(StoreError):
    """The data directory was written by a newer version of reindex."""


class ModelError(ReindexError):
    """The embedding model can't be found, loaded or used."""


class AccountError(ModelError):
    """The key or the address of a provider is missing or can't be one: to be set, and until then as a model
    that can't be loaded, so that a search answers without it.
    """

    exit_code = ExitCode.USAGE


class EmbeddingError(ReindexError):
    """The provider failed, or returned something that is not a valid vector."""


class RefusedError(EmbeddingError):
    """The provider refused this very request for what is in it: a part of it, or another, may pass.

    `code` is why, in the provider's word or ours ("" if it gave none), `status` the one of HTTP (0: none).
    """

    def __init__(self, message: str, hint: str = "", *, code: str = "", status: int = 0) -> None:
        super().__init__(message, hint)
        self.code = code
        self.status = status


class OutageError(EmbeddingError):
    """The provider can't be used now, whatever is sent. `wait_s`: it is not worth a try before; `is_lasting`:
    a person has to mend it (no money, a wrong key), and asking again soon is of no use.

    `may_be_accepted`: the request may have been carried out, and billed, though its answer is lost. `code`
    and `status` as of a RefusedError.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        wait_s: float = 0.0,
        is_lasting: bool = False,
        may_be_accepted: bool = False,
        code: str = "",
        status: int = 0,
    ) -> None:
        super().__init__(message, hint)
        self.wait_s = wait_s
        self.is_lasting = is_lasting
        self.may_be_accepted = may_be_accepted
        self.code = code
        self.status = status


class GoneError(EmbeddingError):
    """The provider has no such file, or no such batch."""


class BudgetError(OutageError):
    """No more may be spent today: what is left waits."""


class ParseError(ReindexError):
    """A document can't be turned into text: permanent for this revision and this parser."""


class ParserUnavailableError(ReindexError):
    """There can be no process that parses: no document's fault."""


class UnstableFileError(ReindexError):
    """A file changed while it was read: it is taken when it is quiet."""


class NotRunningError(ReindexError):
    """There is no daemon that could be asked."""

    exit_code = ExitCode.NOT_RUNNING
