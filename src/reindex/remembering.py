"""What a look at the disk found beside the documents themselves; written down before any is worked on."""

from collections.abc import Iterable

from reindex.changes import Changes, code_digest, document_parser
from reindex.model import DocumentName
from reindex.observe import Observation
from reindex.sources.files import RootState
from reindex.stores.failure_rows import Failure
from reindex.writer import Writer


def remember(writer: Writer, observation: Observation, changes: Changes, now: float) -> None:
    """Write down what a look at the disk found beside the documents themselves: stats, failures, holds, and
    which sources are recorded as they are on disk.

    A pass that found nothing new writes nothing.
    """
    ledger = writer.ledger
    held_sources = {hold.source for hold in changes.holds}
    with ledger.transaction():
        if observation.looks or observation.gone:
            ledger.files.record(observation.looks, observation.gone)
        ledger.failures.forget(_healed(observation, changes))
        ledger.failures.record(
            Failure(
                name, None, document_parser(name.path), f"can't be read: {reason}", permanent=False, at=now
            )
            for name, reason in changes.unreadable.items()
        )
        known_holds = ledger.failures.holds()
        if changes.holds or known_holds:
            elsewhere = [hold for hold in known_holds if not observation.is_whole(hold.source)]
            ledger.failures.replace_holds((*elsewhere, *changes.holds))
        for source, scan in observation.scans.items():
            is_trusted = scan.root_state is RootState.OK and source not in held_sources
            device = scan.root_device
            is_news = device != ledger.files.device(source)
            if device is not None and is_news and is_trusted and observation.is_whole(source):
                ledger.files.record_device(source, device)
        if writer.generation is not None:
            for source in changes.alike:
                digest = observation.digests[source]
                ledger.settled.record(source, writer.generation.number, code_digest(), digest)


def _healed(observation: Observation, changes: Changes) -> Iterable[DocumentName]:
    """Failures that are no more: the document is as recorded and can be read, or it is gone.

    One whose deletion is held is gone for now: should it come back as it was, it fails again.
    """
    plan = changes.plan
    open_work = {*plan.failed, *plan.added, *plan.changed, *plan.moved}
    return [
        name
        for name in changes.waiting
        if name not in open_work and name not in changes.unreadable and name not in observation.unstable
    ]
