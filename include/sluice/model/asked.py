"""What is asked for: a source into a collection, made in one way, by one run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from sluice.model.costs import Budget

Mode = Literal["incremental", "full"]
RunMode = Literal["incremental", "full", "replay", "purge"]
"""`replay`: not from the source, but what quarantine keeps of it; `purge`: of what expired."""


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Where documents come from and who may read them.

    None means "not given": what is saved of the source stays, and a new source is readable by everyone in the tenant,
    without globs, kept as long as its collection says. In a spec that the ledger returns only `retention_days` may be
    None: the source is kept by a date, or as its collection says.
    """

    uri: str
    collection: str
    tenant: str = "default"
    access_groups: tuple[str, ...] | None = None  # empty: everyone in the tenant
    retention_days: int | None = None  # of readable life, see Retention; 0: for ever
    include: tuple[str, ...] | None = None  # globs over external ids; empty: all
    exclude: tuple[str, ...] | None = None

    def over(self, saved: SourceSpec | None) -> SourceSpec:
        """This with what is saved, or the default of a new source, in place of None. Only the retention may be None
        still: the source has none in days."""
        known = saved or SourceSpec(self.uri, self.collection, self.tenant, (), None, (), ())
        return replace(
            self,
            access_groups=known.access_groups if self.access_groups is None else self.access_groups,
            retention_days=known.retention_days if self.retention_days is None else self.retention_days,
            include=known.include if self.include is None else self.include,
            exclude=known.exclude if self.exclude is None else self.exclude,
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """How a generation's chunks, vectors and entities are made. A change of profile is a new generation."""

    chunker: str  # tokens:<max>:<overlap> or chars:<max>:<overlap>
    embedder: str  # minilm, hash:<dim>, openai:<model>
    entities: str  # phrases, spacy:<pipeline> or off
    dim: int  # components of a dense vector


@dataclass(frozen=True, slots=True)
class Generation:
    collection_id: UUID
    collection: str
    number: int
    profile: Profile
    physical: str  # Qdrant's collection, <collection>__g<number>
    filter_fields: tuple[str, ...] = ()  # metadata keys that searches may filter on


@dataclass(frozen=True, slots=True)
class Source:
    source_id: UUID
    spec: SourceSpec
    generation: Generation


@dataclass(frozen=True, slots=True)
class Run:
    run_id: UUID
    source: Source
    mode: RunMode
    started_at: datetime
    budget: Budget = field(default_factory=Budget)
