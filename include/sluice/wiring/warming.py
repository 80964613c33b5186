"""Prepares the query service before its first searches: connections, models, and the plan of the graph's query.

Neo4j takes seconds for its first query of a form, more than a search waits. All calls have their ordinary timeouts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from uuid import UUID, uuid4

from sluice.errors import CircuitOpen, Slow, shown_text
from sluice.model.generation import Generation, Profile
from sluice.model.links import Seed
from sluice.ports.collections import Collections
from sluice.ports.content import Embedder
from sluice.ports.projections import GraphIndex, PassageLinks
from sluice.ports.sources import Sources
from sluice.retrieval.linked_passages import FIRST_PASSAGES
from sluice.wiring.guards import is_endpoint

log = logging.getLogger(__name__)

_NOWHERE = Generation(UUID(int=0), "", 0, Profile("", "", "", 0), "", ())
# As a search has them: Neo4j plans a query again for a list whose length has another number of digits.
_PASSAGES, _NAMES, _LINKS = FIRST_PASSAGES, 50, 30
_ATTEMPTS = 5


def warm_up(steps: Mapping[str, Callable[[], object]]) -> None:
    """Takes the steps one after another. A failure is logged, never raised: the first searches do the work then."""
    for name, step in steps.items():
        try:
            step()
        except Exception as error:
            log.warning("warm-up failed: dependency=%s error=%s", name, shown_text(error))


def follow_links(graph: GraphIndex, links: PassageLinks, collections: Collections, sources: Sources) -> None:
    """Follows links from some passages twice, so that the query's plan, its operators and connections are there; again
    if it was too slow. Raises Unavailable."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            generation, seeds = _some_passages(graph, collections)
            readable = [each.source_id for each in sources.saved(collection=generation.collection)]
            for _ in range(2):
                links.links(generation, readable, seeds, _LINKS)
            return
        except CircuitOpen:
            raise
        except Slow:
            if attempt == _ATTEMPTS:
                raise


def _some_passages(graph: GraphIndex, collections: Collections) -> tuple[Generation, list[Seed]]:
    """Returns seeds as those of a search: the names of a question, and some passages of one collection in the graph."""
    for generation in collections.generations():
        rows = graph.chunks(generation, None, _PASSAGES) if generation.has_graph else []
        if rows:
            names = tuple({entity for row in rows for entity, _ in row.mentions if entity})[:_NAMES]
            return generation, [Seed(names), *(Seed(names, row.chunk_id, row.document_id) for row in rows)]
    names = tuple(uuid4() for _ in range(_NAMES))
    return _NOWHERE, [Seed(names), *(Seed(names, uuid4(), uuid4()) for _ in range(_PASSAGES))]


def load_models(collections: Collections, embedder: Callable[[str], Embedder]) -> None:
    """Loads the local models of the collections. Calls no endpoint."""
    for name in sorted({each.profile.embedder for each in collections.generations()}):
        if not is_endpoint(name):
            embedder(name).embed(["warm-up"])
