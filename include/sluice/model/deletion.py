"""Records of manual deletions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DeletionKind = Literal["document", "source", "collection", "grant"]


@dataclass(frozen=True, slots=True)
class Deletion:
    """The record of a completed deletion. It outlives the deleted object."""

    kind: DeletionKind
    name: str  # id of the document, URI of the source, name of the collection or of the user
    actor: str  # who requested it
    tenant: str | None = None  # None: several tenants
    collection: str | None = None  # None for a grant
    documents: int = 0
    chunks: int = 0
