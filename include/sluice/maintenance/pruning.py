"""What nobody reads any more goes after a while, kind by kind: history that would otherwise grow for ever.

Nothing that is served or can be searched is among it, and nothing that a cleared task of a kept run needs: no kind goes
before the artefacts of runs do. Batches are whole; a run that breaks off is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, get_args

from sluice.model.retention import Prunable
from sluice.ports.tools import Tools

BATCH = 1000
_COUNTED = 100_000  # at most, of keys


def prune(
    tools: Tools, *, apply: bool = False, on_batch: Callable[[str, int], object] = lambda kind, removed: None
) -> dict[str, Any]:
    """Count what is beyond its time and, with `apply`, remove it. Since when a vector is unused is noted either way, so
    that its days do not begin with the first removal. Returns by kind the days that it is kept, what was found and what
    was removed. `on_batch(kind, removed)` is called after every batch."""
    kinds: dict[str, dict[str, int]] = {}
    tools.ledger.pruning.mark_unused()
    now = tools.ledger.retention.clock()
    for kind in get_args(Prunable):
        days = _days(tools, "runs" if kind == "reconciliations" else kind)
        before = now - timedelta(days=days)
        told = kinds[kind] = {"keep_days": days, "found": tools.ledger.pruning.prunable(kind, before), "removed": 0}
        while apply and (gone := tools.ledger.pruning.prune(kind, before, BATCH)):
            told["removed"] += gone
            on_batch(kind, told["removed"])
    kinds["keys"] = _keys(tools, now, apply)
    kinds["mirrors"] = _mirrors(tools, now, apply)
    return {"apply": apply, "kinds": kinds}


def _days(tools: Tools, kind: str) -> int:
    days: int = getattr(tools.keep_days, kind)
    return max(days, tools.artefacts_keep_days)


def _keys(tools: Tools, now: datetime, apply: bool) -> dict[str, int]:
    """What went just now may leave more of them than a dry run counts."""
    days = _days(tools, "keys")
    before = now - timedelta(days=days)
    told = {"keep_days": days, "found": len(tools.ledger.pruning.keyed(before, _COUNTED)), "removed": 0}
    while apply and (document_ids := tools.ledger.pruning.keyed(before, BATCH)):
        told["removed"] += tools.keyring.destroy(document_ids)
        tools.ledger.pruning.key_destroyed(document_ids)  # last: a crash before destroys them once more
    return told


def _mirrors(tools: Tools, now: datetime, apply: bool) -> dict[str, int]:
    days = _days(tools, "mirrors")
    told = {"keep_days": days, "found": 0, "removed": 0}
    if tools.git_cache is None or not tools.git_cache.is_dir():
        return told
    from sluice.sources.git import mirror

    before_s = (now - timedelta(days=days)).timestamp()
    folders = mirror.unused(tools.git_cache, before_s)
    told["found"] = len(folders)
    told["removed"] = sum(mirror.remove(folder, before_s) for folder in folders) if apply else 0
    return told
