"""What `status` says of what is not as it should be: a sentence for each."""

from collections.abc import Mapping, Sequence

from reindex.app import App
from reindex.core.generations import Generation
from reindex.errors import StoreError
from reindex.observe import unscanned_reason
from reindex.stores.failure_rows import Hold
from reindex.stores.pointer import Pointer
from reindex.stores.wait_rows import HELD_BACK_REASON


def unscanned_reasons(unscanned: Mapping[str, str], holds: Sequence[Hold]) -> list[str]:
    """Sources of which nothing is known: where something is, its deletions are held, which says it too."""
    held = {hold.source for hold in holds}
    return [unscanned_reason(name, reason) for name, reason in unscanned.items() if name not in held]


def unanswered_reasons(app: App, live: Generation | None) -> list[str]:
    """Why no question is answered, or only by what nobody keeps fresh: readers go by the pointer alone."""
    try:
        published = Pointer(app.data_dir).read()
    except StoreError as error:
        return [f"no question is answered: {error.message} ({error.hint})"]
    if published is None and live is not None and live.promoted_at is not None:
        return ["no question is answered: the published pointer is missing; `reindex sync` writes it again"]
    if published is not None and live is None:
        what = f"generation {published.generation} answers, and the ledger knows nothing of it"
        return [f"{what}: `reindex sync` makes the record again"]
    return []


def budget_reason(documents: int) -> list[str]:
    """Of those that are held back today; none where none is."""
    return [f"{documents} document{'s' * (documents != 1)} {HELD_BACK_REASON}"] if documents else []


def waiting_reason(documents: int) -> str:
    """Of those that are in batches."""
    what = "document waits" if documents == 1 else "documents wait"
    return f"{documents} {what} for a batch: `reindex jobs` shows it, `sync --now` pays again"


def held_reason(hold: Hold) -> str:
    """Of deletions that wait for consent."""
    return f"source {hold.source!r}: {hold.documents} deletions held, because {hold.reason}"
