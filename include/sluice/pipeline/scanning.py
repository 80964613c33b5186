"""Passes the listing of any kind of source to the ledger: with a limit, and with keyed fingerprints.

A fingerprint may be a plain hash of a document's content. It outlives the document (a purged document stays deleted
until its fingerprint changes), and could confirm a guess about erased content. So only its keyed hash leaves this
module. The plain value, which the reader needs to find the document again, is part of the work item but is never stored
in the ledger's tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sluice.encryption import keyed_fingerprint
from sluice.errors import BadRequest
from sluice.model.document import FetchedDocument
from sluice.model.scan import ListingEntry, WorkItem
from sluice.model.source import SourceSpec
from sluice.ports.content import Keyring
from sluice.ports.readers import SourceReader


@dataclass(frozen=True, slots=True)
class Listing:
    """The listing of any kind of source, with keyed fingerprints."""

    keyring: Keyring
    max_documents: int  # that one source may list

    def entries(self, spec: SourceSpec, reader: SourceReader, index_key: bytes | None = None) -> Iterator[ListingEntry]:
        """Yields the entries of a source with keyed fingerprints. `index_key`: used instead of the tenant's.

        Raises BadRequest where the source lists more than `self.max_documents`, and the reader's errors."""
        index_key = index_key or self.keyring.index_key(spec.tenant)
        for number, entry in enumerate(reader.scan()):
            if number >= self.max_documents:
                raise BadRequest(
                    f"{spec.uri} lists more than {self.max_documents:,} documents (SLUICE_MAX_SOURCE_DOCUMENTS). "
                    "Nothing was changed. Split it into several sources, exclude documents by globs, or raise the "
                    "limit."
                )
            # The ledger rejects an entry without a fingerprint.
            keyed = keyed_fingerprint(index_key, entry.fingerprint) if entry.fingerprint else ""
            yield replace(entry, fingerprint=keyed, locator=entry.fingerprint)


def reads(reader: SourceReader) -> Callable[[WorkItem], FetchedDocument]:
    """Returns `reader.read` for items whose entries came from `Listing.entries`."""

    def read(item: WorkItem) -> FetchedDocument:
        entry = item.entry
        if not entry.locator:  # of a run that an older release started
            return reader.read(item)
        plain = replace(entry, fingerprint=entry.locator, locator="")
        return replace(reader.read(replace(item, entry=plain)), item=item)

    return read
