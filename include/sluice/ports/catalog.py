"""The reading side of the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.catalog import CollectionInfo, DocumentInfo
from sluice.model.gates import RunGates
from sluice.model.generation import Generation
from sluice.model.grants import Principal
from sluice.model.passage import PassageLineage
from sluice.model.quarantine import QuarantineRecord
from sluice.model.search import Hydrated
from sluice.model.source import SavedSource


class Catalog(Protocol):
    """The reading side of the ledger. Tenant, groups, version, deletion and expiry are decided here."""

    def live(self, collection: str, principal: Principal) -> tuple[Generation, tuple[UUID, ...]]:
        """The live generation and the ids of the sources that this principal may read.
        Raises NotFound where the tenant has no such collection."""

    def hydrate(self, generation: Generation, chunk_ids: Sequence[UUID], principal: Principal) -> list[Hydrated]:
        """In the order given; what may not be read now is left out."""

    def collections(self, principal: Principal) -> list[CollectionInfo]:
        """Those with a source that this principal may read. Documents, chunks and open quarantine records are counted
        as far as they are the principal's to read now."""

    def sources(self, principal: Principal, collection: str | None = None) -> list[SavedSource]:
        """Those of the tenant whose documents this principal may read; by collection and uri."""

    def documents(
        self, principal: Principal, collection: str, limit: int, after: UUID | None = None
    ) -> list[DocumentInfo]: ...

    def document(self, principal: Principal, document_id: UUID) -> DocumentInfo:
        """Raises NotFound, also where it is another tenant's."""

    def lineage(self, principal: Principal, chunk_id: UUID) -> PassageLineage:
        """Of a chunk that is served now. Raises NotFound, also where this principal may not read it."""

    def refusals(
        self,
        principal: Principal,
        collection: str | None = None,
        code: str | None = None,
        *,
        run_id: UUID | None = None,
        limit: int,
        after: UUID | None = None,
    ) -> list[QuarantineRecord]:
        """Open quarantine records of documents that this principal may read now, by document id; `after`: the last id
        of the page before."""

    def refusal(self, principal: Principal, document_id: UUID) -> QuarantineRecord:
        """The open record of one document, with what its gate found. Raises NotFound, also where this principal may
        not read the document."""

    def run_gates(self, principal: Principal, run_id: UUID, *, limit: int, offset: int = 0) -> RunGates:
        """Raises NotFound, also where this principal may not read the run's source. Failing rows in the order of
        batches and stages."""

    def ping(self) -> str:
        """The server's version. Raises Unavailable."""
