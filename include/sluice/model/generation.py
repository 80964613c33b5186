"""Generations of a collection and their profiles."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Profile:
    """The chunker, embedder and entity extractor of a generation. A changed profile needs a new generation."""

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
    backing_collection: str  # in Qdrant: <collection>__g<number>
    filter_fields: tuple[str, ...] = ()  # metadata keys that searches may filter on
    # ISO 639-3 codes of all languages that a served version has, or had: questions are analysed in each of them.
    languages: tuple[str, ...] = ()

    @property
    def has_graph(self) -> bool:
        return self.profile.entities != "off"
