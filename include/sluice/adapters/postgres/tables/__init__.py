"""The typed tables of the ledger and of the key database. Migrations are checked against them for drift."""

from sluice.adapters.postgres.tables import collections, deletions, documents, gates, keys, lineage, runs, scans
from sluice.adapters.postgres.tables.base import KeysBase, LedgerBase

__all__ = [
    "KeysBase",
    "LedgerBase",
    "collections",
    "deletions",
    "documents",
    "gates",
    "keys",
    "lineage",
    "runs",
    "scans",
]
