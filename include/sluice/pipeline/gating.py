"""The gates of a run: which rules apply, and what becomes of their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sluice.model.gates import GateRule
from sluice.model.generation import Generation
from sluice.model.quarantine import QuarantineEntry
from sluice.model.run import Run
from sluice.pipeline.quarantine import Quarantine
from sluice.ports.quality import Quality
from sluice.quality.gate_rules import merged
from sluice.quality.gates import Verdict

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Gating:
    """Rules and results of gates."""

    quality: Quality
    quarantine: Quarantine
    everywhere: Mapping[tuple[str, str], GateRule]  # rules of all collections, by suite and code

    def rules(self, generation: Generation) -> dict[tuple[str, str], GateRule]:
        """Returns the gate rules of the collection. Its own rules override those of the settings."""
        return merged(self.everywhere, self.quality.rules(generation))

    def quarantine_failures(self, run: Run, failures: Sequence[QuarantineEntry], counts: dict[str, int]) -> None:
        """Quarantines documents and adds them to the counts of the stage."""
        superseded = self.quarantine.add(run, failures)
        counts["superseded"] = counts.get("superseded", 0) + superseded
        counts["quarantined"] = counts.get("quarantined", 0) + len(failures) - superseded

    def record(self, run: Run, batch: int, stage: str, verdict: Verdict[T], counts: dict[str, int]) -> list[T]:
        """Records the results of a gate and quarantines what it blocked. Returns what passed."""
        self.quality.record_gates(run, batch, stage, verdict.results, verdict.rows)
        self.quarantine_failures(run, verdict.failures, counts)
        counts["documents"] = len(verdict.passed)
        counts["flagged"] = len({row.document_id for row in verdict.rows})
        counts["gx_import_ms"] = round(verdict.import_seconds * 1000)
        return verdict.passed
