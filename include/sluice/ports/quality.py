"""What gates found, and where collections depart from their rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sluice.model.gates import GateResult, GateRow, GateRule, Signature
from sluice.model.generation import Generation
from sluice.model.run import Run


class Quality(Protocol):
    def rules(self, generation: Generation) -> dict[tuple[str, str], GateRule]:
        """By suite and code of the check: where the collection departs from the suites."""

    def set_rule(self, generation: Generation, suite: str, code: str, rule: GateRule | None) -> bool:
        """Set or replace the rule of one check; None takes it back. Returns whether there was one."""

    def record_gates(
        self, run: Run, batch: int, stage: str, results: Sequence[GateResult], rows: Sequence[GateRow] = ()
    ) -> None:
        """Replaces what was recorded of this gate on this batch. Of each check the first 1,000 rows are kept; how many
        there were is in its result."""

    def gates(self, run: Run, batch: int) -> list[GateResult]: ...

    def similar(self, run: Run, bands: Sequence[int], limit: int) -> list[Signature]:
        """Signatures that share a band with these: of documents that the run's generation serves, or that this run has
        remembered. Any `limit` of them where there are more."""

    def remember(self, run: Run, signatures: Sequence[Signature]) -> None:
        """One a document, the last one counts. They go when the document is removed."""
