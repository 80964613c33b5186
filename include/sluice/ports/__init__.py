"""What the flow needs from the outside, as Protocols. Adapters implement them; `wiring.py` chooses.

Every method may raise `Transient` (a store is down or slow) and `Terminal` (it will never work); others are named.
"""

from __future__ import annotations

from sluice.ports.catalog import Catalog
from sluice.ports.content import Blobs, Embedder, EntityExtractor, EntityIds, Extracted, Extractor, Keyring, Recognized
from sluice.ports.deletions import DeletionLedger
from sluice.ports.ledger import Ledger, VectorCache
from sluice.ports.projections import GraphIndex, VectorIndex
from sluice.ports.pruning import PruneLedger
from sluice.ports.retention import RetentionLedger
from sluice.ports.saved import SavedSources
from sluice.ports.sources import (
    Connection,
    Connections,
    ListedRow,
    MarkedReader,
    OpenRows,
    OpenSource,
    RowQuery,
    Rows,
    SourceReader,
)
from sluice.ports.tools import Tools

__all__ = [
    "Blobs",
    "Catalog",
    "Connection",
    "Connections",
    "DeletionLedger",
    "Embedder",
    "EntityExtractor",
    "EntityIds",
    "Extracted",
    "Extractor",
    "GraphIndex",
    "Keyring",
    "Ledger",
    "ListedRow",
    "MarkedReader",
    "OpenRows",
    "OpenSource",
    "PruneLedger",
    "Recognized",
    "RetentionLedger",
    "RowQuery",
    "Rows",
    "SavedSources",
    "SourceReader",
    "Tools",
    "VectorCache",
    "VectorIndex",
]
