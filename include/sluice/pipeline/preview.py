"""Dry run: reports what a run would do and what it would cost, and writes nothing.

A scan reads names, sizes and fingerprints, not contents. A renamed file therefore counts once as new and once as
vanished, unless the source itself reports renames. Tokens are estimated from bytes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from sluice.encryption import new_key
from sluice.errors import BadRequest, NotFound
from sluice.indexing.stores import Stores
from sluice.model.costs import Budget
from sluice.model.names import check_collection_name
from sluice.model.run import Mode
from sluice.model.scan import ScanPreview
from sluice.model.sizes import size_in_words
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.planning import shrink_rejection
from sluice.pipeline.requests import IngestRequest, canonical_spec
from sluice.pipeline.saved_sources import SavedSources
from sluice.pipeline.scanning import Listing
from sluice.ports.content import Keyring
from sluice.ports.deletions import Deletions
from sluice.ports.scans import Scans

# In English prose one token of the usual embedders has four to five characters. Files that are not plain text contain
# less text than bytes, so the estimate is too high for them.
BYTES_PER_TOKEN = 4
_TO_EMBED = ("new", "changed", "moved")
_RENAMES = "  A renamed document counts as new and as vanished here. A run recognises the rename and keeps the id."


@dataclass(frozen=True, slots=True)
class PreviewedDocuments:
    seen: int  # listed by the source
    new: int
    changed: int
    moved: int
    quarantined: int  # unchanged since they were quarantined
    unchanged: int
    deleted: int  # would vanish


@dataclass(frozen=True, slots=True)
class Estimate:
    """What would be read, and the upper limit of embedding costs: no passage is assumed to be in the cache."""

    documents: int
    bytes: int  # as the source lists them
    tokens: int
    money: float | None  # US dollars; None: no price is set
    max_tokens: int | None  # the budget of a run; None: without a limit


@dataclass(frozen=True, slots=True)
class Preview:
    """The result of a dry run. Its JSON has the keys of a run's summary where they apply; `run_id` is null."""

    source: str  # its URI
    collection: str
    tenant: str
    mode: Mode
    saved: bool  # whether the source is known to the ledger
    documents: PreviewedDocuments
    hidden: int  # documents that are readable now and would become unreadable at once; the caller approves that
    refusals: list[str]  # why the run would be rejected; empty where it would be accepted
    estimate: Estimate

    def to_json(self) -> dict[str, Any]:
        """Returns the preview as JSON values, with `dry_run` true and no run id."""
        return {"dry_run": True, "run_id": None, **asdict(self)}

    def lines(self) -> list[str]:
        """Returns the preview as lines of text for users."""
        documents, estimate = self.documents, self.estimate
        named = "" if self.saved else " It is not saved yet: a run would save it."
        return [
            f"Dry run of {self.source} into {self.collection}: nothing was written.{named}",
            f"{documents.seen} documents seen: {documents.new} new, {documents.changed} changed, "
            f"{documents.unchanged} unchanged, {documents.moved} moved, "
            f"{documents.quarantined} in quarantine and unchanged; {documents.deleted} would vanish",
            *([_RENAMES] if documents.new and documents.deleted else []),
            f"To be read: {estimate.documents} documents, {size_in_words(estimate.bytes)}",
            _cost_line(estimate),
            *_consequences(self),
        ]


@dataclass(frozen=True, slots=True)
class DryRun:
    """Compares a scan of a source with the ledger, and writes nothing."""

    scans: Scans
    deletions: Deletions
    keyring: Keyring
    saved_sources: SavedSources
    listing: Listing
    stores: Stores
    budget: Budget
    max_shrink: float

    def preview(self, request: IngestRequest) -> Preview:
        """Compares a complete scan with the ledger, and writes nothing: no source, run, key, document or artefact.

        Ignores `max_documents` and `batch_size`. Raises the same errors as a run: BadRequest, also for a replay, and
        those of the source's reader.
        """
        if request.replay is not None:
            raise BadRequest(
                "A dry run scans a source, but a replay does not. Nothing was changed. Leave out dry_run or replay; "
                "`sluice quarantine list` shows the documents that a replay would process."
            )
        check_collection_name(request.spec.collection)
        spec, mode = canonical_spec(request.spec), request.mode
        budget = self.budget.limited(request.max_tokens, request.max_cost)
        source = self._saved(spec)
        if source is not None:
            self.stores.graph_of(source.generation)  # raises where the graph is off
        effective = spec.over(source.spec if source else None)
        reader = self.saved_sources.reader(effective, self.scans.last_cursor(source) if source else None, dry=True)
        # A tenant without an index key has no fingerprints to compare with, so any key can be used.
        index_key = self.keyring.known_index_key(spec.tenant) or new_key()
        scan = self.scans.preview(source, self.listing.entries(effective, reader, index_key))
        rejection = shrink_rejection(spec.uri, scan.seen, scan.known, scan.vanished, self.max_shrink)
        tokens = sum(scan.size_bytes.get(kind, 0) for kind in _TO_EMBED) // BYTES_PER_TOKEN
        read = (*_TO_EMBED, "unchanged", "quarantined") if mode == "full" else _TO_EMBED
        return Preview(
            source=spec.uri,
            collection=spec.collection,
            tenant=spec.tenant,
            mode=mode,
            saved=source is not None,
            documents=_documents(scan),
            hidden=self.deletions.hidden_by(spec),
            refusals=[rejection] if rejection and not request.approve_shrink else [],
            estimate=Estimate(
                documents=sum(scan.documents.get(kind, 0) for kind in read),
                bytes=sum(scan.size_bytes.get(kind, 0) for kind in read),
                tokens=tokens,
                money=budget.money(tokens),
                max_tokens=budget.max_tokens,
            ),
        )

    def _saved(self, spec: SourceSpec) -> Source | None:
        with suppress(NotFound):
            return self.saved_sources.sources.at(spec.tenant, spec.collection, spec.uri)
        return None


# --- details ------------------------------------------------------------------------------------------------


def _documents(scan: ScanPreview) -> PreviewedDocuments:
    counts = {kind: scan.documents.get(kind, 0) for kind in ("new", "changed", "moved", "quarantined")}
    unchanged = scan.documents.get("unchanged", 0) + scan.documents.get("gone", 0)
    return PreviewedDocuments(seen=scan.seen, unchanged=unchanged, deleted=scan.vanished, **counts)


def _cost_line(estimate: Estimate) -> str:
    money = "" if estimate.money is None else f", {estimate.money:.6f} US dollars"
    budget = "" if estimate.max_tokens is None else f"; the budget of a run is {estimate.max_tokens} tokens"
    return (
        f"Embedding: about {estimate.tokens} tokens at most{money} (an estimate from bytes, {BYTES_PER_TOKEN} a "
        f"token; passages in the cache cost nothing){budget}"
    )


def _consequences(report: Preview) -> list[str]:
    lines = [f"The run would be rejected: {rejection}" for rejection in report.refusals]
    if report.hidden:
        lines.append(
            f"{report.hidden} documents that are readable now would become unreadable, for everyone or for some: "
            "that needs --yes (in Airflow: approve_hiding)."
        )
    return lines
