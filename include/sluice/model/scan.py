"""What a scan sees of a source, and what it means to the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

MEMBER = "!/"  # in an external id, between a container and the name of its member


@dataclass(frozen=True, slots=True)
class ListingEntry:
    """One document as listed by its source, not yet read. Equal fingerprints mean: unchanged, do not read."""

    external_id: str
    uri: str
    fingerprint: str
    size_bytes: int
    # Where the source can hand over a position instead of a name (a line in a JSONL file): bytes from the start.
    offset: int = 0
    former: str | None = None  # external id before, where the source itself says that it was renamed
    # The fingerprint as the source gave it, where `fingerprint` is its keyed hash: by it the reader finds the document.
    # It may be a hash of the content, so that it is kept nowhere but sealed under the document's key.
    locator: str = ""
    # Of a container that could not be opened: whether it may still hold a member of a former scan, by the member's
    # external id (`<external_id>!/…`). None: every member is listed.
    holds: Callable[[str], bool] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class WorkItem:
    """An entry that needs work, with the id that the ledger assigned and what is active now."""

    document_id: UUID
    entry: ListingEntry
    new: bool
    active_hash: bytes | None = None  # keyed hash of the raw bytes of the active version; None: work on it anyway
    moved: bool = False  # known under another name before
    gone: bool = False  # deleted by hand or purged, with `active_hash`: it stays gone while its content is the same


@dataclass(frozen=True, slots=True)
class ScanResult:
    seen: int
    unchanged: int
    quarantined: int  # unchanged since it was quarantined
    items: list[WorkItem]
    vanished: list[UUID]  # in the ledger, not in this complete scan: gone, or moved
    known: int = 0  # living documents of the source before this scan, but for members of what could not be opened


@dataclass(frozen=True, slots=True)
class ScanPreview:
    """What a run would find of a complete scan, by kind of document: `new` (never served), `changed`, `moved` (its
    source says that it was renamed), `unchanged`, `quarantined` (unchanged since), `gone` (purged or deleted by hand,
    and to stay so). Kinds without a document are absent."""

    documents: Mapping[str, int]
    size_bytes: Mapping[str, int]  # of these, as the source lists them
    vanished: int
    known: int  # as in ScanResult

    @property
    def seen(self) -> int:
        return sum(self.documents.values())
