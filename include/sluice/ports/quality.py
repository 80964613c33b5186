"""Gate results, and the gate rules of collections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sluice.model.gates import GateResult, GateRow, GateRule, Signature
from sluice.model.generation import Generation
from sluice.model.run import Run


class Quality(Protocol):
    """Gate rules of collections, and gate results and signatures of runs."""

    def rules(self, generation: Generation) -> dict[tuple[str, str], GateRule]:
        """Returns the collection's own rules, by suite and code of the check."""

    def set_rule(self, generation: Generation, suite: str, code: str, rule: GateRule | None) -> bool:
        """Sets or replaces the rule of one check; None removes it. Returns whether there was one."""

    def record_gates(
        self, run: Run, batch: int, stage: str, results: Sequence[GateResult], rows: Sequence[GateRow] = ()
    ) -> None:
        """Records a gate's results on a batch and replaces earlier ones. Stores the first 1,000 rows of each check; the
        result has their total number."""

    def gates(self, run: Run, batch: int) -> list[GateResult]:
        """Returns the results of all gates on a batch, in the order of stages' names and, within a stage, of its
        checks. Empty where none is recorded."""

    def similar(self, run: Run, bands: Sequence[int], limit: int) -> list[Signature]:
        """Returns signatures that share a band with these: of documents that the run's generation serves, or that this
        run has stored. At most `limit`, in no defined order."""

    def remember(self, run: Run, signatures: Sequence[Signature]) -> None:
        """Stores one signature per document; a later one replaces it. It is deleted with the document."""
