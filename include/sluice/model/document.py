"""Documents between the stages: FetchedDocument → Document → Chunk → EmbeddedChunk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sluice.model.scan import WorkItem


@dataclass(frozen=True, slots=True)
class FetchedDocument:
    """The bytes of one document as its source returned them."""

    item: WorkItem
    content: bytes
    mime: str | None = None  # as the source declares it; None: not declared
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """Extracted text of one document. Offsets everywhere count characters of `text`."""

    item: WorkItem
    mime: str
    title: str
    text: str
    raw_hash: bytes
    metadata: Mapping[str, Any] = field(default_factory=dict)
    page_starts: tuple[int, ...] = ()  # page p (from 1) begins at page_starts[p - 1]
    language: str | None = None  # ISO 639-3; None: not detected, or not with confidence

    @property
    def document_id(self) -> UUID:
        return self.item.document_id
