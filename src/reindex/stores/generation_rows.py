"""Generations in the ledger, and which of their versions readers were sent to."""

import json
from dataclasses import replace
from typing import Any

from reindex.core.generations import Behind, Generation, GenerationState, check_transition
from reindex.core.identity import Recipe
from reindex.stores.sqlite import Database, Row

_COLUMNS = "number, state, table_name, recipe, version, manifest, created_at, promoted_at"
_COLUMNS_SINCE_3 = "promoted_by, is_fresh, behind_documents, behind_since"
"""Of the schema: a ledger of version 2 is read before a writer has brought it up."""


class GenerationRows:
    """Generations and the publish log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Generation]:
        """Oldest first."""
        newer = self._database.one("SELECT 1 FROM pragma_table_info('generations') WHERE name = 'is_fresh'")
        columns = _COLUMNS if newer is None else f"{_COLUMNS}, {_COLUMNS_SINCE_3}"
        rows = self._database.rows(f"SELECT {columns} FROM generations ORDER BY number")  # noqa: S608 (ours)
        return [_generation(row) for row in rows]

    def one(self, number: int) -> Generation | None:
        return next((g for g in self.all() if g.number == number), None)

    def live(self) -> Generation | None:
        return next((g for g in self.all() if g.state is GenerationState.LIVE), None)

    def unfinished(self) -> Generation | None:
        """The one that is being filled, or is whole and waits to be promoted."""
        states = (GenerationState.BUILDING, GenerationState.READY)
        return next((g for g in reversed(self.all()) if g.state in states), None)

    def newest(self) -> int:
        """The highest number that was ever given; 0 before the first."""
        row = self._database.one("SELECT max(number) FROM generations")
        return int(row[0]) if row is not None and row[0] is not None else 0

    def add(self, generation: Generation) -> None:
        self._database.execute(
            f"INSERT INTO generations ({_COLUMNS}, {_COLUMNS_SINCE_3})"  # noqa: S608 (ours)
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                generation.number,
                generation.state,
                generation.table,
                json.dumps(generation.recipe.to_json(), sort_keys=True),
                generation.version,
                generation.manifest,
                generation.created_at,
                generation.promoted_at,
                generation.promoted_by,
                int(generation.is_fresh),
                None if generation.behind is None else generation.behind.documents,
                None if generation.behind is None else generation.behind.since,
            ),
        )

    def change_state(self, generation: Generation, state: GenerationState) -> Generation:
        """Move it along the table of states; return it as it is now. One becomes live by `promote`."""
        assert state is not GenerationState.LIVE, "promote says when and by what"
        check_transition(generation.state, state)
        self._database.execute(
            "UPDATE generations SET state = ? WHERE number = ?", (state, generation.number)
        )
        return replace(generation, state=state)

    def promote(self, generation: Generation, now: float, by: str) -> Generation:
        """It is the live one from now on. Return it as it is now."""
        check_transition(generation.state, GenerationState.LIVE)
        self._database.execute(
            "UPDATE generations SET state = ?, promoted_at = ?, promoted_by = ? WHERE number = ?",
            (GenerationState.LIVE, now, by, generation.number),
        )
        return replace(generation, state=GenerationState.LIVE, promoted_at=now, promoted_by=by)

    def record_behind(self, generation: Generation, behind: Behind | None) -> Generation:
        """How far it is behind the disk; None: it has caught up. Return it as it is now."""
        documents, since = (None, None) if behind is None else (behind.documents, behind.since)
        self._database.execute(
            "UPDATE generations SET behind_documents = ?, behind_since = ? WHERE number = ?",
            (documents, since, generation.number),
        )
        return replace(generation, behind=behind)

    def record_version(self, generation: Generation, version: int, manifest: str) -> Generation:
        """The ledger vouches for this Lance commit from now on. Returns the generation as it is now."""
        self._database.execute(
            "UPDATE generations SET version = ?, manifest = ? WHERE number = ?",
            (version, manifest, generation.number),
        )
        return replace(generation, version=version, manifest=manifest)

    def record_publish(self, generation: Generation, now: float, keep_since: float) -> None:
        """Note what readers see from now on; forget what they had left before `keep_since`."""
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO publishes (generation, version, published_at) VALUES (?, ?, ?)",
                (generation.number, generation.version, now),
            )
            self._database.execute(
                "DELETE FROM publishes WHERE number <"
                " (SELECT max(number) FROM publishes WHERE published_at <= ?)",
                (keep_since,),
            )

    def versions_in_reach(self, generation: int, since: float) -> list[int]:
        """The versions of a generation that were published at any moment after `since`."""
        rows = self._database.rows("SELECT generation, version, published_at FROM publishes ORDER BY number")
        left_at = [row[2] for row in rows[1:]] + [float("inf")] * bool(rows)
        return [
            int(version)
            for (number, version, _), left in zip(rows, left_at, strict=True)
            if number == generation and left > since
        ]


def _generation(row: Row) -> Generation:
    number, state, table, recipe, version, manifest, created_at, promoted_at, *more = row
    since_3: tuple[Any, ...] = tuple(more) or ("", 0, None, None)
    promoted_by, is_fresh, behind_documents, behind_since = since_3
    return Generation(
        number=number,
        state=GenerationState(state),
        table=table,
        recipe=Recipe.from_json(json.loads(recipe)),
        version=version,
        manifest=manifest,
        created_at=created_at,
        promoted_at=promoted_at,
        promoted_by=promoted_by,
        is_fresh=bool(is_fresh),
        behind=None if behind_documents is None else Behind(behind_documents, behind_since),
    )
