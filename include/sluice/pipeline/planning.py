"""Plans the work of a run: from a scan of its source, or from the bytes that quarantine retains."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.errors import NotFound, Terminal
from sluice.model.generation import Profile
from sluice.model.run import Run
from sluice.model.scan import ScanResult, WorkItem
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.recording import WHOLE_RUN, failing, graph_of, recorded
from sluice.pipeline.removed_documents import FEW, remove_missing
from sluice.pipeline.requests import IngestRequest, canonical_spec
from sluice.pipeline.scanning import listed
from sluice.ports.readers import IncrementalReader
from sluice.ports.tools import Tools


@dataclass(frozen=True, slots=True)
class Plan:
    """A run with the documents that need work."""

    run: Run
    items: list[WorkItem]


def save(tools: Tools, spec: SourceSpec) -> Source:
    """Saves the given settings of a source; creates the source, its collection and its tenant where they are new.
    Raises BadRequest where the source may not be read."""
    spec = canonical_spec(spec)
    saved = tools.ledger.sources.spec(spec.tenant, spec.collection, spec.uri)
    tools.reader(spec.over(saved))  # raises where the source is not allowed, before anything is saved
    return tools.ledger.sources.save(spec, profile_of(tools, spec.collection), tools.filter_fields)


def hidden_by(tools: Tools, spec: SourceSpec) -> int:
    """Counts the documents that these groups and this retention would hide at once from somebody who may read them."""
    return tools.ledger.deletions.hidden_by(canonical_spec(spec))


def plan(tools: Tools, request: IngestRequest) -> Plan:
    """Opens a run in the ledger and plans its work. Raises Busy where another run works on the source, and the errors
    of `_scan` and `_replay`."""
    return _scan(tools, request) if request.replay is None else _replay(tools, request)


def _scan(tools: Tools, request: IngestRequest) -> Plan:
    """Compares a complete scan of the source with the ledger. Does not access vectors or graph.

    Settings of the request are saved in the same transaction as the comparison: a run that is rejected, or fails
    before, changes nothing. Where `max_documents` leaves work for the next run, no document counts as vanished: it may
    have been renamed. Raises Terminal where the source shrank by more than `tools.max_shrink`.
    """
    spec = canonical_spec(request.spec)
    budget = tools.budget.limited(request.max_tokens, request.max_cost)  # raises before anything is saved
    source = _opened(tools, spec)
    run = tools.ledger.runs.start(source, request.mode, request.run_id, request.orchestrator, budget)

    def accept(result: ScanResult) -> None:
        refusal = shrink_rejection(spec.uri, result.seen, result.known, len(result.vanished), tools.max_shrink)
        if refusal and not request.approve_shrink:
            raise Terminal(refusal)

    with failing(tools, run):
        with recorded(tools, run, WHOLE_RUN, "scan") as counts:
            graph_of(tools, source.generation)  # raises where the graph is off, before anything is written
            reader = tools.reader(spec.over(source.spec), tools.ledger.scans.last_cursor(source))
            result = tools.ledger.scans.record(run, listed(tools, source.spec, reader), spec, accept)
            if isinstance(reader, IncrementalReader) and (cursor := reader.mark()):
                tools.ledger.scans.record_cursor(run, cursor)
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
    """Plans a replay of one source's quarantine: all documents, or those of the request. The source is not read, no
    document counts as vanished, and saved settings stay. Raises NotFound where the source does not exist."""
    spec = canonical_spec(request.spec)
    place = SourceSpec(spec.uri, spec.collection, spec.tenant)
    if tools.ledger.sources.spec(place.tenant, place.collection, place.uri) is None:
        raise NotFound(f"{place.uri} is not a source of collection {place.collection}. Nothing was changed.")
    source = tools.ledger.sources.open(place, profile_of(tools, place.collection), tools.filter_fields)
    budget = tools.budget.limited(request.max_tokens, request.max_cost)
    run = tools.ledger.runs.start(source, "replay", request.run_id, request.orchestrator, budget)
    with failing(tools, run), recorded(tools, run, WHOLE_RUN, "replay") as counts:
        graph_of(tools, source.generation)  # raises where the graph is off
        items = tools.ledger.quarantine.refused(run, request.replay or None)
        counts |= {"seen": len(items), "planned": len(items)}
    return Plan(run, items)


def _opened(tools: Tools, spec: SourceSpec) -> Source:
    """Opens the source in the ledger.

    A saved source that cannot be read any more (its folder is gone) gets a failed run in the ledger, so that its last
    run shows the failure. For a source that is not saved, the reader is tried first: a failure then writes nothing."""
    if tools.ledger.sources.spec(spec.tenant, spec.collection, spec.uri) is None:
        tools.reader(spec)
    return tools.ledger.sources.open(spec, profile_of(tools, spec.collection), tools.filter_fields)


def shrink_rejection(uri: str, seen: int, known: int, vanished: int, max_shrink: float) -> str | None:
    """Returns why a scan with so many missing documents is rejected; None where it is accepted.

    A renamed document is not missing, because a new one appeared in its place."""
    missing = vanished - (seen - (known - vanished))
    if not seen and vanished:
        return (
            f"{uri} is empty now, and {vanished} documents of it are served. The cause may be an unmounted folder, or "
            "globs that exclude everything, so nothing was removed. To delete these documents, run once with "
            "--approve-shrink (in Airflow: approve_shrink)."
        )
    if missing >= FEW and missing > max_shrink * known:
        return (
            f"{uri} lists {missing} documents fewer than the {known} that were known. At most {max_shrink:.0%} "
            "(SLUICE_MAX_SHRINK) may vanish without approval. Nothing was changed. To delete these documents, run once "
            "with --approve-shrink (in Airflow: approve_shrink)."
        )
    return None


def profile_of(tools: Tools, collection: str) -> Profile:
    """Returns the collection's own profile, or the one for a new collection.

    Only the latter may call an embedder's endpoint."""
    existing = (each.profile for each in tools.ledger.collections.generations() if each.collection == collection)
    return next(existing, None) or tools.profile()
