"""What is deleted by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DeletionKind = Literal["document", "source", "collection", "grant"]


@dataclass(frozen=True, slots=True)
class Deletion:
    """A record of a deletion that is done. Outlives what it is about."""

    kind: DeletionKind
    name: str  # id of the document, URI of the source, name of the collection or of the user
    actor: str  # who asked for it
    tenant: str | None = None  # None: several
    collection: str | None = None  # None: a grant
    documents: int = 0
    chunks: int = 0
