"""What a run would do, and about what it would cost, told without doing any of it: nothing is written anywhere.

A scan reads names, sizes and fingerprints, not contents. So a file that was renamed counts as new, and the one that
it was as vanished, unless the source itself tells of renames; and tokens are an estimate from bytes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from sluice.encryption import new_key
from sluice.errors import NotFound
from sluice.model.names import check_collection_name
from sluice.model.run import Mode
from sluice.model.scan import ScanPreview
from sluice.model.sizes import size_in_words
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.planning import hidden_by, shrink_refusal
from sluice.pipeline.recording import graph_of
from sluice.pipeline.requests import IngestRequest
from sluice.pipeline.scanning import listed
from sluice.ports.tools import Tools

# Of English prose a token of the usual embedders is four to five characters. Files that are not plain text hold less
# text than bytes, so that the estimate is high for them.
BYTES_PER_TOKEN = 4
_TO_EMBED = ("new", "changed", "moved")


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
    """What would be read, and what embedding would take at most, were each passage new: the cache costs nothing."""

    documents: int
    bytes: int  # as the source lists them
    tokens: int
    money: float | None  # US dollars; None: no price is set
    max_tokens: int | None  # the budget of a run; None: without a limit


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do. Its JSON has the keys of a run's summary where they have a meaning; `run_id` is null."""

    source: str  # its URI
    collection: str
    tenant: str
    mode: Mode
    saved: bool  # whether the source is known to the ledger
    documents: PreviewedDocuments
    hidden: int  # documents that are readable now and would become unreadable at once; the caller approves that
    refusals: list[str]  # why the run would be refused; empty where it would not
    estimate: Estimate

    def to_json(self) -> dict[str, Any]:
        return {"dry_run": True, "run_id": None, **asdict(self)}

    def lines(self) -> list[str]:
        documents, estimate = self.documents, self.estimate
        named = "" if self.saved else " It is not saved yet: a run would save it."
        return [
            f"Dry run of {self.source} into {self.collection}: nothing was written.{named}",
            f"{documents.seen} documents seen: {documents.new} new, {documents.changed} changed, "
            f"{documents.unchanged} unchanged, {documents.moved} moved, "
            f"{documents.quarantined} in quarantine and unchanged; {documents.deleted} would vanish",
            *_renames(documents),
            f"To be read: {estimate.documents} documents, {size_in_words(estimate.bytes)}",
            _cost_line(estimate),
            *_consequences(self),
        ]


def preview(tools: Tools, request: IngestRequest) -> Preview:
    """Compare a complete scan with the ledger, and write nothing: no source, run, key, document or artefact.

    Raises BadRequest and what the source's reader raises, as a run would.
    """
    check_collection_name(request.spec.collection)
    spec, mode = request.canonical_spec, request.mode
    budget = tools.budget.limited(request.max_tokens, request.max_cost)
    source = _saved(tools, spec)
    if source is not None:
        graph_of(tools, source.generation)  # refuses a graph that is off
    wanted = spec.over(source.spec if source else None)
    reader = tools.reader(wanted, tools.ledger.scans.last_mark(source) if source else None, dry=True)
    # Without a key of the tenant's there are no fingerprints to compare with: any key will do.
    index_key = tools.keyring.known_index_key(spec.tenant) or new_key()
    found = tools.ledger.scans.preview(source, listed(tools, wanted, reader, index_key))
    refusal = shrink_refusal(spec.uri, found.seen, found.known, found.vanished, tools.max_shrink)
    tokens = sum(found.size_bytes.get(kind, 0) for kind in _TO_EMBED) // BYTES_PER_TOKEN
    read = (*_TO_EMBED, "unchanged", "quarantined") if mode == "full" else _TO_EMBED
    return Preview(
        source=spec.uri,
        collection=spec.collection,
        tenant=spec.tenant,
        mode=mode,
        saved=source is not None,
        documents=_documents(found),
        hidden=hidden_by(tools, spec),
        refusals=[refusal] if refusal and not request.approve_shrink else [],
        estimate=Estimate(
            documents=sum(found.documents.get(kind, 0) for kind in read),
            bytes=sum(found.size_bytes.get(kind, 0) for kind in read),
            tokens=tokens,
            money=budget.money(tokens),
            max_tokens=budget.max_tokens,
        ),
    )


# --- details ------------------------------------------------------------------------------------------------


def _saved(tools: Tools, spec: SourceSpec) -> Source | None:
    with suppress(NotFound):
        return tools.ledger.sources.at(spec.tenant, spec.collection, spec.uri)
    return None


def _documents(found: ScanPreview) -> PreviewedDocuments:
    counts = {kind: found.documents.get(kind, 0) for kind in ("new", "changed", "moved", "quarantined")}
    unchanged = found.documents.get("unchanged", 0) + found.documents.get("gone", 0)
    return PreviewedDocuments(seen=found.seen, unchanged=unchanged, deleted=found.vanished, **counts)


def _renames(documents: PreviewedDocuments) -> list[str]:
    if not (documents.new and documents.deleted):
        return []
    return ["  A document that was renamed counts as new and as vanished here: a run reads it and keeps it."]


def _cost_line(estimate: Estimate) -> str:
    money = "" if estimate.money is None else f", {estimate.money:.6f} US dollars"
    budget = "" if estimate.max_tokens is None else f"; the budget of a run is {estimate.max_tokens} tokens"
    return (
        f"Embedding: about {estimate.tokens} tokens at most{money} (an estimate from bytes, {BYTES_PER_TOKEN} a "
        f"token; passages that are known cost nothing){budget}"
    )


def _consequences(report: Preview) -> list[str]:
    lines = [f"It would be refused: {refusal}" for refusal in report.refusals]
    if report.hidden:
        lines.append(
            f"{report.hidden} documents that are readable now would become unreadable, for everyone or for some: "
            "that needs --yes (in Airflow: approve_hiding)."
        )
    return lines
