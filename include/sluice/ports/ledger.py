"""The ledger: the one place where everything is known, by roles."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.ports.collections import Collections
from sluice.ports.costs import Costs
from sluice.ports.deletions import Deletions
from sluice.ports.grants import Grants
from sluice.ports.moves import Moves
from sluice.ports.outbox import Outbox
from sluice.ports.pruning import Pruning
from sluice.ports.quality import Quality
from sluice.ports.quarantine import Quarantine
from sluice.ports.quotas import Quotas
from sluice.ports.reconciliation import Reconciliation
from sluice.ports.retention import RetentionRules
from sluice.ports.runs import Runs
from sluice.ports.scans import Scans
from sluice.ports.sources import Sources
from sluice.ports.versions import Versions


@dataclass(frozen=True, slots=True)
class Ledger:
    """The truth. Each method of a role is one transaction, safe to repeat.

    What a run writes is fenced: once another run has claimed its source it raises Terminal. A run that never claimed
    may write as long as nobody else has. Not fenced is what a run says of itself: what it paid (`costs.settle`), why it
    failed (`runs.record_error`) and that it has (`runs.finish`, `runs.close`)."""

    collections: Collections
    sources: Sources
    runs: Runs
    scans: Scans
    moves: Moves
    versions: Versions
    outbox: Outbox
    quarantine: Quarantine
    quality: Quality
    costs: Costs
    quotas: Quotas
    reconciliation: Reconciliation
    retention: RetentionRules
    deletions: Deletions
    pruning: Pruning
    grants: Grants
