"""What a judged question finds, with the parts of each passage's score: from these, weights are fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sluice.errors import Transient
from sluice.model.catalog import Live
from sluice.model.golden import JudgedQuery
from sluice.model.grants import Principal
from sluice.model.search import SearchRequest
from sluice.model.weights import Weights
from sluice.retrieval import metrics
from sluice.retrieval.filling import Wanted, fill
from sluice.retrieval.fusion import foreign_share
from sluice.retrieval.measuring import document_keys, gains_of
from sluice.retrieval.named_metadata import named_values
from sluice.retrieval.search_ports import SearchPorts
from sluice.retrieval.searching import MAX_QUERY_CHARS, checked_question, encoded
from sluice.retrieval.similar_passages import POOL, resemblance, vectors_of
from sluice.retrieval.word_pairs import pair_shares

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JudgedCandidates:
    """The passages that one question finds (n), and their judgements.

    `dense`, `sparse`: scaled scores (n,). `graph`: strengths of links (n,). `pairs`: shares of the question's pairs
    (n,). `metadata`: rarities of named values (n,). `resemblance`: (n, n). `documents`: number of each passage's
    document (n,). `gains`: of these documents (n,). `ideal`: discounted gain of the best ranking. `dense_share`: fixed
    for this question; None: the fitted one."""

    dense: Floats
    sparse: Floats
    graph: Floats
    pairs: Floats
    metadata: Floats
    resemblance: Floats
    documents: NDArray[np.int64]
    gains: Floats
    ideal: float
    dense_share: float | None = None

    def ndcg(self, weights: Weights) -> float:
        """Returns nDCG@10 of the order by these weights; a document ranks as its best passage."""
        share = weights.dense if self.dense_share is None else self.dense_share
        scores = share * self.dense + (1 - share) * self.sparse + self.graph
        scores += weights.pairs * self.pairs + weights.metadata * self.metadata
        if weights.resemblance:
            scores = scores + weights.resemblance * (self.resemblance @ scores)
        order = np.argsort(-scores, kind="stable")
        _, first = np.unique(self.documents[order], return_index=True)
        gains = self.gains[order[np.sort(first)[: metrics.DEPTH]]]
        return metrics.discounted(gains) / self.ideal


def judged_candidates(
    ports: SearchPorts, live: Live, collection: str, query: JudgedQuery, principal: Principal
) -> JudgedCandidates | None:
    """Searches a question with a relevant document. None: it has no words, or nothing was found, so weights change
    nothing. Raises Transient where a store did not answer."""
    request = SearchRequest(query.text[:MAX_QUERY_CHARS], collection, POOL)
    question, generation = checked_question(request), live.generation
    vectors, lost = encoded(ports, request, principal, generation, question, live.sources)
    if len(vectors.retrievers) < 2 or not live.sources:
        return None
    foreign = foreign_share(generation.profile.embedder, question)
    wanted = Wanted(
        count=POOL,
        pool=POOL,
        duplicates=True,
        conditions=(),
        min_score=None,
        question=question,
        dense_share=foreign or live.weights.dense,
        only_linked=False,
    )
    ports = replace(ports, graph=ports.graph if generation.has_graph else None)
    filled = fill(ports, generation, vectors, principal, wanted)
    if missing := sorted({*lost, *filled.degraded} - {"refill"}):
        raise Transient(
            f"A search was incomplete ({', '.join(missing)}). Nothing was learned; the call can be repeated."
        )
    passages = filled.passages[:POOL]
    if not passages or filled.scale is None:
        return None
    scores = [each.scores for each in passages]
    scaled = filled.scale.scaled(scores)
    index_key = ports.keyring.index_key(principal.tenant)
    gains = gains_of(query)
    numbers = {each: number for number, each in enumerate(dict.fromkeys(each.document_id for each in passages))}
    return JudgedCandidates(
        dense=scaled["dense"],
        sparse=scaled["sparse"],
        graph=np.array([each.get("graph", 0.0) for each in scores]),
        pairs=np.array(pair_shares(passages, question, lambda text: ports.term_sequence(text, index_key))),
        metadata=np.array(named_values(passages, question, generation.languages)),
        resemblance=resemblance(vectors_of(ports.vectors, generation, passages)),
        documents=np.array([numbers[each.document_id] for each in passages]),
        gains=np.array([gains.get(key, 0.0) for key in document_keys(query, passages)]),
        ideal=metrics.ideal_gain(gains.values()),
        dense_share=foreign,
    )
