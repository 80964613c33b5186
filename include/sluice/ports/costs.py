"""Embedding costs of runs."""

from __future__ import annotations

from typing import Protocol

from sluice.model.costs import Spent
from sluice.model.run import Run


class Costs(Protocol):
    """Accounts by (run, batch). Amounts are only added: a retry that computes again is charged again."""

    def reserve(self, run: Run, batch: int, tokens: int) -> int:
        """Reserves up to `tokens` of the run's remaining budget for one call of the embedder. Returns how many; 0 where
        the budget is used up. All batches together never get more than the budget. An earlier reservation of this
        batch (of an attempt that crashed) is released first."""

    def settle(self, run: Run, batch: int, spent: Spent) -> None:
        """Adds the costs of a finished call and releases the batch's reservation."""

    def spent(self, run: Run) -> Spent:
        """Returns the sum of the settled costs of all batches and attempts of the run; zeros where there are none."""

    def record_exceeded(self, run: Run, why: str) -> None:
        """Stops the run: it processes no further documents. `why`: budget."""

    def exceeded(self, run: Run) -> str | None:
        """Returns why the run was stopped; None where it was not."""
