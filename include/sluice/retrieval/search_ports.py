"""Dependencies of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sluice.model.chunk import SparseVector, Vector
from sluice.model.generation import Profile
from sluice.model.grants import Principal
from sluice.ports.catalog import Catalog
from sluice.ports.content import Keyring
from sluice.ports.full_text import FullText
from sluice.ports.projections import VectorIndex
from sluice.retrieval.linked_passages import GraphRetriever
from sluice.retrieval.reranking import Reranking

SparseQuery = Callable[[str, bytes, Sequence[str]], SparseVector]
"""(question, tenant's index key, languages of the collection) → keyed terms of the question."""

TermSequence = Callable[[str, bytes], Sequence[int]]
"""(text, tenant's index key) → the terms of its words, in order; negative for a stop word."""


@dataclass(frozen=True, slots=True)
class SearchPorts:
    """Dependencies of a search: ledger, keys, vector index, graph, and the dense and sparse encoders of questions.
    `full_text` is searched while the index does not answer; None: such a search raises the index's error."""

    catalog: Catalog
    keyring: Keyring
    vectors: VectorIndex
    embed_query: Callable[[Profile, str, Principal], Vector]  # (profile, question, caller) → (dim,)
    sparse_query: SparseQuery
    term_sequence: TermSequence
    graph: GraphRetriever | None = None  # None: the graph is off
    full_text: FullText | None = None
    reranking: Reranking | None = None  # None: no reranker is configured
