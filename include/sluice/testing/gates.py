"""What gates leave in a ledger in memory: results, rows, rules, signatures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sluice.adapters.postgres.rules import kept_rows, storable_json
from sluice.model.gates import GateResult, GateRow, GateRule, Signature
from sluice.model.generation import Generation
from sluice.model.run import Run
from sluice.testing.state import MemoryState


class MemoryGates:
    """The part of `sluice.ports.ledger.Ledger` that is about gates."""

    state: MemoryState
    _fence: Callable[[Run], None]

    def record_gates(
        self, run: Run, batch: int, stage: str, results: Sequence[GateResult], rows: Sequence[GateRow] = ()
    ) -> None:
        with self.state.lock:
            self._fence(run)
            kept = tuple(replace(each, observed=storable_json(each.observed)) for each in results)
            self.state.runs[run.run_id].gates[batch, stage] = kept
            self.state.runs[run.run_id].gate_rows[batch, stage] = kept_rows(rows)

    def gates(self, run: Run, batch: int) -> list[GateResult]:
        with self.state.lock:
            recorded = sorted(self.state.runs[run.run_id].gates.items())
            return [each for (number, _), results in recorded if number == batch for each in results]

    def gate_rows(self, run: Run, batch: int) -> list[GateRow]:
        with self.state.lock:
            recorded = sorted(self.state.runs[run.run_id].gate_rows.items())
            return [each for (number, _), rows in recorded if number == batch for each in rows]

    def gate_rules(self, generation: Generation) -> dict[tuple[str, str], GateRule]:
        with self.state.lock:
            return dict(self.state.gate_rules.get(generation.collection_id, {}))

    def set_gate_rule(self, generation: Generation, suite: str, code: str, rule: GateRule | None) -> bool:
        with self.state.lock:
            rules = self.state.gate_rules.setdefault(generation.collection_id, {})
            had = rules.pop((suite, code), None) is not None
            if rule is not None:
                rules[suite, code] = rule
            return had

    def similar(self, run: Run, bands: Sequence[int], limit: int) -> list[Signature]:
        wanted = set(bands)
        with self.state.lock:
            found = [
                each
                for run_id, each in self.state.signatures.values()
                if wanted & set(each.bands)
                and (run_id == run.run_id or self.state.active(each.document_id, run.source.generation))
            ]
            return found[:limit]

    def remember_signatures(self, run: Run, signatures: Sequence[Signature]) -> None:
        with self.state.lock:
            self._fence(run)
            for each in signatures:
                document = self.state.documents.get(each.document_id)
                if document and document.deleted_at is None:
                    self.state.signatures[each.document_id] = (run.run_id, each)
