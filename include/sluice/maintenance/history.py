"""Deletes history that is no longer needed, by kind and age, so that the ledger does not grow without limit.

Nothing that is served or searchable is deleted. Rows that a cleared task may still need are kept: no kind is deleted
before the artefacts of its runs. Each batch is one transaction; after an error, run the pruning again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

from sluice.model.retention import KeepDays, Prunable
from sluice.ports.content import Keyring
from sluice.ports.pruning import Pruning
from sluice.ports.retention import RetentionRules

BATCH = 1000
_COUNTED = 100_000  # keys are counted up to this number


@dataclass(slots=True)
class PrunedKind:
    """Counts of one kind that is past its retention, in rows, keys or folders."""

    keep_days: int
    found: int
    removed: int = 0


@dataclass(slots=True)
class PruningReport:
    """The result of a pruning, by kind of history."""

    apply: bool  # false: only counted
    kinds: dict[str, PrunedKind] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class HistoryPruning:
    """Deletes history that is past its retention."""

    pruning: Pruning
    retention: RetentionRules
    keyring: Keyring
    keep_days: KeepDays
    artefacts_keep_days: int
    git_cache: Path | None  # mirrors of remote repositories

    def prune(
        self, *, apply: bool = False, on_batch: Callable[[str, int], object] = lambda kind, removed: None
    ) -> PruningReport:
        """Counts what is past its retention and, with `apply`, deletes it.

        Vectors that became unused are marked also in a dry run, so that their days count from then on.
        `on_batch(kind, removed)` is called after every batch."""
        report = PruningReport(apply)
        self.pruning.mark_unused()
        now = self.retention.clock()
        for kind in get_args(Prunable):
            days = self._days("runs" if kind == "reconciliations" else kind)
            before = now - timedelta(days=days)
            pruned = report.kinds[kind] = PrunedKind(days, self.pruning.prunable(kind, before))
            while apply and (removed := self.pruning.prune(kind, before, BATCH)):
                pruned.removed += removed
                on_batch(kind, pruned.removed)
        report.kinds["keys"] = self._prune_keys(now, apply)
        report.kinds["mirrors"] = self._prune_mirrors(now, apply)
        return report

    def _days(self, kind: str) -> int:
        days: int = getattr(self.keep_days, kind)
        return max(days, self.artefacts_keep_days)

    def _prune_keys(self, now: datetime, apply: bool) -> PrunedKind:
        """Destroys keys of deleted documents. The rows pruned before may free more keys than a dry run counts."""
        days = self._days("keys")
        before = now - timedelta(days=days)
        pruned = PrunedKind(days, len(self.pruning.keyed(before, _COUNTED)))

        def destroy(ids: Sequence[UUID]) -> None:
            pruned.removed += self.keyring.destroy(ids)

        while apply and self.pruning.destroy_keys(before, BATCH, destroy):
            pass
        return pruned

    def _prune_mirrors(self, now: datetime, apply: bool) -> PrunedKind:
        days = self._days("mirrors")
        if self.git_cache is None or not self.git_cache.is_dir():
            return PrunedKind(days, 0)
        from sluice.sources.git import mirror

        before_s = (now - timedelta(days=days)).timestamp()
        folders = mirror.unused(self.git_cache, before_s)
        removed = sum(mirror.remove(folder, before_s) for folder in folders) if apply else 0
        return PrunedKind(days, len(folders), removed)
