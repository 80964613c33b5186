"""Matches renamed documents: documents missing from a scan with new ones, by equal content, else by similarity.

Renames that the source itself reports are applied in the scan. A renamed document keeps its id and history. It passes
through the stages again even with the same bytes, because its title may come from its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sluice.encryption import ciphers
from sluice.model.document import Document, FetchedDocument
from sluice.model.run import Run
from sluice.model.scan import WorkItem
from sluice.ports.content import Keyring
from sluice.ports.deletions import Deletions
from sluice.ports.renames import Renames

SIMILAR = 0.5  # Dice coefficient of the two texts' lines, weighted by length; git, too, detects renames from 50 % on
_MOST_MISSED = 2000  # where more vanished at once, renames are matched by equal content only


@dataclass(frozen=True, slots=True)
class RenameMatching:
    """Matches new documents with documents that are missing from the scan."""

    renames: Renames
    deletions: Deletions
    keyring: Keyring

    def same_content(
        self, run: Run, fetched: Sequence[FetchedDocument], hashes: Mapping[UUID, bytes]
    ) -> list[FetchedDocument]:
        """Matches new documents with missing ones of equal content. Returns `fetched`, renamed ones with their previous
        id.

        `hashes`: document id → keyed hash of its content."""
        new = {raw.item.document_id: hashes[raw.item.document_id] for raw in fetched if raw.item.new}
        previous_ids = self.renames.match_same_content(run, new)
        deleted = self.deletions.deleted(list(previous_ids.values()))
        return [replace(raw, item=_same(raw.item, previous_ids, deleted, hashes)) for raw in fetched]

    def similar_text(self, run: Run, documents: Sequence[Document]) -> list[Document]:
        """Does the same for documents that were renamed and edited, by similarity of their texts."""
        new = [document for document in documents if document.item.new]
        if not new:
            return list(documents)
        # Without scores: returns the matches of an earlier attempt of this run.
        previous_ids = self.renames.match_similar(run, {each.document_id: {} for each in new})
        unmatched = [each for each in new if each.document_id not in previous_ids]
        missed = self.renames.missed(run, _MOST_MISSED + 1) if unmatched else []
        if 0 < len(missed) <= _MOST_MISSED:
            previous_ids |= self.renames.match_similar(run, self._scores(run, unmatched, missed))
        return [replace(each, item=_known(each.item, previous_ids)) for each in documents]

    def _scores(
        self, run: Run, new: Sequence[Document], missed: Sequence[tuple[UUID, bytes]]
    ) -> dict[UUID, dict[UUID, float]]:
        """Returns new document → missing document → similarity, where it is at least SIMILAR."""
        appeared = {document.document_id: _lines(document.text) for document in new}
        scores: dict[UUID, dict[UUID, float]] = {document_id: {} for document_id in appeared}
        keys = self.keyring.get([document_id for document_id, _ in missed])
        readable = ciphers(run.source.spec.tenant, keys)
        for document_id, encrypted in missed:
            if (cipher := readable.get(document_id)) is None:  # erased
                continue
            lines = _lines(cipher.decrypt_text("text", encrypted))
            for appeared_id, others in appeared.items():
                if (score := _dice(others, lines)) >= SIMILAR:
                    scores[appeared_id][document_id] = score
        return scores


def _lines(text: str) -> Counter[str]:
    return Counter(line for line in map(str.strip, text.splitlines()) if line)


def _dice(one: Counter[str], other: Counter[str]) -> float:
    """Returns the share of characters in common lines; 0 where the lengths alone rule out `SIMILAR`."""
    sizes = _chars(one), _chars(other)
    if not all(sizes) or 2 * min(sizes) / sum(sizes) < SIMILAR:
        return 0.0
    return 2 * sum(len(line) * min(times, other[line]) for line, times in one.items() if line in other) / sum(sizes)


def _chars(lines: Counter[str]) -> int:
    return sum(len(line) * times for line, times in lines.items())


def _same(
    item: WorkItem, previous_ids: Mapping[UUID, UUID], deleted: set[UUID], hashes: Mapping[UUID, bytes]
) -> WorkItem:
    """Sets the previous id. A purged or manually deleted document stays deleted: a new name does not restore it."""
    known = _known(item, previous_ids)
    return replace(known, active_hash=hashes[item.document_id], deleted=True) if known.document_id in deleted else known


def _known(item: WorkItem, previous_ids: Mapping[UUID, UUID]) -> WorkItem:
    if item.document_id not in previous_ids:
        return item
    return replace(item, document_id=previous_ids[item.document_id], new=False, renamed=True, active_hash=None)
