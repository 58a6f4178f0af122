"""Documents that wait for a batch or for the budget, and texts whose answers failed before."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reindex.model import DocumentName, EmbeddingKey, Places, Revision
from reindex.stores.file_rows import name_key, ranges_of
from reindex.stores.sqlite import Database

_KEYS_PER_STATEMENT = 2_000
_DUE = 0  # in the place of a job: it has ended, with or without the vectors
HELD_BACK_REASON = "held back by the budget of the day (UTC)"
_HELD_BACK = -1  # in the place of a job: the budget of the day has no room for one
_OF_ONE = " AND source = ? AND path = ?"
_IN_RANGE = " AND source = ? AND path >= ? AND path < ?"


@dataclass(frozen=True, slots=True)
class Wait:
    """A document at a revision that is not indexed yet. `job` is to bring its vectors; the latest of its
    jobs, where there are several. What no job under way brings is for the next pass.
    """

    name: DocumentName
    revision: Revision
    parser: str
    job: int
    since: float

    @property
    def is_in_flight(self) -> bool:
        """A job is under way with its texts."""
        return self.job > _DUE

    @property
    def is_held_back(self) -> bool:
        """The budget of the day had no room for it."""
        return self.job == _HELD_BACK


@dataclass(frozen=True, slots=True)
class WaitSummary:
    """How many documents wait, how many of them for a job that is under way and how many for the budget, and
    since when the longest does; None where none waits.
    """

    documents: int = 0
    in_flight: int = 0
    held_back: int = 0
    since: float | None = None


class WaitRows:
    """Waits by generation and document."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, generation: int, places: Places | None = None) -> dict[DocumentName, Wait]:
        """The documents of a generation that wait for a job that is under way. With `places` only those that
        stand there or below.
        """
        if not self._exists():
            return {}
        queries: list[tuple[str, tuple[object, ...]]] = [("", ())]
        if places is not None:
            queries = [
                (_IN_RANGE, (source, *limits))
                for source, paths in places.items()
                for limits in ranges_of(paths)
            ]
        found = (wait for where, values in queries for wait in self._read(generation, where, values))
        return {wait.name: wait for wait in found if wait.is_in_flight}

    def one(self, generation: int, name: DocumentName) -> Wait | None:
        """What this document waits for."""
        found = self._read(generation, _OF_ONE, name_key(name)) if self._exists() else []
        return found[0] if found else None

    def are_in_flight(self, generation: int) -> bool:
        """Whether any document of a generation waits for a job that is under way."""
        found = "SELECT 1 FROM waits WHERE generation = ? AND job > ? LIMIT 1"
        return self._database.one(found, (generation, _DUE)) is not None

    def summary(self, generation: int) -> WaitSummary:
        """Of all that wait, counted where they are."""
        if not self._exists():
            return WaitSummary()
        row = self._database.one(
            "SELECT count(*), coalesce(sum(job > ?), 0), coalesce(sum(job = ?), 0), min(since) FROM"
            " (SELECT max(job) AS job, min(since) AS since FROM waits WHERE generation = ?"
            " GROUP BY source, path)",
            (_DUE, _HELD_BACK, generation),
        )
        assert row is not None
        return WaitSummary(*row)

    def hold_back(
        self, generation: int, documents: Iterable[tuple[DocumentName, Revision, str]], now: float
    ) -> None:
        """These, each as (name, revision, parser); they stay so since the first time."""
        waits = []
        for name, revision, parser in documents:
            known = self.one(generation, name)
            since = known.since if known is not None and known.is_held_back else now
            waits.append(Wait(name, revision, parser, _HELD_BACK, since))
        self.record(generation, [(wait, [wait.job]) for wait in waits])

    def all(self, generation: int) -> dict[DocumentName, Wait]:
        """Those, and those that no job brings any more: until a pass has taken them in they are pending."""
        return {wait.name: wait for wait in self._read(generation, "", ())} if self._exists() else {}

    def any(self) -> bool:
        """Whether any document waits."""
        return self._database.one("SELECT 1 FROM waits LIMIT 1") is not None

    def record(self, generation: int, waits: Iterable[tuple[Wait, Iterable[int]]]) -> None:
        """Each document waits for all of its jobs, and for no other any more; since the first time at this
        revision.
        """
        found = {wait.name: (wait, jobs) for wait, jobs in waits}
        with self._database.transaction():
            since = {name: self._since(generation, wait) for name, (wait, _) in found.items()}
            self.forget(generation, found)
            self._database.execute_many(
                "INSERT INTO waits (generation, source, path, job, revision, parser, since)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (generation, *name_key(wait.name), job, wait.revision, wait.parser, since[wait.name])
                    for wait, jobs in found.values()
                    for job in jobs
                ),
            )

    def _since(self, generation: int, wait: Wait) -> float:
        """Its own, or the earlier one of the same document as it waits already."""
        row = self._database.one(
            "SELECT min(since) FROM waits WHERE generation = ? AND source = ? AND path = ?"
            " AND revision = ? AND parser = ?",
            (generation, *name_key(wait.name), wait.revision, wait.parser),
        )
        known = None if row is None else row[0]
        return wait.since if known is None else min(float(known), wait.since)

    def forget(self, generation: int, names: Iterable[DocumentName]) -> None:
        """These documents wait no more."""
        self._database.execute_many(
            "DELETE FROM waits WHERE generation = ? AND source = ? AND path = ?",
            ((generation, *name_key(name)) for name in names),
        )

    def release(self, job: int) -> None:
        """The job has ended: what waited for it alone is due."""
        self._database.execute("UPDATE OR REPLACE waits SET job = ? WHERE job = ?", (_DUE, job))

    def forget_due(self, generation: int) -> None:
        """A pass over everything has worked off what was due or held back; the rest is gone, or as it was
        before.
        """
        self._database.execute("DELETE FROM waits WHERE generation = ? AND job <= ?", (generation, _DUE))

    def _read(self, generation: int, where: str, values: Sequence[object]) -> list[Wait]:
        """Those of a generation that one of the conditions below finds; "" finds all."""
        rows = self._database.rows(
            "SELECT source, path, revision, parser, max(job), min(since) FROM waits"  # noqa: S608
            f" WHERE generation = ?{where} GROUP BY source, path, revision, parser",
            (generation, *values),
        )
        return [Wait(DocumentName(row[0], os.fsdecode(row[1])), Revision(row[2]), *row[3:]) for row in rows]

    def _exists(self) -> bool:
        """A ledger of an older version is read before a writer has brought it up."""
        return self._database.one("SELECT 1 FROM sqlite_master WHERE name = 'waits'") is not None


class AttemptRows:
    """Texts, by key, that were sent in vain."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def refusals(self, keys: Sequence[EmbeddingKey]) -> dict[EmbeddingKey, str]:
        """Those that are not sent again, and why."""
        found: dict[EmbeddingKey, str] = {}
        for start in range(0, len(keys), _KEYS_PER_STATEMENT):
            part = keys[start : start + _KEYS_PER_STATEMENT]
            rows = self._database.rows(
                "SELECT key, refusal FROM attempts WHERE refusal != ''"  # noqa: S608
                f" AND key IN ({','.join('?' * len(part))})",
                part,
            )
            found.update((EmbeddingKey(key), reason) for key, reason in rows)
        return found

    def count(self, keys: Iterable[EmbeddingKey], attempts_max: int, reason: str) -> None:
        """One attempt more of each. Those that reach the limit are refused for that reason."""
        self._database.execute_many(
            "INSERT INTO attempts (key, count, refusal) VALUES (?, 1, CASE WHEN ? <= 1 THEN ? ELSE '' END)"
            " ON CONFLICT (key) DO UPDATE SET count = count + 1,"
            " refusal = CASE WHEN count + 1 >= ? THEN ? ELSE refusal END",
            ((key, attempts_max, reason, attempts_max, reason) for key in keys),
        )

    def refuse(self, refusals: Mapping[EmbeddingKey, str]) -> None:
        """These are not sent again: the provider said why."""
        self._database.execute_many(
            "INSERT INTO attempts (key, count, refusal) VALUES (?, 1, ?)"
            " ON CONFLICT (key) DO UPDATE SET count = count + 1, refusal = excluded.refusal",
            refusals.items(),
        )

    def forget(self, keys: Iterable[EmbeddingKey]) -> None:
        """Their vectors are there. Mostly nothing of this kind ever happened."""
        if self._database.one("SELECT 1 FROM attempts LIMIT 1") is None:
            return
        self._database.execute_many("DELETE FROM attempts WHERE key = ?", ((key,) for key in keys))

    def forget_refusals(self) -> None:
        """A person wants them tried again."""
        self._database.execute("DELETE FROM attempts")
