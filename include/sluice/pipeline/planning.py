"""The work of a run: a scan of its source, or what quarantine retains of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sluice.errors import NotFound, Terminal
from sluice.model.generation import Profile
from sluice.model.run import Run
from sluice.model.scan import ScanResult, WorkItem
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.recording import (
    WHOLE_RUN,
    failing,
    graph_of,
    recorded,
)
from sluice.pipeline.removed_documents import FEW, remove_missing
from sluice.pipeline.requests import IngestRequest
from sluice.pipeline.scanning import listed
from sluice.ports.readers import IncrementalReader
from sluice.ports.tools import Tools
from sluice.sources.uri import canonical


@dataclass(frozen=True, slots=True)
class Plan:
    """A run with the documents that need work."""

    run: Run
    items: list[WorkItem]


def save(tools: Tools, spec: SourceSpec) -> Source:
    """Save what is given of a source; make the source, its collection and its tenant where they are new. Raises
    BadRequest where it may not be read."""
    spec = replace(spec, uri=canonical(spec.uri))
    saved = tools.ledger.sources.spec(spec.tenant, spec.collection, spec.uri)
    tools.reader(spec.over(saved))  # refuses what is not allowed, before anything is saved
    return tools.ledger.sources.save(spec, profile_of(tools, spec.collection), tools.filter_fields)


def hidden_by(tools: Tools, spec: SourceSpec) -> int:
    """Documents that a run with these groups and this retention would hide at once from somebody who may read them."""
    return tools.ledger.deletions.hidden_by(replace(spec, uri=canonical(spec.uri)))


def plan(tools: Tools, request: IngestRequest) -> Plan:
    """The work of a run, which is open in the ledger from here on. Raises Busy where another run works on the source,
    and as `_scan` and `_replay`."""
    return _scan(tools, request) if request.replay is None else _replay(tools, request)


def _scan(tools: Tools, request: IngestRequest) -> Plan:
    """Compare a complete scan of the source with the ledger. What the request sets of a saved source is written
    together with the comparison: a run that is refused, or fails before, changes nothing. Neither store is asked.

    Where `max_documents` leaves work for the next run, nothing counts as vanished: it may turn out to have moved.
    Raises Terminal where the source shrank by more than `tools.max_shrink`.
    """
    spec = request.canonical_spec
    budget = tools.budget.limited(request.max_tokens, request.max_cost)  # refuses before anything is saved
    source = _opened(tools, spec)
    run = tools.ledger.runs.start(source, request.mode, request.run_id, request.orchestrator, budget)

    def accept(result: ScanResult) -> None:
        refusal = shrink_refusal(spec.uri, result.seen, result.known, len(result.vanished), tools.max_shrink)
        if refusal and not request.approve_shrink:
            raise Terminal(refusal)

    with failing(tools, run):
        with recorded(tools, run, WHOLE_RUN, "scan") as counts:
            graph_of(tools, source.generation)  # refuses a graph that is off before anything is written
            reader = tools.reader(spec.over(source.spec), tools.ledger.scans.last_mark(source))
            result = tools.ledger.scans.record(run, listed(tools, source.spec, reader), spec, accept)
            if isinstance(reader, IncrementalReader) and (mark := reader.mark()):
                tools.ledger.scans.record_mark(run, mark)
            items = result.items[: request.max_documents]
            tools.keyring.create([item.document_id for item in items])
            counts |= {
                "seen": result.seen,
                "unchanged": result.unchanged,
                "planned": len(items),
                "unplanned": len(result.items) - len(items),
                "appeared": sum(item.new for item in items),
                "known": result.known,
                "approved": int(request.approve_shrink),
            }
        remove_missing(tools, run)
        return Plan(tools.ledger.runs.get(run.run_id), items)


def _replay(tools: Tools, request: IngestRequest) -> Plan:
    """What quarantine retains of one source: all, or the documents of the request. The source is not read, nothing
    counts as vanished, and what is saved of it stays. Raises NotFound where there is no such source."""
    spec = request.canonical_spec
    place = SourceSpec(spec.uri, spec.collection, spec.tenant)
    if tools.ledger.sources.spec(place.tenant, place.collection, place.uri) is None:
        raise NotFound(f"{place.uri} is no source of collection {place.collection}. Nothing was changed.")
    source = tools.ledger.sources.open(place, profile_of(tools, place.collection), tools.filter_fields)
    budget = tools.budget.limited(request.max_tokens, request.max_cost)
    run = tools.ledger.runs.start(source, "replay", request.run_id, request.orchestrator, budget)
    with failing(tools, run), recorded(tools, run, WHOLE_RUN, "replay") as counts:
        graph_of(tools, source.generation)  # refuses a graph that is off
        items = tools.ledger.quarantine.refused(run, request.replay or None)
        counts |= {"seen": len(items), "planned": len(items)}
    return Plan(run, items)


def _opened(tools: Tools, spec: SourceSpec) -> Source:
    """A saved source that cannot be read any more (its folder is gone) gets a failed run in the ledger: whoever asks
    when it ran last must see it. One that is not saved leaves nothing behind."""
    if tools.ledger.sources.spec(spec.tenant, spec.collection, spec.uri) is None:
        tools.reader(spec)
    return tools.ledger.sources.open(spec, profile_of(tools, spec.collection), tools.filter_fields)


def shrink_refusal(uri: str, seen: int, known: int, vanished: int, max_shrink: float) -> str | None:
    """Why a scan is refused of which so much is missing; None: it is not. What only moved is not missing: as much
    appeared."""
    missing = vanished - (seen - (known - vanished))
    if not seen and vanished:
        return (
            f"{uri} is empty now, and {vanished} documents of it are served. An unmounted folder looks "
            "like this, and so do globs that leave all out, so nothing was removed. If they are meant to go, run once "
            "with --approve-shrink (in Airflow: approve_shrink)."
        )
    if missing >= FEW and missing > max_shrink * known:
        return (
            f"{uri} lists {missing} documents fewer than the {known} that were known, more than the share of "
            f"{max_shrink:.0%} (SLUICE_MAX_SHRINK) that may vanish unasked. Nothing was changed. If they are meant to "
            "go, run once with --approve-shrink (in Airflow: approve_shrink)."
        )
    return None


def profile_of(tools: Tools, collection: str) -> Profile:
    """A collection's own, or what a new one is made with: an embedder behind an endpoint is asked for that alone."""
    made = (each.profile for each in tools.ledger.collections.generations() if each.collection == collection)
    return next(made, None) or tools.profile()
