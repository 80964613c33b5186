"""Deletes history that is no longer needed, by kind and age, so that the ledger does not grow without limit.

Nothing that is served or searchable is deleted. Rows that a cleared task may still need are kept: no kind is deleted
before the artefacts of its runs. Each batch is one transaction; after an error, run the pruning again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, get_args

from sluice.model.retention import Prunable
from sluice.ports.tools import Tools

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
    apply: bool  # false: only counted
    kinds: dict[str, PrunedKind] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def prune(
    tools: Tools, *, apply: bool = False, on_batch: Callable[[str, int], object] = lambda kind, removed: None
) -> PruningReport:
    """Counts what is past its retention and, with `apply`, deletes it.

    Vectors that became unused are marked also in a dry run, so that their days count from then on.
    `on_batch(kind, removed)` is called after every batch."""
    report = PruningReport(apply)
    tools.ledger.pruning.mark_unused()
    now = tools.ledger.retention.clock()
    for kind in get_args(Prunable):
        days = _days(tools, "runs" if kind == "reconciliations" else kind)
        before = now - timedelta(days=days)
        pruned = report.kinds[kind] = PrunedKind(days, tools.ledger.pruning.prunable(kind, before))
        while apply and (removed := tools.ledger.pruning.prune(kind, before, BATCH)):
            pruned.removed += removed
            on_batch(kind, pruned.removed)
    report.kinds["keys"] = _keys(tools, now, apply)
    report.kinds["mirrors"] = _mirrors(tools, now, apply)
    return report


def _days(tools: Tools, kind: str) -> int:
    days: int = getattr(tools.keep_days, kind)
    return max(days, tools.artefacts_keep_days)


def _keys(tools: Tools, now: datetime, apply: bool) -> PrunedKind:
    """Destroys keys of deleted documents. The rows pruned before may free more keys than a dry run counts."""
    days = _days(tools, "keys")
    before = now - timedelta(days=days)
    pruned = PrunedKind(days, len(tools.ledger.pruning.keyed(before, _COUNTED)))
    while apply and (document_ids := tools.ledger.pruning.keyed(before, BATCH)):
        pruned.removed += tools.keyring.destroy(document_ids)
        tools.ledger.pruning.key_destroyed(document_ids)  # last: after a crash they are destroyed again
    return pruned


def _mirrors(tools: Tools, now: datetime, apply: bool) -> PrunedKind:
    days = _days(tools, "mirrors")
    if tools.git_cache is None or not tools.git_cache.is_dir():
        return PrunedKind(days, 0)
    from sluice.sources.git import mirror

    before_s = (now - timedelta(days=days)).timestamp()
    folders = mirror.unused(tools.git_cache, before_s)
    removed = sum(mirror.remove(folder, before_s) for folder in folders) if apply else 0
    return PrunedKind(days, len(folders), removed)
