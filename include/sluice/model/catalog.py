"""Rows of the lists of collections and documents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sluice.model.generation import Profile


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    name: str
    generation: int
    profile: Profile
    documents: int
    chunks: int
    quarantined: int


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
