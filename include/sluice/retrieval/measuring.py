"""Measures search on judged questions: the scores of each question by each retriever, and the time of a search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sluice.errors import BadRequest, Transient
from sluice.model.evaluation import FUSED, RetrieverScores
from sluice.model.golden import JudgedQuery
from sluice.model.grants import Principal
from sluice.model.passage import Duplicate, Passage
from sluice.model.search import RETRIEVERS, SearchRequest
from sluice.retrieval import metrics
from sluice.retrieval.observed_search import Search
from sluice.retrieval.searching import MAX_QUERY_CHARS, SearchOutcome

TOP_K = 30  # passages: enough for ten documents in most collections
# What does not change the order of the passages that were found.
_HARMLESS = {"refill", "cache"}


@dataclass(frozen=True, slots=True)
class _Ranked:
    """What is kept of a search: no texts, because an evaluation asks thousands of questions."""

    documents: list[str]  # best first
    generation: int
    took_ms: float
    served: bool  # whether a retriever took part


@dataclass(frozen=True, slots=True)
class Measurement:
    """Scores by retriever, of the questions that have a relevant document, in their order."""

    queries: tuple[JudgedQuery, ...]
    scores: tuple[RetrieverScores, ...]  # of all retrievers together first
    generation: int


def measure(
    search: Search,
    queries: Sequence[JudgedQuery],
    collection: str,
    principal: Principal,
    *,
    top_k: int = TOP_K,
    each_retriever: bool = True,
) -> Measurement:
    """Searches every question with all retrievers, and (`each_retriever`) with each alone. A document ranks as its best
    passage. A retriever that served no question is left out. Each search is the first of its question with all
    retrievers, so its time includes the embedding.

    Raises BadRequest where no question has a relevant document; Transient where a store did not answer, or another
    generation became live meanwhile: such figures would say nothing about the index.
    """
    judged = [each for each in queries if each.has_relevant]
    if not judged:
        raise BadRequest("No question has a document that is judged as relevant. Nothing was evaluated.")
    outcomes: dict[str, list[_Ranked]] = {}
    for query in judged:
        request = SearchRequest(query.text[:MAX_QUERY_CHARS], collection, top_k)
        fused = _complete(search(request, principal))
        outcomes.setdefault(FUSED, []).append(_ranked(query, fused))
        for name in RETRIEVERS if each_retriever else ():
            # A retriever that had no part in the fused search found nothing: a question of stop words has no terms.
            found = replace(fused, passages=(), retrievers=())
            if name in fused.retrievers:
                found = _complete(search(replace(request, retrievers=(name,)), principal))
            outcomes.setdefault(name, []).append(_ranked(query, found))
    generations = {each.generation for found in outcomes.values() for each in found}
    if len(generations) > 1:
        raise switched()
    served = {name: found for name, found in outcomes.items() if name == FUSED or any(each.served for each in found)}
    scores = tuple(_scores(name, judged, found) for name, found in served.items())
    return Measurement(tuple(judged), scores, generations.pop())


def switched() -> Transient:
    """The error of an evaluation during which another generation became live."""
    return Transient("Another generation became live during the evaluation. Nothing was recorded. Run it again.")


def _complete(outcome: SearchOutcome) -> SearchOutcome:
    if missing := sorted(set(outcome.degraded) - _HARMLESS):
        raise Transient(
            f"A search was incomplete ({', '.join(missing)}), so its figures would not describe the index. Nothing was "
            "recorded. Run the evaluation again when `sluice doctor` shows no error."
        )
    return outcome


def _scores(retriever: str, queries: Sequence[JudgedQuery], outcomes: Sequence[_Ranked]) -> RetrieverScores:
    rankings, relevant = {}, {}
    for number, (query, outcome) in enumerate(zip(queries, outcomes, strict=True)):
        rankings[str(number)] = outcome.documents
        relevant[str(number)] = gains_of(query)
    values = np.array(list(metrics.by_query(rankings, relevant).values()))
    figures = metrics.summary(values)
    p50, p95 = np.percentile([each.took_ms for each in outcomes if each.served] or [0.0], [50, 95])
    return RetrieverScores(
        retriever,
        values.astype(np.float32),
        {name: figures[name] for name in metrics.NAMES},
        figures["intervals"],
        round(float(p50), 2),
        round(float(p95), 2),
    )


def _ranked(query: JudgedQuery, outcome: SearchOutcome) -> _Ranked:
    documents = metrics.collapse(document_keys(query, (passage, *passage.duplicates)) for passage in outcome.passages)
    return _Ranked(documents, outcome.generation, outcome.took_ms, bool(outcome.retrievers))


def gains_of(query: JudgedQuery) -> dict[str, float]:
    """Returns the gains of the judged documents by their keys; see `document_keys`."""
    return {str(each.document_id or each.external_id): each.gain for each in query.judgements}


def document_keys(query: JudgedQuery, found: Iterable[Passage | Duplicate]) -> list[str]:
    """Returns the keys by which documents are compared with judgements: the id where a judgement has it, else the
    external id."""
    judged = {each.document_id for each in query.judgements}
    return [str(each.document_id) if each.document_id in judged else each.external_id for each in found]
