"""The Batch API's protocol as decisions over values: what is whose, what is over, what is stuck.

    planned -> input file written -> sealed -> uploaded -> [submitting] -> created -> [submitted] -> ended
    -> output verified, cached -> [done]; what got no vector is planned anew by the next pass

Creation has no idempotency: after `submitting` was committed the batch may exist, answer or no answer. It is
looked for in the provider's list, by our tag, until it is found or has been absent for long enough.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

ABSENCES_MIN = 2  # listings without it, before a batch that may exist is created again
REQUEST_TOO_LARGE = "request_too_large"  # the code of a refusal that says so, in our errors
CLOCK_SKEW_S = 3_600.0  # by so much the provider's clock may be behind ours


class RemoteState(StrEnum):
    """States of a batch at the provider. One that we do not know counts as under way."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


ENDED = frozenset({RemoteState.FAILED, RemoteState.COMPLETED, RemoteState.EXPIRED, RemoteState.CANCELLED})

_PROGRESS = (
    RemoteState.COMPLETED,
    RemoteState.FINALIZING,
    RemoteState.IN_PROGRESS,
    RemoteState.VALIDATING,
)
"""The further on, the sooner: which of twins is kept."""


@dataclass(frozen=True, slots=True)
class RemoteError:
    """Why a batch failed, or one of its lines (counted from 1)."""

    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class RemoteBatch:
    """A batch as the provider shows it. An absent file is "", whatever form its absence took."""

    id: str
    state: str  # in lower case
    input_file_id: str
    output_file_id: str = ""
    error_file_id: str = ""
    created_at: float = 0.0
    expires_at: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[RemoteError, ...] = ()
    completed: int = 0
    total: int = 0

    @property
    def is_ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What the ledger knows of a batch beside its job."""

    job: int
    tag: str
    account: str
    dimensions: int
    size_bytes: int = 0
    sealed_by: str = ""
    digest: str = ""
    file_id: str = ""
    batch_id: str = ""
    submitting_at: float | None = None
    absences: int = 0
    provider_state: str = ""
    completed: int = 0
    expires_at: float | None = None
    is_cancelling: bool = False


def metadata_of(store: str, record: BatchRecord, model: str, texts: int) -> dict[str, str]:
    """What a batch says of itself at the provider: enough to adopt it with the ledger lost."""
    return {
        "store": store,
        "job": record.tag,
        "digest": record.digest,
        "texts": str(texts),
        "model": model,
        "dimensions": str(record.dimensions),
    }


def store_of(remote: RemoteBatch) -> str:
    return remote.metadata.get("store", "")


def tag_of(remote: RemoteBatch) -> str:
    return remote.metadata.get("job", "")


def twins_of(record: BatchRecord, listed: Iterable[RemoteBatch]) -> list[RemoteBatch]:
    """Every batch that was created for a job, the one to keep first: that which is further on, then the
    elder. More than one means that an answer was lost, and that the batch was created again too soon.
    """
    return best_first(
        remote for remote in listed if tag_of(remote) == record.tag and remote.input_file_id == record.file_id
    )


def best_first(twins: Iterable[RemoteBatch]) -> list[RemoteBatch]:
    """The one to keep, then the others."""
    return sorted(twins, key=lambda remote: (_progress(remote), remote.created_at, remote.id))


def may_create_again(record: BatchRecord, now: float, grace_s: float) -> bool:
    """Whether a batch that may exist has been absent from the list for so long that it does not."""
    assert record.submitting_at is not None, "its creation was intended"
    return record.absences >= ABSENCES_MIN and now - record.submitting_at >= grace_s


def is_stuck(remote: RemoteBatch, now: float, margin_s: float) -> bool:
    """Whether its window is over, and it has still not ended. (The window is by the provider's clock.)"""
    return not remote.is_ended and remote.expires_at is not None and now > remote.expires_at + margin_s


def is_over_queue(remote: RemoteBatch) -> bool:
    """Whether it failed only because too much was enqueued: nothing was executed, nothing is billed."""
    return remote.state == RemoteState.FAILED and any(e.code == "token_limit_exceeded" for e in remote.errors)


def queue_limit_of(remote: RemoteBatch) -> int:
    """The limit that such a failure names, in tokens; 0 where it names none."""
    for error in remote.errors:
        found = re.search(r"[Ll]imit:\s*([\d,]+)", error.message)
        if found:
            return int(found.group(1).replace(",", ""))
    return 0


def is_out_of_money(remote: RemoteBatch) -> bool:
    return remote.state == RemoteState.FAILED and any(
        error.code in {"billing_hard_limit_reached", "insufficient_quota"} for error in remote.errors
    )


def adoptable(listed: Iterable[RemoteBatch], store: str, records: Iterable[BatchRecord]) -> list[RemoteBatch]:
    """Batches of this store that the ledger does not know: it was lost, or is from a backup. (A backup may
    know their job as one that was not sent yet, or sent with another file.)
    """
    sent = [record for record in records if record.batch_id or record.submitting_at is not None]
    tags = {record.tag for record in sent if record.batch_id}
    files = {(record.tag, record.file_id) for record in sent}
    return [
        remote
        for remote in listed
        if store_of(remote) == store
        and tag_of(remote) not in tags
        and (tag_of(remote), remote.input_file_id) not in files
    ]


def described(errors: Sequence[RemoteError]) -> str:
    """The provider's reasons in a line; of many, the first three."""
    said = [f"line {e.line}: {e.message or e.code}" if e.line else e.message or e.code for e in errors]
    more = f" (and {len(said) - 3} more)" if len(said) > 3 else ""
    return "; ".join(said[:3]) + more


def _progress(remote: RemoteBatch) -> int:
    others = sorted(ENDED - {RemoteState.COMPLETED})
    states: list[str] = [*_PROGRESS, *others, RemoteState.CANCELLING]
    return states.index(remote.state) if remote.state in states else len(states)
