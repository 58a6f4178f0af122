"""The promotion gate: is a new generation whole, right, and good enough to be sent to readers?"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from reindex.core.comparing import DEPTH, compare, mean, recall
from reindex.integrity import expected_rows, row_faults, sampled_chunks, vectors_unlike_the_cache
from reindex.model import DocumentName
from reindex.observe import Observation
from reindex.probes import Probe, documents_by_name, label, named_documents
from reindex.stores.cache import VectorCache
from reindex.stores.snapshot import Filter, Snapshot, StoredChunk

SELF_RETRIEVAL_MIN = 0.99
SELF_RETRIEVAL_SAMPLE = 200
_DETAILS_MAX = 20  # so that a generation that lacks everything can be told of in a page

Answer = Callable[[Snapshot, str], Sequence[str]]
"""The documents that a snapshot finds for a question, best first, as a user's query would: their labels."""


@dataclass(slots=True)
class GateReport:
    """What was found, and the faults for which it is refused (none: it passed). Shares are between 0 and 1;
    None where there was nothing to measure. `held` are deletions that the live generation holds back.
    """

    documents: int = 0
    chunks: int = 0
    held: int = 0
    self_retrieval: float | None = None
    recall: float | None = None
    recall_live: float | None = None
    overlap: float | None = None
    probes: int = 0
    faults: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def refusals(self) -> list[str]:
        """Held deletions are one: the live generation still answers from documents that the new one lacks."""
        if not self.held:
            return self.faults
        held = (
            f"{self.held} deletions are held in the live generation: bring the documents back, or let them go"
            " with `reindex sync --accept-deletes`"
        )
        return [held, *self.faults]

    @property
    def passed(self) -> bool:
        return not self.refusals

    @property
    def recall_change(self) -> float | None:
        """Against the live generation, on the same probes."""
        if self.recall is None or self.recall_live is None:
            return None
        return self.recall - self.recall_live

    def refuse(self, reason: str) -> None:
        """One more reason not to promote."""
        if len(self.faults) < _DETAILS_MAX:
            self.faults.append(reason)
        elif len(self.faults) == _DETAILS_MAX:
            self.faults.append("and more")


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the rows of a new generation are held against: the cache, the look at the disk that they were made
    from, the documents that have changed since, those that fail in the live generation too, and why some fail
    here.
    """

    snapshot: Snapshot
    cache: VectorCache
    observation: Observation
    in_motion: AbstractSet[DocumentName]
    failing_in_live: AbstractSet[DocumentName]
    failing_here: Mapping[DocumentName, str]


def inspect_rows(inspection: Inspection, report: GateReport) -> None:
    """The documents on disk are all there at their revision, every row is what its layout promises, and a
    sample of the chunks is found by its own vector.
    """
    _check_documents(inspection, report)
    if report.passed:
        _check_retrieval(inspection.snapshot, report)


def _check_documents(inspection: Inspection, report: GateReport) -> None:
    """A document that fails in the live generation too is no reason against the new one."""
    snapshot, observation = inspection.snapshot, inspection.observation
    documents = {layout.name: expected_rows(layout) for layout in snapshot.layouts()}
    report.documents = len(documents)
    excused = inspection.failing_in_live | set(observation.unreadable)
    absent = []
    for name, revision in observation.documents():
        found = documents.get(name)
        if name in inspection.in_motion or (found is not None and found.revision == revision):
            continue
        if name in excused:
            absent.append(name)
        else:
            what = "not in it" if found is None else "at an older revision"
            report.refuse(f"{name}: {inspection.failing_here.get(name, what)}")
    if absent:
        report.notices.append(
            f"{len(absent)} documents that fail are not in it, such as {min(absent)}; the live generation may"
            " still answer from an older revision of them"
        )
    for name in documents:
        if observation.revision(name) is None and name not in inspection.in_motion and name not in excused:
            report.refuse(f"{name}: in it, and not on disk")
    faults = row_faults(snapshot, documents.values())
    report.chunks = faults.chunks
    for count, what in (
        (len(faults.unwanted), "rows that no document wants, or twice"),
        (len(faults.wrong), "rows with a wrong text, key or vector"),
        (len(faults.short), "documents that lack rows"),
        (len(vectors_unlike_the_cache(snapshot, inspection.cache)), "rows with a vector unlike the cache's"),
    ):
        if count:
            report.refuse(f"{count} {what}")


def _check_retrieval(snapshot: Snapshot, report: GateReport) -> None:
    """Through the index, where there is one; without, the answer is exact."""
    sample = sampled_chunks(snapshot, SELF_RETRIEVAL_SAMPLE)
    if not sample:
        return
    found = sum(_finds(snapshot, chunk) for chunk in sample)
    report.self_retrieval = found / len(sample)
    if report.self_retrieval < SELF_RETRIEVAL_MIN:
        report.refuse(
            f"its index finds {report.self_retrieval:.3f} of {len(sample)} sampled chunks by their vector;"
            f" {SELF_RETRIEVAL_MIN} is needed"
        )


def check_probes(
    probes: Sequence[Probe],
    new: Snapshot,
    live: Snapshot,
    answer: Answer,
    min_recall: float,
    report: GateReport,
    asked: Callable[[], None],
) -> None:
    """Recall on the user's probes, against `min_recall` and the live generation's; and how alike both are.
    `asked` is called after each probe.
    """
    known = documents_by_name(layout.name for layout in new.layouts()) if probes else {}
    recalls: list[float] = []
    recalls_live: list[float] = []
    overlaps: list[float] = []
    for probe in probes:
        found, before = answer(new, probe.query), answer(live, probe.query)
        overlaps.append(compare(before, found).overlap)
        expected = named_documents(probe, known)
        if expected:
            recalls.append(recall(found, expected))
            recalls_live.append(recall(before, expected))
        missing = [text for text in probe.documents if text not in known]
        if missing:
            report.notices.append(f"probe {probe.query[:60]!r} names no document: {', '.join(missing)}")
        asked()
    report.probes = len(recalls)
    report.recall, report.recall_live, report.overlap = mean(recalls), mean(recalls_live), mean(overlaps)
    if min_recall and (report.recall is None or report.recall < min_recall):
        shown = "unknown (no probe names a document)" if report.recall is None else f"{report.recall:.3f}"
        report.refuse(f"recall at {DEPTH} is {shown}; [promotion] min_recall is {min_recall}")


def documents_found(hits: Sequence[tuple[str, str]]) -> list[str]:
    """The labels of the documents of hits, given as (source, path), best first and once each."""
    return list(dict.fromkeys(label(source, path) for source, path in hits))


def _finds(snapshot: Snapshot, chunk: StoredChunk) -> bool:
    """Itself, or ten others that are just as near: the same text stands in more than ten places."""
    assert chunk.vector is not None, "rows were checked before"
    hits = snapshot.nearest(chunk.vector, DEPTH, Filter())
    return any(hit.chunk_id == chunk.chunk_id or hit.text == chunk.text for hit in hits)
