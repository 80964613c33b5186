"""Passages: decrypts the chunks that the ledger lets the caller read now."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sluice.encryption import Cipher, ciphers
from sluice.model.filters import Condition, holds
from sluice.model.generation import Generation
from sluice.model.grants import Principal
from sluice.model.metadata import readable as readable_metadata
from sluice.model.passage import Passage
from sluice.model.search import Candidate, Hydrated
from sluice.model.text import encodable
from sluice.ports.catalog import Catalog
from sluice.ports.content import Keyring

log = logging.getLogger(__name__)

_PLACE = ("chunk_id", "document_id", "start", "end", "page", "version", "generation", "run_id")


@dataclass(frozen=True, slots=True)
class Passages:
    """Reads passages of one generation for one caller. What a row was decrypted to is remembered, so that a search may
    read it again."""

    catalog: Catalog
    keyring: Keyring
    generation: Generation
    principal: Principal
    _known: dict[UUID, tuple[Hydrated, Passage]] = field(default_factory=dict, repr=False)

    def read(self, candidates: Sequence[Candidate], conditions: Sequence[Condition]) -> Iterator[Passage]:
        """Yields the passages, in the order of the candidates, that the caller may read now, that can be decrypted, and
        for which the conditions hold. All come from one state of the ledger; each is decrypted when it is taken.
        Raises Unavailable when the first is taken, if the ledger or the keys do not answer."""
        by_id = {candidate.chunk_id: candidate for candidate in candidates}
        hydrated = self.catalog.hydrate(self.generation, list(by_id), self.principal)
        keys = self.keyring.get(list(dict.fromkeys(row.document_id for row in hydrated)))
        own = ciphers(self.principal.tenant, keys)
        for row in hydrated:
            cipher = own.get(row.document_id)  # no key: erased since it was hydrated
            passage = self._passage(row, cipher, by_id[row.chunk_id]) if cipher else None
            if passage and all(
                holds(each, {"mime": row.mime, **passage.metadata}.get(each.field)) for each in conditions
            ):
                yield passage

    def _passage(self, row: Hydrated, cipher: Cipher, candidate: Candidate) -> Passage | None:
        before, known = self._known.get(row.chunk_id, (None, None))
        if known is not None and before == row:
            return replace(known, score=candidate.score, scores=candidate.scores, path=candidate.path)
        passage = _opened(row, cipher, candidate)
        if passage is not None:
            self._known[row.chunk_id] = row, passage
        return passage


def _opened(row: Hydrated, cipher: Cipher, candidate: Candidate) -> Passage | None:
    try:
        text = cipher.decrypt_text("chunk", row.sealed_text, row.chunk_id)
        title = cipher.decrypt_text("title", row.sealed_title)
        headings = cipher.decrypt_json("headings", row.sealed_headings, row.chunk_id)
        headings = tuple(_sent(str(heading)) for heading in headings)
        metadata = readable_metadata(cipher.decrypt_json("metadata", row.sealed_metadata))
    except Exception:
        # One damaged row must not fail every search that finds it; the reconciliation reports it too.
        log.exception("Passage %s of document %s cannot be decrypted; left out", row.chunk_id, row.document_id)
        return None
    return Passage(
        **{name: getattr(row, name) for name in _PLACE},
        external_id=_sent(row.external_id),
        title=_sent(title),
        text=_sent(text),
        score=candidate.score,
        uri=_sent(row.uri),
        headings=headings,
        metadata=metadata,
        scores=candidate.scores,
        path=candidate.path,
    )


def _sent(text: str) -> str:
    return encodable(text, "\ufffd")
