"""Evaluations in the ledger."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from sluice.model.evaluation import Evaluation
from sluice.model.gates import GateResult
from sluice.model.generation import Generation
from sluice.model.weights import LearnedWeights


class Evaluations(Protocol):
    """The history of a collection's evaluations, and the weights that were learned from its golden sets."""

    def last_run(self, generation: Generation, tenant: str) -> UUID | None:
        """Returns the tenant's last run that succeeded and changed documents of this generation; None: there is
        none."""

    def baseline(self, generation: Generation, tenant: str, golden_set: str, top_k: int) -> Evaluation | None:
        """Returns the last evaluation of this golden set with the generation's embedder that no drop was reported for;
        None: there is none."""

    def record(self, generation: Generation, evaluation: Evaluation, gate: GateResult | None) -> Evaluation:
        """Stores an evaluation; the ledger assigns id and time. The gate's result is also stored for the evaluation's
        run, where it replaces that of the same golden set."""

    def history(
        self,
        tenant: str,
        collection: str,
        *,
        golden_set: str | None = None,
        limit: int,
        before: UUID | None = None,
    ) -> list[Evaluation]:
        """Returns evaluations without the scores of each question, the last first. `before`: the last id of the
        previous page."""

    def weights(self, generation: Generation, tenant: str) -> LearnedWeights | None:
        """Returns the learned weights of the tenant's searches; None: they have the default weights."""

    def learn_weights(self, generation: Generation, tenant: str, learned: LearnedWeights) -> None:
        """Stores weights in place of former ones. Searches use them at once."""

    def forget_weights(self, generation: Generation, tenant: str) -> None:
        """Returns to the default weights."""
