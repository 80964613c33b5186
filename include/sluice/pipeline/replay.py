"""Quarantined documents once more, from the bytes that are kept: a run of its own, whatever the source does now."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sluice.errors import NotFound
from sluice.model.source import SourceSpec
from sluice.pipeline.recording import WHOLE_RUN, failing, graph_of, recorded
from sluice.pipeline.stages import Plan, profile_of
from sluice.ports.tools import Tools
from sluice.sources.roots import canonical


def plan_replay(
    tools: Tools,
    spec: SourceSpec,
    document_ids: Sequence[UUID] | None,
    *,
    run_id: UUID,
    orchestrator: str,
    max_tokens: int | None = None,
    max_cost: float | None = None,
) -> Plan:
    """A run over what quarantine keeps of one source: all, or these documents. The source is not looked at, nothing
    counts as vanished, and what is saved of it stays. `max_tokens`, `max_cost`: see `scan`.

    Raises NotFound where there is no such source, Busy where another run works on it.
    """
    place = SourceSpec(canonical(spec.uri), spec.collection, spec.tenant)
    if tools.ledger.sources.spec(place.tenant, place.collection, place.uri) is None:
        raise NotFound(f"{place.uri} is no source of collection {place.collection}. Nothing was changed.")
    source = tools.ledger.sources.open(place, profile_of(tools, place.collection), tools.filter_fields)
    run = tools.ledger.runs.start(source, "replay", run_id, orchestrator, tools.budget.limited(max_tokens, max_cost))
    with failing(tools, run), recorded(tools, run, WHOLE_RUN, "replay") as counts:
        graph_of(tools, source.generation)  # refuses a graph that is off
        items = tools.ledger.quarantine.refused(run, document_ids)
        counts |= {"seen": len(items), "planned": len(items)}
    return Plan(run, items)
