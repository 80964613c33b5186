"""The ledger on PostgreSQL: all its roles on one engine."""

from __future__ import annotations

from sqlalchemy import Engine

from sluice.adapters.postgres.collections import PostgresCollections
from sluice.adapters.postgres.costs import PostgresCosts
from sluice.adapters.postgres.deletions import PostgresDeletions
from sluice.adapters.postgres.evaluations import PostgresEvaluations
from sluice.adapters.postgres.feedback import PostgresFeedback
from sluice.adapters.postgres.full_text import PostgresFullText
from sluice.adapters.postgres.golden import PostgresGoldenSets
from sluice.adapters.postgres.grants import PostgresGrants
from sluice.adapters.postgres.outbox import PostgresOutbox
from sluice.adapters.postgres.pruning import PostgresPruning
from sluice.adapters.postgres.quality import PostgresQuality
from sluice.adapters.postgres.quarantine import PostgresQuarantine
from sluice.adapters.postgres.quotas import PostgresQuotas
from sluice.adapters.postgres.reconciliation import PostgresReconciliation
from sluice.adapters.postgres.renames import PostgresRenames
from sluice.adapters.postgres.retention import PostgresRetention
from sluice.adapters.postgres.runs import PostgresRuns
from sluice.adapters.postgres.scans import PostgresScans
from sluice.adapters.postgres.sources import PostgresSources
from sluice.adapters.postgres.versions import PostgresVersions
from sluice.ports.ledger import Ledger


def postgres_ledger(engine: Engine) -> Ledger:
    """Returns the ledger with all its roles on one engine, which they share."""
    return Ledger(
        collections=PostgresCollections(engine),
        sources=PostgresSources(engine),
        runs=PostgresRuns(engine),
        scans=PostgresScans(engine),
        renames=PostgresRenames(engine),
        versions=PostgresVersions(engine),
        outbox=PostgresOutbox(engine),
        quarantine=PostgresQuarantine(engine),
        quality=PostgresQuality(engine),
        costs=PostgresCosts(engine),
        quotas=PostgresQuotas(engine),
        reconciliation=PostgresReconciliation(engine),
        retention=PostgresRetention(engine),
        deletions=PostgresDeletions(engine),
        pruning=PostgresPruning(engine),
        grants=PostgresGrants(engine),
        full_text=PostgresFullText(engine),
        golden=PostgresGoldenSets(engine),
        feedback=PostgresFeedback(engine),
        evaluations=PostgresEvaluations(engine),
    )
