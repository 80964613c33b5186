"""The graph retriever: passages that are linked to the question, or to the passages that answer it best so far.

A question such as "Where was the director of *Alien* born?" needs two passages, and the second has few of its words:
the first one names the director, and the second is about him. So links are followed one step, from names in the
question and from names in the first passages: to passages about them or that mention them too. A link is as strong as
its entity is rare; without links the order of the candidates stays (docs/decisions/0060).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sluice.model.generation import Generation
from sluice.model.links import Link, Seed
from sluice.model.passage import Passage
from sluice.model.search import Candidate, GraphPath
from sluice.ports.projections import PassageLinks
from sluice.retrieval.fusion import ranked

FIRST_PASSAGES = 5  # from which links are followed
# Weights measured on hotpotqa_200, multihoprag_500_facts and xquad (docs/decisions/0060).
_ABOUT = 0.5
_SHARED = 0.1
_OF_QUESTION = 0.5  # relevance of the question's own names
_BY_RANK = 0.05  # by which the relevance of each further passage is less
_MOST_LINKS = 30  # of each seed
_MOST_NAMES = 100  # of each seed

Names = Callable[[bytes, str, int], Mapping[UUID, str]]
"""(tenant's index key, text, most) → ids that the entities named in the text would have, with the names' spelling."""
Scored = Callable[[Sequence[UUID]], list[Candidate]]
"""Chunk ids → those that the vector index may return for the query, with their fused scores."""


@dataclass(frozen=True, slots=True)
class GraphRetriever:
    """Finds linked passages."""

    links: PassageLinks
    names_of_question: Names
    names_of_passage: Names

    def linked(
        self,
        generation: Generation,
        sources: Sequence[UUID],
        index_key: bytes,
        question: str,
        candidates: Sequence[Candidate],
        first: Sequence[Passage],
        scored: Scored,
    ) -> list[Candidate]:
        """Returns the candidates and further ones that links lead to, best first, with `scores["graph"]` and the path
        where a link leads to them; none if there are no links. `sources`: those that the caller may read; no others
        count. `first`: the best passages that the caller may read, at most FIRST_PASSAGES: links are followed from no
        others. Raises Unavailable."""
        names = [self.names_of_question(index_key, question, _MOST_NAMES)]
        names += [self.names_of_passage(index_key, each.text, _MOST_NAMES) for each in first]
        seeds = [Seed(tuple(names[0]))]
        seeds += [Seed(tuple(ids), each.chunk_id, each.document_id) for each, ids in zip(first, names[1:], strict=True)]
        links = self.links.links(generation, sources, seeds, _MOST_LINKS)
        if not links:
            return []
        known = {each.chunk_id for each in candidates}
        further = list(dict.fromkeys(link.chunk_id for link in links if link.chunk_id not in known))
        if further:
            candidates = [*candidates, *scored(further)]
        return ranked(_linked(candidates, links, first, names))


def _linked(
    candidates: Sequence[Candidate],
    links: Sequence[Link],
    first: Sequence[Passage],
    names: Sequence[Mapping[UUID, str]],
) -> list[Candidate]:
    """Returns the candidates with the strength of their links added. The best link from a passage counts, and the one
    from the question."""
    relevance = [each.score - _BY_RANK * rank for rank, each in enumerate(first)]
    by_chunk: dict[UUID, list[Link]] = {}
    for link in links:
        by_chunk.setdefault(link.chunk_id, []).append(link)
    linked = []
    for candidate in candidates:
        strengths = [
            (_strength(link, min(1.0, max(0.0, candidate.score)), relevance), link)
            for link in by_chunk.get(candidate.chunk_id, ())
        ]
        if strengths:
            strength, best = max(strengths, key=lambda each: each[0])
            total = sum(value for value, link in strengths if link.seed == 0)
            total += max((value for value, link in strengths if link.seed), default=0.0)
            path = _path(best, first, names) if strength > 0 else None
            scores = {**candidate.scores, "graph": total}
            candidate = replace(candidate, scores=scores, score=candidate.score + total, path=path)
        linked.append(candidate)
    return linked


def _strength(link: Link, score: float, relevance: Sequence[float]) -> float:
    weight = _ABOUT * link.about + _SHARED * link.shared
    if link.seed == 0:
        return _OF_QUESTION * weight
    return max(0.0, weight * (score + relevance[link.seed - 1]) / 2)


def _path(link: Link, first: Sequence[Passage], names: Sequence[Mapping[UUID, str]]) -> GraphPath:
    entity = link.name or names[link.seed].get(link.entity_id, "")
    start = first[link.seed - 1].chunk_id if link.seed else None
    return GraphPath(start, entity, "about" if link.about else "mentions")
