"""The readable passages of a search: candidates are found, linked and read until there are enough of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import islice
from uuid import UUID

from sluice.model.filters import Condition
from sluice.model.generation import Generation
from sluice.model.grants import Principal
from sluice.model.passage import Passage
from sluice.model.search import Candidate, Degradation, Retriever, VectorQuery
from sluice.resilience import deadline
from sluice.retrieval.candidates import Found, attempted, find, incomplete
from sluice.retrieval.fusion import Scale
from sluice.retrieval.linked_passages import FIRST_PASSAGES
from sluice.retrieval.near_duplicates import Shingles, distinct, shingles
from sluice.retrieval.passages import Passages
from sluice.retrieval.search_ports import SearchPorts

REFILL_FACTOR = 4
# Candidates that are read beyond the requested number: some may not be readable, and pairs of words may lift others.
AHEAD = 20
MAX_CANDIDATES = 5000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Number of passages, number to choose from, whether near-duplicates count, the filters, the lowest similarity, the
    question, the dense retriever's share of the fused score, and whether only linked passages are wanted."""

    count: int
    pool: int
    duplicates: bool
    conditions: Sequence[Condition]  # also compared with the ledger's metadata: the index may lag behind it
    min_score: float | None
    question: str
    dense_share: float
    only_linked: bool

    def chosen(self, shingles_of: Callable[[str], Shingles], passages: Iterable[Passage], most: int) -> list[Passage]:
        return list(islice(passages, most)) if self.duplicates else distinct(passages, most, shingles_of)

    def similar(self, candidate: Candidate) -> bool:
        return self.min_score is None or candidate.scores["dense"] >= self.min_score


@dataclass(frozen=True, slots=True)
class Filled:
    passages: list[Passage]
    retrievers: tuple[Retriever, ...]  # of the index, or of the full text in its place
    degraded: tuple[Degradation, ...]
    candidates: Mapping[str, int] = field(default_factory=dict)  # number by stage: found, linked, read
    scale: Scale | None = None  # of the candidates' scores; None: nothing was searched


def fill(
    ports: SearchPorts, generation: Generation, query: VectorQuery, principal: Principal, wanted: Wanted
) -> Filled:
    """Returns the passages to choose from, at least `pool` if there are so many. Raises Unavailable if the ledger or
    the keys do not answer, or the index does not and words cannot serve in its place.

    Each result comes from a single hydration, and so from one state of the ledger: if it were combined from several, a
    version activated in between would show a document in two versions.
    """
    reader = Passages(ports.catalog, ports.keyring, generation, principal)
    chosen = partial(wanted.chosen, cache(shingles))  # remembers them as long as the search takes
    ahead, limit = max(wanted.count + AHEAD, wanted.pool), query.limit
    needs_index = wanted.min_score is not None or wanted.only_linked
    lost: tuple[Degradation, ...] = ()
    while True:
        asked = replace(query, limit=limit)
        found = find(ports.vectors, ports.full_text, generation, asked, wanted.conditions, needs_index=needs_index)
        scale = Scale.of(found.candidates, found.retrievers, wanted.dense_share)
        candidates = [each for each in scale.fused(found.candidates) if wanted.similar(each)]
        complete = found.complete or len(candidates) < min(limit, len(found.candidates))
        passages = chosen(reader.read(candidates[:ahead], wanted.conditions), ahead)
        if ports.graph is not None and "full_text" in found.degraded:
            ports, lost = replace(ports, graph=None), ("graph",)  # the index scores what links lead to
        if ports.graph is not None:
            follow = partial(_linked, ports, generation, query, principal, wanted, candidates, passages, scale)
            linked, lost = attempted(follow, "graph")
            if lost:
                ports = replace(ports, graph=None)
            if linked or wanted.only_linked:
                candidates = [each for each in linked or () if wanted.similar(each)]
                passages = chosen(reader.read(candidates[:ahead], wanted.conditions), ahead)
        if len(passages) < wanted.count and len(candidates) > ahead:
            passages = chosen(reader.read(candidates, wanted.conditions), wanted.pool)
        degraded = (*found.degraded, *lost)
        numbers = _numbers(found, candidates, passages)
        if len(passages) >= wanted.count or complete or wanted.only_linked:
            return Filled(passages, found.retrievers, degraded, numbers, scale)
        if limit >= MAX_CANDIDATES:
            return Filled(passages, found.retrievers, (*degraded, *incomplete(found, "refill")), numbers, scale)
        if deadline.is_over():
            return Filled(passages, found.retrievers, (*degraded, *incomplete(found, "time")), numbers, scale)
        limit = min(limit * REFILL_FACTOR, MAX_CANDIDATES)


def _numbers(found: Found, candidates: Sequence[Candidate], passages: Sequence[Passage]) -> dict[str, int]:
    linked = sum("graph" in each.scores for each in candidates)
    return {"found": len(found.candidates), "linked": linked, "read": len(passages)}


def _linked(
    ports: SearchPorts,
    generation: Generation,
    query: VectorQuery,
    principal: Principal,
    wanted: Wanted,
    candidates: Sequence[Candidate],
    passages: Sequence[Passage],
    scale: Scale,
) -> list[Candidate]:
    """Returns the candidates with those that links lead to; none if there are no links."""
    if ports.graph is None or not passages:
        return []

    def scored(chunk_ids: Sequence[UUID]) -> list[Candidate]:
        among = replace(query, among=tuple(chunk_ids), limit=len(chunk_ids))
        return scale.fused(ports.vectors.search(generation, among))

    index_key = ports.keyring.index_key(principal.tenant)
    first = passages[:FIRST_PASSAGES]
    linked = ports.graph.linked(generation, query.sources, index_key, wanted.question, candidates, first, scored)
    return [each for each in linked if "graph" in each.scores] if wanted.only_linked else linked
