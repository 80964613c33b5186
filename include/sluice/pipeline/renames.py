"""Documents that changed their name: what a scan missed and what is new, matched by content, else by likeness.

What the source itself calls renamed is settled in the scan. A document that is found keeps its id and history, and goes
on through the stages under it: its title may come from its name, so even the same bytes are worked on again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sluice.encryption import ciphers
from sluice.model.document import Document, FetchedDocument
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.ports.tools import Tools

SIMILAR = 0.5  # Dice of the two texts' lines, weighted by length; git calls a rename what shares half
_MOST_MISSED = 2000  # where more vanished at once, only equal content tells a move


def same_content(
    tools: Tools, run: Run, raws: Sequence[FetchedDocument], hashes: Mapping[UUID, bytes]
) -> list[FetchedDocument]:
    """`hashes`: document id → keyed hash of its content. Those that moved come back under their former id."""
    new = {raw.item.document_id: hashes[raw.item.document_id] for raw in raws if raw.item.new}
    became = tools.ledger.moves.adopt_same(run, new)
    gone = tools.ledger.deletions.gone(list(became.values()))
    return [replace(raw, item=_same(raw.item, became, gone, hashes)) for raw in raws]


def similar_text(tools: Tools, run: Run, documents: Sequence[Document]) -> list[Document]:
    """The same for texts that were edited on the way."""
    new = [document for document in documents if document.item.new]
    if not new:
        return list(documents)
    became = tools.ledger.moves.adopt_similar(run, {each.document_id: {} for each in new})
    left = [each for each in new if each.document_id not in became]
    missed = tools.ledger.moves.missed(run, _MOST_MISSED + 1) if left else []
    if 0 < len(missed) <= _MOST_MISSED:
        became |= tools.ledger.moves.adopt_similar(run, _scores(tools, run, left, missed))
    return [replace(each, item=_known(each.item, became)) for each in documents]


def _scores(
    tools: Tools, run: Run, new: Sequence[Document], missed: Sequence[tuple[UUID, bytes]]
) -> dict[UUID, dict[UUID, float]]:
    """New document → missed document → how similar, from SIMILAR on."""
    appeared = {document.document_id: _lines(document.text) for document in new}
    scores: dict[UUID, dict[UUID, float]] = {document_id: {} for document_id in appeared}
    keys = tools.keyring.get([document_id for document_id, _ in missed])
    readable = ciphers(run.source.spec.tenant, keys)
    for document_id, sealed in missed:
        if (cipher := readable.get(document_id)) is None:  # erased
            continue
        lines = _lines(cipher.decrypt_text("text", sealed))
        for appeared_id, others in appeared.items():
            if (score := _dice(others, lines)) >= SIMILAR:
                scores[appeared_id][document_id] = score
    return scores


def _lines(text: str) -> Counter[str]:
    return Counter(line for line in map(str.strip, text.splitlines()) if line)


def _dice(one: Counter[str], other: Counter[str]) -> float:
    """Characters in common lines, of all characters. Lengths alone may rule it out, without a comparison."""
    sizes = _chars(one), _chars(other)
    if not all(sizes) or 2 * min(sizes) / sum(sizes) < SIMILAR:
        return 0.0
    return 2 * sum(len(line) * min(times, other[line]) for line, times in one.items() if line in other) / sum(sizes)


def _chars(lines: Counter[str]) -> int:
    return sum(len(line) * times for line, times in lines.items())


def _same(item: WorkItem, became: Mapping[UUID, UUID], gone: set[UUID], hashes: Mapping[UUID, bytes]) -> WorkItem:
    """A new name alone does not bring back what was purged or deleted by hand."""
    known = _known(item, became)
    return replace(known, active_hash=hashes[item.document_id], gone=True) if known.document_id in gone else known


def _known(item: WorkItem, became: Mapping[UUID, UUID]) -> WorkItem:
    if item.document_id not in became:
        return item
    return replace(item, document_id=became[item.document_id], new=False, moved=True, active_hash=None)
