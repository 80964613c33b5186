"""Comparison of a source's listing with the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from sluice.model.run import Run
from sluice.model.scan import ListingEntry, ScanPreview, ScanResult
from sluice.model.source import Source, SourceSpec


class Scans(Protocol):
    """Complete scans of sources, compared with the documents in the ledger."""

    def record(
        self,
        run: Run,
        entries: Iterable[ListingEntry],
        settings: SourceSpec | None = None,
        accept: Callable[[ScanResult], object] = lambda result: None,
    ) -> ScanResult:
        """Compares a *complete* scan with the ledger. Entries are streamed; only changes are in memory. New entries
        get document ids, committed before this returns. An entry that its source reports as renamed
        (`previous_name`) keeps its id. An entry is unchanged where its fingerprint is the same as when it
        was last active or quarantined (in mode full none is), or as when it was purged, while its retention
        has passed (in every mode). Raises Terminal with the name of a duplicate external_id.

        `settings`: groups, globs and retention that replace the saved ones in the same transaction; None keeps a
        value. `accept(result)` is called before the commit; where it raises, nothing is changed."""

    def preview(self, source: Source | None, entries: Iterable[ListingEntry]) -> ScanPreview:
        """Counts what `record` would find in a complete scan. Changes nothing and waits for no lock. `source` None: it
        is not saved. Does not detect renames that need the content, or documents that a new retention would restore.
        Raises Terminal as `record`."""

    def record_cursor(self, run: Run, cursor: str) -> None:
        """Stores the cursor of the state that the run's scan listed; see `IncrementalReader`."""

    def last_cursor(self, source: Source) -> str | None:
        """Returns the cursor of the last successful run; None where there is none."""
