"""Generations: how the documents of a collection become vectors and graph."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


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
