"""Rows of the lists of collections and documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sluice.model.generation import Generation, Profile
from sluice.model.weights import DEFAULT, Weights


@dataclass(frozen=True, slots=True)
class Live:
    """What a principal may search in a collection, as the ledger says at `read_at` (the ledger's clock).

    `epoch` differs from that of another read if a search may return something else since then: it changes in the
    transactions that change documents, versions, access, retention or weights. Time alone does not change it, hence
    `next_expiry`.
    """

    generation: Generation  # the live one
    sources: tuple[UUID, ...]  # those with something that the principal may read
    epoch: str
    read_at: datetime
    next_expiry: datetime | None  # of any document of these sources, after `read_at`; None: none expires
    weights: Weights = DEFAULT  # of the tenant's searches


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    name: str
    generation: int
    profile: Profile
    documents: int
    chunks: int
    quarantined: int
    languages: Mapping[str, int] = field(default_factory=dict)  # documents by ISO 639-3 code, where it is known


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    document_id: UUID
    external_id: str
    uri: str
    collection: str
    version: int | None  # None: never active (quarantined)
    generation: int | None
    run_id: UUID | None
    mime: str | None
    size_bytes: int | None
    chunks: int
    first_seen_at: datetime
    activated_at: datetime | None
    expires_at: datetime | None
    quarantine: str | None  # reason; None: not in quarantine
    sealed_title: bytes | None
