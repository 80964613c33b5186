"""What a source lists, compared with what the ledger knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from sluice.model.run import Run
from sluice.model.scan import ListingEntry, ScanPreview, ScanResult
from sluice.model.source import Source, SourceSpec


class Scans(Protocol):
    def record(
        self,
        run: Run,
        entries: Iterable[ListingEntry],
        settings: SourceSpec | None = None,
        accept: Callable[[ScanResult], object] = lambda result: None,
    ) -> ScanResult:
        """Compare a *complete* scan with the ledger (streamed; memory only for what changed). New entries get
        document ids, committed before this returns; one that its source calls renamed (`former`) keeps its id.
        Unchanged: same fingerprint as when last active or quarantined (mode full: none is), or when purged as long as
        its retention has passed (in every mode). Raises Terminal on a duplicate external_id, naming it.

        `settings`: groups, globs and retention that replace what is saved of the source (None keeps it), in the same
        transaction. `accept(result)` is called before it is committed: where it raises, nothing at all is changed."""

    def preview(self, source: Source | None, entries: Iterable[ListingEntry]) -> ScanPreview:
        """What `record` would find of a complete scan. Changes nothing and waits for nobody. None: a source that
        is not saved. A rename that only the content tells, and what a new retention would bring back, are not seen.
        Raises Terminal as `record`."""

    def record_mark(self, run: Run, mark: str) -> None:
        """What names the state that the run's scan listed; see `IncrementalReader`."""

    def last_mark(self, source: Source) -> str | None:
        """That of the last run that succeeded; None where none did or its source has no such name."""
