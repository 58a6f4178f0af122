"""A provider by the API of OpenAI: does it answer, and can it do what the settings say?

Sends the canary text, some tokens' worth, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reindex.app import App
from reindex.doctor.findings import Finding, failed, fine, warning
from reindex.errors import OutageError, RefusedError, ReindexError
from reindex.settings import EmbeddingSettings

if TYPE_CHECKING:
    from reindex.embedders.openai_client import OpenAIConnection
    from reindex.embedders.openai_probe import Description

_SECTION = "[embedding.openai]"


def check_provider(app: App, environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """The key, the address and the model first; where those are well, what the server can do."""
    from reindex.embedders.openai_client import KEY_VARIABLE, OpenAIConnection

    settings = app.settings.embedding
    try:
        connection = OpenAIConnection(settings.openai, environment)
    except ReindexError as error:
        yield _broken("provider", error)
        return
    try:
        if connection.account.is_exposed:
            words = f"${KEY_VARIABLE} goes to {connection.account.provider} as plain text"
            yield warning("key", words, "Use https:// in [embedding.openai] base_url.")
        yield from _Examination(settings, connection).findings()
    finally:
        connection.close()


def _broken(check: str, error: ReindexError) -> Finding:
    return failed(check, error.message, error.hint or f"Look at {_SECTION}; `reindex config show`.")


@dataclass(slots=True)
class _Examination:
    """One check after the other, each at the cost of a few tokens."""

    settings: EmbeddingSettings
    connection: OpenAIConnection
    tokens: int = field(default=0, init=False)

    def findings(self) -> Iterator[Finding]:
        """If the model is out of reach, the rest would say the same."""
        from reindex.embedders.openai_probe import limits_told

        try:
            described, refusal = self._described()
        except ReindexError as error:
            yield _broken("model", error)
            return
        self.tokens += described.tokens
        yield self._model(described)
        checks = {
            "base64": lambda: self._base64(described, refusal),
            "dimensions": lambda: self._dimensions(described),
            "texts in a request": self._inputs,
            "batches": self._batches,
        }
        for name, check in checks.items():
            try:
                yield check()
            except ReindexError as error:
                yield _broken(name, error)
        told = limits_told(described.headers) or "the server tells none"
        yield fine("rate limits", f"{told}; these checks took {self.tokens:,} tokens")

    def _described(self) -> tuple[Description, str]:
        """By the settings; or without base64, and the words in which it was refused with it."""
        from reindex.embedders.openai_probe import describe

        model, asks = self.settings.model, self.settings.openai.has_base64
        try:
            return describe(self.connection, model), ""
        except (RefusedError, OutageError) as error:
            refusal = error
        if asks and refusal.status in {400, 415, 422}:
            try:
                return describe(self.connection, model, wants_base64=False), refusal.message
            except ReindexError:
                pass  # so it was not that
        raise refusal

    def _model(self, described: Description) -> Finding:
        settings, own = self.settings, described.dimensions
        found = f"{settings.model} embeds at {self.connection.account.provider}, {own} dimensions"
        if settings.dimensions > own:
            words = f"{found}; [embedding] dimensions asks for {settings.dimensions}"
            return failed("model", words, f"Use 0 (the model's own) or at most {own}.")
        return fine("model", found)

    def _base64(self, described: Description, refusal: str) -> Finding:
        if refusal:
            return failed("base64", refusal, f"Set {_SECTION} has_base64 = false.")
        if not self.settings.openai.has_base64:
            return fine("base64", "not asked for (has_base64 = false)")
        if described.is_base64:
            return fine("base64", "vectors come as base64")
        return fine("base64", "vectors come as numbers all the same: it works, with five times the bytes")

    def _dimensions(self, described: Description) -> Finding:
        from reindex.embedders.openai_probe import takes_dimensions

        settings = self.settings
        wanted = settings.dimensions or described.dimensions
        if wanted == described.dimensions:
            return fine("dimensions", f"{wanted}, the model's own")
        if not settings.openai.send_dimensions:
            return fine("dimensions", f"vectors are cut to {wanted} here")
        does, tokens = takes_dimensions(self.connection, settings.model, wanted)
        self.tokens += tokens
        if does:
            return fine("dimensions", f"the server cuts vectors to {wanted}")
        words = f"the server does not cut vectors to {wanted}"
        return failed("dimensions", words, f"Set {_SECTION} send_dimensions = false: they are cut here.")

    def _inputs(self) -> Finding:
        from reindex.embedders.openai_probe import INPUTS_TRIED, inputs_taken

        check, configured = "texts in a request", self.settings.openai.max_inputs_per_request
        if self.connection.account.is_openai:
            return fine(check, f"{configured:,} are sent; OpenAI takes 2,048")
        taken, tokens = inputs_taken(self.connection, self.settings.model, configured)
        self.tokens += tokens
        if taken >= min(configured, INPUTS_TRIED[0]):
            untried = f"; {configured:,} are configured, and were not tried" if configured > taken else ""
            return fine(check, f"{taken} are taken{untried}")
        words = f"the server takes {taken}, and {configured:,} are configured"
        return failed(check, words, f"Set {_SECTION} max_inputs_per_request = {max(1, taken)}.")

    def _batches(self) -> Finding:
        from reindex.embedders.openai_probe import has_batches

        openai = self.settings.openai
        is_there = has_batches(self.connection)
        if is_there and openai.has_batch:
            return fine("batches", f"the server has them; lane = {openai.lane!r}")
        if is_there:
            return fine("batches", "the server has them, and has_batch = false leaves them out")
        if not openai.has_batch or openai.lane == "realtime":
            return fine("batches", "the server has none, and none are asked for")
        return failed("batches", "the server has no batches", f"Set {_SECTION} has_batch = false.")
