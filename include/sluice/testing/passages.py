"""A passage's past, from the rows of a ledger in memory. There are no lineage events here, so no datasets."""

from __future__ import annotations

from uuid import UUID

from sluice.model.gates import GateResult, GateTotal
from sluice.model.passage import PassageLineage, VersionStep
from sluice.testing.state import DocumentRow, MemoryState, RunRow, VersionRow

# stage, suite, expectation, column, blocking, code, action
Key = tuple[str, str, str, str | None, bool, str | None, str | None]


def lineage(state: MemoryState, document: DocumentRow, version: VersionRow, chunk_id: UUID) -> PassageLineage:
    run, made = state.runs[version.run_id], version.generation
    [ordinal] = [chunk.ordinal for chunk in version.sealed.chunks if chunk.chunk_id == chunk_id]
    embedded = [stat.counts for (_, stage), stat in run.stages.items() if stage == "embed"]
    return PassageLineage(
        chunk_id=chunk_id,
        document_id=document.document_id,
        external_id=document.external_id,
        uri=document.uri,
        source_uri=document.source.spec.uri,
        collection=made.collection,
        first_seen_at=document.first_seen_at,
        expires_at=document.expires_at,
        version=version.number or 0,
        generation=made.number,
        physical=made.physical,
        profile=made.profile,
        run_id=run.run_id,
        orchestrator=run.orchestrator,
        run_state=run.state,
        started_at=run.started_at,
        finished_at=run.finished_at,
        history=_history(state, document),
        gates=gate_totals(run),
        ordinal=ordinal,
        rows=tuple(
            row
            for _, rows in sorted(run.gate_rows.items())
            for row in rows
            if row.document_id == document.document_id and row.ordinal in (None, ordinal)
        ),
        computed=sum(counts.get("computed", 0) for counts in embedded),
        cached=sum(counts.get("cached", 0) for counts in embedded),
    )


def _history(state: MemoryState, document: DocumentRow) -> tuple[VersionStep, ...]:
    steps = [
        VersionStep(each.number, each.generation.number, each.state, each.run_id, each.activated_at)
        for each in state.versions.get(document.document_id, {}).values()
        if each.number is not None and each.activated_at is not None
    ]
    return tuple(sorted(steps, key=lambda step: (step.activated_at, step.generation, step.number)))


def gate_totals(run: RunRow) -> tuple[GateTotal, ...]:
    groups: dict[Key, list[tuple[int, GateResult]]] = {}
    for (_, stage), results in run.gates.items():
        for position, gate in enumerate(results):
            observed = gate.observed if isinstance(gate.observed, dict) else {}
            named = observed.get("code"), observed.get("action")
            key = (stage, gate.suite, gate.expectation, gate.column, gate.blocking, *named)
            groups.setdefault(key, []).append((position, gate))
    ordered = sorted(groups, key=lambda key: (key[0], key[1], min(position for position, _ in groups[key])))
    return tuple(_total(key, [gate for _, gate in groups[key]]) for key in ordered)


def _total(key: Key, gates: list[GateResult]) -> GateTotal:
    return GateTotal(
        *key[:5],
        code=key[5],
        action=key[6],
        success=all(gate.success for gate in gates),
        evaluated=sum(gate.evaluated for gate in gates),
        unexpected=sum(gate.unexpected for gate in gates),
    )
