"""Read access to the ledger for principals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from sluice.model.catalog import CollectionInfo, DocumentInfo, Live
from sluice.model.gates import RunGates
from sluice.model.generation import Generation
from sluice.model.grants import Principal
from sluice.model.passage import PassageLineage
from sluice.model.quarantine import QuarantineRecord
from sluice.model.search import Hydrated, Neighbour
from sluice.model.source import SavedSource


class Catalog(Protocol):
    """Read access to the ledger. Checks tenant, groups, version, deletion and expiry."""

    def live(self, collection: str, principal: Principal) -> Live:
        """Returns the live generation, the ids of the sources that this principal may read, and the epoch. The epoch
        is not newer than the rest. Raises NotFound where the tenant has no such collection."""

    def hydrate(self, generation: Generation, chunk_ids: Sequence[UUID], principal: Principal) -> list[Hydrated]:
        """Returns chunks in the order given, without those that the principal may not read now."""

    def neighbours(
        self, generation: Generation, chunk_ids: Sequence[UUID], count: int, principal: Principal
    ) -> list[Neighbour]:
        """Returns up to `count` chunks on each side of each chunk, in its active version, by chunk and distance;
        nothing of chunks that the principal may not read now."""

    def collections(self, principal: Principal) -> list[CollectionInfo]:
        """Returns the collections with a source that this principal may read. Counts only documents, chunks and open
        quarantine records that the principal may read now."""

    def sources(self, principal: Principal, collection: str | None = None) -> list[SavedSource]:
        """Returns the tenant's sources whose documents this principal may read, by collection and uri."""

    def documents(
        self, principal: Principal, collection: str, limit: int, after: UUID | None = None
    ) -> list[DocumentInfo]:
        """Returns a page of the collection's documents that this principal may read now, with or without an active
        version, in the order in which they were first seen. `after`: the last id of the previous page. Raises NotFound
        where the principal may read none of its sources."""

    def document(self, principal: Principal, document_id: UUID) -> DocumentInfo:
        """Returns a document, with or without an active version. Raises NotFound, also where the principal may not
        read it."""

    def lineage(self, principal: Principal, chunk_id: UUID) -> PassageLineage:
        """Returns the lineage of a served chunk. Raises NotFound, also where this principal may not read it."""

    def quarantine_records(
        self,
        principal: Principal,
        collection: str | None = None,
        code: str | None = None,
        *,
        run_id: UUID | None = None,
        limit: int,
        after: UUID | None = None,
    ) -> list[QuarantineRecord]:
        """Returns open quarantine records of documents that this principal may read now, by document id; `after`: the
        last id of the previous page."""

    def quarantine_record(self, principal: Principal, document_id: UUID) -> QuarantineRecord:
        """Returns the open quarantine record of one document with its gate rows. Raises NotFound, also where this
        principal may not read the document."""

    def run_gates(self, principal: Principal, run_id: UUID, *, limit: int, offset: int = 0) -> RunGates:
        """Returns a run's gate results, with failed rows in the order of batches and stages. Raises NotFound, also
        where this principal may not read the run's source."""

    def ping(self) -> str:
        """Returns the server's version. Raises Unavailable."""
