"""The ledger, the source of truth, by roles."""

from __future__ import annotations

from dataclasses import dataclass

from sluice.ports.collections import Collections
from sluice.ports.costs import Costs
from sluice.ports.deletions import Deletions
from sluice.ports.evaluations import Evaluations
from sluice.ports.full_text import FullText
from sluice.ports.golden import Feedback, GoldenSets
from sluice.ports.grants import Grants
from sluice.ports.outbox import Outbox
from sluice.ports.pruning import Pruning
from sluice.ports.quality import Quality
from sluice.ports.quarantine import QuarantineRecords
from sluice.ports.quotas import Quotas
from sluice.ports.reconciliation import Reconciliation
from sluice.ports.renames import Renames
from sluice.ports.retention import RetentionRules
from sluice.ports.runs import Runs
from sluice.ports.scans import Scans
from sluice.ports.sources import Sources
from sluice.ports.versions import Versions


@dataclass(frozen=True, slots=True)
class Ledger:
    """The roles of the ledger. Each method of a role is one transaction, safe to repeat.

    Writes of a run are fenced: they raise Terminal once another run has claimed its source. A run that never claimed
    its source may write as long as no other run has. Records about the run itself are not fenced: its costs
    (`costs.settle`), its error (`runs.record_error`) and its end (`runs.finish`, `runs.close`)."""

    collections: Collections
    sources: Sources
    runs: Runs
    scans: Scans
    renames: Renames
    versions: Versions
    outbox: Outbox
    quarantine: QuarantineRecords
    quality: Quality
    costs: Costs
    quotas: Quotas
    reconciliation: Reconciliation
    retention: RetentionRules
    deletions: Deletions
    pruning: Pruning
    grants: Grants
    full_text: FullText
    golden: GoldenSets
    feedback: Feedback
    evaluations: Evaluations
