"""How full a request to a provider may be in estimated tokens: kept in the ledger, for the next run too."""

from dataclasses import dataclass

from reindex.core.token_ratio import after_answer, after_refusal, estimated_max
from reindex.stores.ledger import Ledger


@dataclass(frozen=True, slots=True)
class TokenGauge:
    """Of one model of one account. `tokens_max` is what a request may have, as the provider counts."""

    ledger: Ledger
    account: str
    model: str
    tokens_max: int

    def estimated_max(self) -> int:
        """Estimated tokens of a request that is full, and not refused as far as is known."""
        return estimated_max(self._ratio(), self.tokens_max)

    def learn(self, estimated: int, billed: int) -> None:
        """A request of so many estimated tokens was answered."""
        self._keep(after_answer(self._ratio(), estimated, billed))

    def learn_refusal(self, estimated: int, message: str) -> None:
        """A request of so many was refused for its tokens."""
        self._keep(after_refusal(estimated, self.tokens_max, message))

    @property
    def _note(self) -> str:
        return f"tokens billed of one estimated, {self.account} {self.model}"

    def _ratio(self) -> float | None:
        known = self.ledger.note(self._note)
        return None if known is None else float(known)

    def _keep(self, ratio: float | None) -> None:
        if ratio is not None and ratio != self._ratio():
            self.ledger.record_note(self._note, repr(ratio))
