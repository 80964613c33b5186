"""The typed tables of the ledger and of the key database. Migrations are checked against them for drift.

All of them are imported with this package, so that the metadata of both bases is complete.
"""

from sluice.adapters.postgres.tables import (
    collections,
    deletions,
    documents,
    evaluations,
    gates,
    keys,
    lineage,
    runs,
    scans,
)

__all__ = ["collections", "deletions", "documents", "evaluations", "gates", "keys", "lineage", "runs", "scans"]
