"""Generations in the ledger, and which of their versions readers were sent to."""

import json
from dataclasses import replace

from reindex.core.generations import Generation, GenerationState, check_transition
from reindex.core.identity import Recipe
from reindex.stores.sqlite import Database, Row


class GenerationRows:
    """Generations and the publish log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[Generation]:
        """Oldest first."""
        return [
            _generation(row)
            for row in self._database.rows(
                "SELECT number, state, table_name, recipe, version, manifest, created_at, promoted_at"
                " FROM generations ORDER BY number"
            )
        ]

    def live(self) -> Generation | None:
        return next((g for g in self.all() if g.state is GenerationState.LIVE), None)

    def building(self) -> Generation | None:
        """The one that is being filled and that nobody reads yet."""
        return next((g for g in self.all() if g.state is GenerationState.BUILDING), None)

    def add(self, generation: Generation) -> None:
        self._database.execute(
            "INSERT INTO generations"
            " (number, state, table_name, recipe, version, manifest, created_at, promoted_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                generation.number,
                generation.state,
                generation.table,
                json.dumps(generation.recipe.to_json(), sort_keys=True),
                generation.version,
                generation.manifest,
                generation.created_at,
                generation.promoted_at,
            ),
        )

    def change_state(self, generation: Generation, state: GenerationState, now: float) -> Generation:
        """Move it along the table of states; return it as it is now."""
        check_transition(generation.state, state)
        promoted_at = now if state is GenerationState.LIVE else generation.promoted_at
        self._database.execute(
            "UPDATE generations SET state = ?, promoted_at = ? WHERE number = ?",
            (state, promoted_at, generation.number),
        )
        return replace(generation, state=state, promoted_at=promoted_at)

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
    number, state, table, recipe, version, manifest, created_at, promoted_at = row
    return Generation(
        number=number,
        state=GenerationState(state),
        table=table,
        recipe=Recipe.from_json(json.loads(recipe)),
        version=version,
        manifest=manifest,
        created_at=created_at,
        promoted_at=promoted_at,
    )
