"""What embedding costs a run."""

from __future__ import annotations

from typing import Protocol

from sluice.model.costs import Spent
from sluice.model.run import Run


class Costs(Protocol):
    """Accounts are kept by (run, batch), and only ever added to: a retry that computes again has paid again."""

    def reserve(self, run: Run, batch: int, tokens: int) -> int:
        """Set aside up to `tokens` of what the run's budget has left, for one call of the embedder. Returns how many,
        0 where nothing is left. All batches together never get more than the budget. What this batch had set aside
        before (an attempt that crashed) is given back first."""

    def settle(self, run: Run, batch: int, spent: Spent) -> None:
        """The call is over: what it cost is added, what the batch had set aside is given back."""

    def spent(self, run: Run) -> Spent: ...

    def stop(self, run: Run, why: str) -> None:
        """The run is to take on nothing more. `why`: budget."""

    def stopped(self, run: Run) -> str | None:
        """Why the run was stopped; None: it was not."""
