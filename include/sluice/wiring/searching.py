"""Assembles the search of a process: the retrievers, the reranker, the cache, the time budget and the telemetry."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from sluice.settings import Settings
from sluice.wiring.clients import make_reranker

if TYPE_CHECKING:
    from sluice.ports.projections import PassageLinks
    from sluice.ports.telemetry import Telemetry
    from sluice.resilience.guard import Guard
    from sluice.retrieval.encrypted_cache import EncryptedCache
    from sluice.retrieval.linked_passages import GraphRetriever
    from sluice.retrieval.observed_search import Search
    from sluice.retrieval.reranking import Reranking
    from sluice.retrieval.search_ports import SearchPorts


def make_search(
    settings: Settings,
    ports: SearchPorts,
    cache: EncryptedCache | None,
    guards: Mapping[str, Guard],
    telemetry: Telemetry | None,
) -> Search:
    """Returns the search function. Without `guards` it has no time budget: nobody waits for it."""
    from sluice.retrieval.cached_search import CachedSearch
    from sluice.retrieval.searching import search

    computed = partial(search, ports)
    searched: Search = computed
    if cache is not None:
        wait_s = settings.search_timeout_s  # an equal search ends by then
        ttl_s = settings.search_cache_ttl_s
        searched = CachedSearch(computed, ports.catalog, cache, ttl_s=ttl_s, wait_s=wait_s)
    if not guards:
        return searched
    from sluice.wiring.guards import within_budget

    searched = within_budget(searched, settings.search_timeout_s)
    if telemetry is None:
        return searched
    from sluice.retrieval.observed_search import observed

    return observed(searched, telemetry)


def make_graph_retriever(links: PassageLinks | None) -> GraphRetriever | None:
    """Returns the graph retriever; None where the graph is off."""
    if links is None:
        return None
    from sluice.adapters.entities.phrases import ids_of_any_words, ids_within
    from sluice.retrieval.linked_passages import GraphRetriever

    return GraphRetriever(links, names_of_question=ids_of_any_words, names_of_passage=ids_within)


def make_reranking(settings: Settings, guards: Mapping[str, Guard]) -> Reranking | None:
    """Returns the reranking of the settings; None: no reranker is configured."""
    from sluice.retrieval.reranking import Reranking

    reranker = make_reranker(settings)
    if reranker is None:
        return None
    if guards:
        from sluice.resilience.guarded import guarded
        from sluice.wiring.guards import RERANKER

        reranker = guarded(reranker, guards[RERANKER])
    return Reranking(reranker, settings.reranker_candidates, settings.reranker_timeout_s)
