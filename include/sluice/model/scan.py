"""Listing entries of a scan, and the result of their comparison with the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sluice.errors import Terminal
from sluice.model.text import is_storable

MEMBER = "!/"  # in an external id, between a container and the name of its member


@dataclass(frozen=True, slots=True)
class ListingEntry:
    """One document as listed by its source, not yet read. With an equal fingerprint it is unchanged and is not read."""

    external_id: str
    uri: str
    fingerprint: str
    size_bytes: int
    # Position in bytes from the start, where documents are found by position (lines of a JSONL file).
    offset: int = 0
    previous_name: str | None = None  # previous external id, where the source itself reports a rename
    # The fingerprint as the source gave it, where `fingerprint` is its keyed hash. The reader finds the document by it.
    # It may be a hash of the content, so it is stored only encrypted under the document's key.
    locator: str = ""
    # For a container that could not be opened: returns whether it may still contain a member of an earlier scan, by the
    # member's external id (`<external_id>!/…`). None: every member is listed.
    holds: Callable[[str], bool] | None = field(default=None, compare=False, repr=False)

    def check(self) -> None:
        """Raises Terminal if the entry cannot be stored unchanged: every later scan would compare it wrongly."""
        for name, value in (("external id", self.external_id), ("uri", self.uri), ("fingerprint", self.fingerprint)):
            if not value or not is_storable(value) or not is_storable(self.locator):
                raise Terminal(
                    f"The source listed an entry whose {name} is {value!r}: empty, or with NUL or undecodable "
                    "characters. Nothing was changed; the source's reader has to escape such names."
                )


@dataclass(frozen=True, slots=True)
class WorkItem:
    """An entry that needs work, with the id that the ledger assigned and what is active now."""

    document_id: UUID
    entry: ListingEntry
    new: bool
    active_hash: bytes | None = None  # keyed hash of the raw bytes of the active version; None: process it always
    renamed: bool = False  # as its source reports, or by a match with a missing document
    deleted: bool = False  # manually, or purged; with `active_hash` it stays deleted while its content is the same


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The result of a complete scan. The counts are of documents."""

    seen: int
    unchanged: int
    quarantined: int  # unchanged since it was quarantined
    items: list[WorkItem]
    vanished: list[UUID]  # in the ledger, not in this complete scan: deleted or renamed
    known: int = 0  # documents of the source before this scan, without members of containers that cannot be opened


@dataclass(frozen=True, slots=True)
class ScanPreview:
    """Counts of a complete scan by kind of document: `new` (never served), `changed`, `moved` (its source reports a
    rename), `unchanged`, `quarantined` (unchanged since), `gone` (purged or deleted manually, and to stay so). Kinds
    without a document are absent."""

    documents: Mapping[str, int]
    size_bytes: Mapping[str, int]  # of these, as the source lists them
    vanished: int
    known: int  # as in ScanResult

    @property
    def seen(self) -> int:
        return sum(self.documents.values())


def is_held(external_id: str, containers: Mapping[str, Callable[[str], bool]]) -> bool:
    """Returns whether the document may still be in one of `containers` that could not be opened. `containers`:
    external id → `ListingEntry.holds`."""
    parts = external_id.split(MEMBER)
    names = (MEMBER.join(parts[:count]) for count in range(1, len(parts)))
    return any(name in containers and containers[name](external_id) for name in names)


def paired(candidates: Iterable[tuple[float, str, str, UUID, UUID]]) -> dict[UUID, UUID]:
    """Returns placeholder → document, one to one, the highest scores first. `candidates`: (score, new name, previous
    name, placeholder, document). Among equal scores the same file name wins, then the order of names, so that a
    repetition gives the same pairs."""

    def rank(match: tuple[float, str, str, UUID, UUID]) -> tuple[float, bool, str, str]:
        score, name, previous, _, _ = match
        return -score, name.rsplit("/", 1)[-1] != previous.rsplit("/", 1)[-1], name, previous

    pairs: dict[UUID, UUID] = {}
    taken: set[UUID] = set()
    for *_, placeholder_id, document_id in sorted(candidates, key=rank):
        if placeholder_id not in pairs and document_id not in taken:
            pairs[placeholder_id] = document_id
            taken.add(document_id)
    return pairs
