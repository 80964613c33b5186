"""What a run would do, and about what it would cost, told without doing any of it: nothing is written anywhere.

A scan reads names, sizes and fingerprints, not contents. So a file that was renamed counts as new, and the one that
it was as vanished, unless the source itself tells of renames; and tokens are an estimate from bytes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from sluice.encryption import new_key
from sluice.errors import NotFound
from sluice.model.names import check_collection_name
from sluice.model.run import Mode
from sluice.model.scan import ScanPreview
from sluice.model.sizes import size_in_words
from sluice.model.source import Source, SourceSpec
from sluice.pipeline.recording import graph_of
from sluice.pipeline.scanning import listed
from sluice.pipeline.stages import hidden_by, shrink_refusal
from sluice.ports.tools import Tools
from sluice.sources.roots import canonical

# Of English prose a token of the usual embedders is four to five characters. Files that are not plain text hold less
# text than bytes, so that the estimate is high for them.
BYTES_PER_TOKEN = 4
_TO_EMBED = ("new", "changed", "moved")


def preview(
    tools: Tools,
    spec: SourceSpec,
    mode: Mode = "incremental",
    *,
    approve_shrink: bool = False,
    max_tokens: int | None = None,
    max_cost: float | None = None,
) -> dict[str, Any]:
    """Compare a complete scan with the ledger, and write nothing: no source, run, key, document or artefact.

    Returns the keys of a run's summary where they have a meaning (`documents`, with `deleted` for what would vanish;
    `run_id` is null) and:

    - `saved`: whether the source is known to the ledger.
    - `hidden`: documents that are readable now and would become unreadable at once, by new groups or a new retention.
    - `refusals`: why the run would be refused; empty where it would not. Hiding is for the caller to approve.
    - `estimate`: `documents` and `bytes` that would be read, `tokens` and `money` (US dollars; null: no price is set)
      that embedding would take at most, were each passage new: what is in the cache costs nothing.

    Raises BadRequest and what the source's reader raises, as a run would.
    """
    check_collection_name(spec.collection)
    spec = replace(spec, uri=canonical(spec.uri))
    budget = tools.budget.limited(max_tokens, max_cost)
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
    return {
        "dry_run": True,
        "run_id": None,
        "source": spec.uri,
        "collection": spec.collection,
        "tenant": spec.tenant,
        "mode": mode,
        "saved": source is not None,
        "documents": _documents(found),
        "hidden": hidden_by(tools, spec),
        "refusals": [refusal] if refusal and not approve_shrink else [],
        "estimate": {
            "documents": sum(found.documents.get(kind, 0) for kind in read),
            "bytes": sum(found.size_bytes.get(kind, 0) for kind in read),
            "tokens": tokens,
            "money": budget.money(tokens),
            "max_tokens": budget.max_tokens,
        },
    }


def preview_lines(report: dict[str, Any]) -> list[str]:
    """The same in words."""
    documents, estimate = report["documents"], report["estimate"]
    kinds = ("new", "changed", "unchanged", "moved")
    named = "" if report["saved"] else " It is not saved yet: a run would save it."
    return [
        f"Dry run of {report['source']} into {report['collection']}: nothing was written.{named}",
        f"{documents['seen']} documents seen: "
        + ", ".join(f"{documents[kind]} {kind}" for kind in kinds)
        + f", {documents['quarantined']} in quarantine and unchanged; {documents['deleted']} would vanish",
        *_renames(documents),
        f"To be read: {estimate['documents']} documents, {size_in_words(estimate['bytes'])}",
        _cost_line(estimate),
        *_consequences(report),
    ]


# --- details ------------------------------------------------------------------------------------------------


def _saved(tools: Tools, spec: SourceSpec) -> Source | None:
    with suppress(NotFound):
        return tools.ledger.sources.at(spec.tenant, spec.collection, spec.uri)
    return None


def _documents(found: ScanPreview) -> dict[str, int]:
    counts = {kind: found.documents.get(kind, 0) for kind in ("new", "changed", "moved", "quarantined")}
    unchanged = found.documents.get("unchanged", 0) + found.documents.get("gone", 0)
    return {"seen": found.seen, **counts, "unchanged": unchanged, "deleted": found.vanished}


def _renames(documents: dict[str, int]) -> list[str]:
    if not (documents["new"] and documents["deleted"]):
        return []
    return ["  A document that was renamed counts as new and as vanished here: a run reads it and keeps it."]


def _cost_line(estimate: dict[str, Any]) -> str:
    money = "" if estimate["money"] is None else f", {estimate['money']:.6f} US dollars"
    budget = "" if estimate["max_tokens"] is None else f"; the budget of a run is {estimate['max_tokens']} tokens"
    return (
        f"Embedding: about {estimate['tokens']} tokens at most{money} (an estimate from bytes, {BYTES_PER_TOKEN} a "
        f"token; passages that are known cost nothing){budget}"
    )


def _consequences(report: dict[str, Any]) -> list[str]:
    lines = [f"It would be refused: {refusal}" for refusal in report["refusals"]]
    if report["hidden"]:
        lines.append(
            f"{report['hidden']} documents that are readable now would become unreadable, for everyone or for some: "
            "that needs --yes (in Airflow: approve_hiding)."
        )
    return lines
