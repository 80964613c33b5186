"""Adds the terms of chunks that older releases loaded, from their encrypted text."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sluice.maintenance.rebuilding import Rebuilder
from sluice.model.generation import Generation
from sluice.ports.full_text import FullText
from sluice.ports.reconciliation import Reconciliation


@dataclass(frozen=True, slots=True)
class TermsReport:
    """Chunks without terms in the ledger's full text before the repair, and how many were added."""

    lacking: int = 0
    added: int = 0


def compare_terms(
    full_text: FullText,
    reconciliation: Reconciliation,
    generation: Generation,
    rebuilder: Rebuilder,
    *,
    repair: bool,
    page_chunks: int,
) -> TermsReport:
    """Counts the chunks without terms, and adds them with `repair`, page by page: after an interruption the next repair
    goes on with the rest. Costs nothing once the generation is complete."""
    if full_text.is_complete(generation):
        return TermsReport()
    lacking = added = 0
    unreadable: list[UUID] = []
    after: UUID | None = None
    while page := full_text.lacking(generation, after, page_chunks):
        after = page[-1]
        lacking += len(page)
        if repair:
            terms = rebuilder.terms(reconciliation.chunks_of(generation, page))
            added += full_text.add(generation, terms)
            unreadable += [each for each in page if each not in terms]
    if repair:
        full_text.set_complete(generation, unreadable)
    return TermsReport(lacking, added)
