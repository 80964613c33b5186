"""Plans the work of a run: from a scan of its source, or from the bytes that quarantine retains."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.errors import NotFound, Terminal
from sluice.indexing.stores import Stores
from sluice.model.costs import Budget
from sluice.model.run import Run
from sluice.model.scan import ScanResult, WorkItem
from sluice.model.source import SourceSpec
from sluice.pipeline.recording import WHOLE_RUN, Recorder
from sluice.pipeline.requests import IngestRequest, canonical_spec
from sluice.pipeline.saved_sources import SavedSources
from sluice.pipeline.scanning import Listing
from sluice.pipeline.vanished_documents import FEW, VanishedDocuments
from sluice.ports.content import Keyring
from sluice.ports.quarantine import QuarantineRecords
from sluice.ports.readers import IncrementalReader
from sluice.ports.runs import Runs
from sluice.ports.scans import Scans


@dataclass(frozen=True, slots=True)
class Plan:
    """A run with the documents that need work."""

    run: Run
    items: list[WorkItem]


@dataclass(frozen=True, slots=True)
class Planning:
    """Opens runs and plans their work."""

    runs: Runs
    scans: Scans
    records: QuarantineRecords
    keyring: Keyring
    saved_sources: SavedSources
    listing: Listing
    stores: Stores
    recorder: Recorder
    vanished_documents: VanishedDocuments
    budget: Budget  # of a run without one of its own
    max_shrink: float  # share of a source's documents that may be missing without approval

    def plan(self, request: IngestRequest) -> Plan:
        """Opens a run in the ledger and plans its work. Raises Busy where another run works on the source, and the
        errors of `_scan` and `_replay`."""
        return self._scan(request) if request.replay is None else self._replay(request)

    def _scan(self, request: IngestRequest) -> Plan:
        """Compares a complete scan of the source with the ledger. Does not access vectors or graph.

        Settings of the request are saved in the same transaction as the comparison: a run that is rejected, or fails
        before, changes nothing. Where `max_documents` leaves work for the next run, no document counts as vanished: it
        may have been renamed. Raises Terminal where the source shrank by more than `self.max_shrink`.
        """
        spec = canonical_spec(request.spec)
        budget = self.budget.limited(request.max_tokens, request.max_cost)  # raises before anything is saved
        source = self.saved_sources.open(spec)
        run = self.runs.start(source, request.mode, request.run_id, request.orchestrator, budget)

        def accept(result: ScanResult) -> None:
            rejection = shrink_rejection(spec.uri, result.seen, result.known, len(result.vanished), self.max_shrink)
            if rejection and not request.approve_shrink:
                raise Terminal(rejection)

        with self.recorder.failing(run):
            with self.recorder.recorded(run, WHOLE_RUN, "scan") as counts:
                self.stores.graph_of(source.generation)  # raises where the graph is off, before anything is written
                reader = self.saved_sources.reader(spec.over(source.spec), self.scans.last_cursor(source))
                result = self.scans.record(run, self.listing.entries(source.spec, reader), spec, accept)
                if isinstance(reader, IncrementalReader) and (cursor := reader.cursor()):
                    self.scans.record_cursor(run, cursor)
                items = result.items[: request.max_documents]
                self.keyring.create([item.document_id for item in items])
                counts |= {
                    "seen": result.seen,
                    "unchanged": result.unchanged,
                    "planned": len(items),
                    "unplanned": len(result.items) - len(items),
                    "appeared": sum(item.new for item in items),
                    "known": result.known,
                    "approved": int(request.approve_shrink),
                }
            self.vanished_documents.remove_missing(run)
            return Plan(self.runs.get(run.run_id), items)

    def _replay(self, request: IngestRequest) -> Plan:
        """Plans a replay of one source's quarantine: all documents, or those of the request. The source is not read, no
        document counts as vanished, and saved settings stay. Raises NotFound where the source does not exist."""
        spec = canonical_spec(request.spec)
        place = SourceSpec(spec.uri, spec.collection, spec.tenant)
        if self.saved_sources.sources.spec(place.tenant, place.collection, place.uri) is None:
            raise NotFound(f"{place.uri} is not a source of collection {place.collection}. Nothing was changed.")
        source = self.saved_sources.open(place)
        budget = self.budget.limited(request.max_tokens, request.max_cost)
        run = self.runs.start(source, "replay", request.run_id, request.orchestrator, budget)
        with self.recorder.failing(run), self.recorder.recorded(run, WHOLE_RUN, "replay") as counts:
            self.stores.graph_of(source.generation)  # raises where the graph is off
            items = self.records.items(run, request.replay or None)
            counts |= {"seen": len(items), "planned": len(items)}
        return Plan(run, items)


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
