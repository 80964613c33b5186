"""The dependencies of the flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from sluice.model.costs import Budget
from sluice.model.gates import GateRule
from sluice.model.generation import Profile
from sluice.model.retention import KeepDays
from sluice.ports.catalog import Catalog
from sluice.ports.content import Blobs, Embedder, EntityExtractor, Extractor, Keyring
from sluice.ports.ledger import Ledger
from sluice.ports.projections import GraphIndex, VectorIndex
from sluice.ports.readers import OpenSource
from sluice.ports.vector_cache import VectorCache


@dataclass(frozen=True, slots=True)
class Tools:
    """The dependencies of the flow; built by `wiring.py`."""

    ledger: Ledger
    cache: VectorCache
    catalog: Catalog
    keyring: Keyring
    vectors: VectorIndex
    graph: GraphIndex | None  # None: graph is off
    blobs: Blobs
    extractor: Callable[[], AbstractContextManager[Extractor]]
    reader: OpenSource
    embedder: Callable[[str], Embedder]  # by profile name, cached per process
    entities: Callable[[str], EntityExtractor | None]
    entity_id: Callable[[bytes, str], UUID]  # (index key of the tenant, name)
    tokenizer: Callable[[], Any]  # tokenizers.Tokenizer, cached per process
    profile: Callable[[], Profile]  # for a collection that does not exist yet; may ask an endpoint
    filter_fields: tuple[str, ...]
    batch_size: int  # documents, at most
    task_slots: int  # tasks of one stage that run at a time
    lease_s: float  # lease of a run; another run may take its source over when it expires
    max_shrink: float  # share of a source's documents that may be missing without approval
    pings: Mapping[str, Callable[[], str]]  # engine → its version; raises Unavailable. Only engines that are on
    close: Callable[[], None]  # closes connections
    artefacts_keep_days: int = 7  # after their run was last active
    keep_days: KeepDays = field(default_factory=KeepDays)
    git_cache: Path | None = None  # mirrors of remote repositories
    budget: Budget = field(default_factory=Budget)  # default of a run
    marquez_url: str | None = None  # of Marquez, where lineage is sent to it
    marquez_web_url: str = ""
    max_source_documents: int = 1_000_000  # that one source may list
    gate_rules: Mapping[tuple[str, str], GateRule] = field(
        default_factory=dict
    )  # of all collections, by suite and code
