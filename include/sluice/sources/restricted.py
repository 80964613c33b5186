"""Hides documents of a source that rules reserve for other tenants or groups: they are neither listed nor read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sluice.model.document import FetchedDocument
from sluice.model.reasons import unreadable
from sluice.model.scan import ListingEntry, WorkItem
from sluice.ports.readers import SourceReader


class Restricted:
    """SourceReader of the documents that `admits` allows, by URI (see `sluice.access.source_rules`)."""

    def __init__(self, reader: SourceReader, admits: Callable[[str], bool]) -> None:
        self._reader = reader
        self._admits = admits

    def scan(self) -> Iterator[ListingEntry]:
        """Lists the admitted documents. Raises as the reader's own scan."""
        return (entry for entry in self._reader.scan() if self._admits(entry.uri))

    def read(self, item: WorkItem) -> FetchedDocument:
        """Raises ExtractionError (outside_root) for a document that a newer rule forbids."""
        if not self._admits(item.entry.uri):
            raise unreadable("outside_root")
        return self._reader.read(item)
