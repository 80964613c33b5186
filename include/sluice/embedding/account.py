"""Token account of one batch of a run: budget and costs, recorded in the ledger before and after every call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from sluice.model.costs import Spent
from sluice.model.run import Run
from sluice.ports.content import Embedder
from sluice.ports.costs import Costs


class Account(Protocol):
    """The token budget from which texts are embedded."""

    def affordable(self, texts: Sequence[str], embedder: Embedder) -> int:
        """Returns how many of the texts, from the first on, the budget allows to embed now."""

    def settle(self, spent: Spent) -> None:
        """Records the costs."""


@dataclass(frozen=True, slots=True)
class BatchAccount:
    """The account of one batch. All batches share the run's budget, so tokens are reserved in the ledger."""

    costs: Costs
    run: Run
    batch: int

    def affordable(self, texts: Sequence[str], embedder: Embedder) -> int:
        if self.run.budget.max_tokens is None:
            return len(texts)
        needed = list(accumulate(embedder.tokens(texts)))
        granted = self.costs.reserve(self.run, self.batch, needed[-1])
        return sum(total <= granted for total in needed)

    def settle(self, spent: Spent) -> None:
        self.costs.settle(self.run, self.batch, spent)


class Unlimited:
    """An account without a budget, for work outside runs: a reconciliation reports its own costs."""

    def affordable(self, texts: Sequence[str], embedder: Embedder) -> int:
        return len(texts)

    def settle(self, spent: Spent) -> None:
        pass
