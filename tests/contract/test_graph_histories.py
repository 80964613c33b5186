"""Any GraphIndex after any history of writes, rewrites, retries and removals: it holds what a plain model holds."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sluice.adapters.neo4j.graph import Neo4jGraph
from sluice.model.chunk import Mention, Relation
from sluice.model.generation import Generation, Profile
from sluice.model.points import GraphChunk, OutboxEntry
from sluice.model.source import Source, SourceSpec
from sluice.ports.projections import GraphIndex
from sluice.testing.graph import MemoryGraph
from support.graph_rows import relations

_NAMES = ("ada", "london", "paris", "royal society")
_DOCUMENTS = 3
_CHUNKS_EACH = 2
# (tenant, generation number, document, chunk of it, {name: count}; None removes the chunk; the call is made twice).
# What is mentioned an even number of times, or not at all, the document is about.
_steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(1, 2),
        st.integers(0, _DOCUMENTS - 1),
        st.integers(0, _CHUNKS_EACH - 1),
        st.none() | st.dictionaries(st.sampled_from(_NAMES), st.integers(0, 9), max_size=4),
        st.booleans(),
    ),
    max_size=12,
)
Steps = list[tuple[int, int, int, int, dict[str, int] | None, bool]]
Model = dict[tuple[int, int], dict[UUID, GraphChunk]]


@pytest.fixture(params=["memory", "neo4j"], scope="module")
def graph(request: pytest.FixtureRequest) -> Iterator[GraphIndex]:
    if request.param == "memory":
        yield MemoryGraph()
        return
    environment = request.getfixturevalue("stack").environment
    client = Neo4jGraph(*(environment[f"SLUICE_NEO4J_{name}"] for name in ("URI", "USER", "PASSWORD")))
    client.ensure()
    client.drop_orphans(client.orphans(10_000))  # of tests that went before
    yield client
    client.close()


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
def test_the_graph_is_what_its_history_says(graph: GraphIndex, steps: Steps) -> None:
    world = uuid.uuid4()  # every example has documents, tenants and a collection of its own
    model: Model = {}
    try:
        for step in steps:
            _apply(graph, world, model, step)
        for tenant in (0, 1):
            for number in (1, 2):
                _same(graph, _source(world, tenant, number), model.get((tenant, number), {}))
        assert not graph.orphans(10)
    finally:
        for number in (1, 2):
            graph.drop(_source(world, 0, number).generation)
    assert not graph.orphans(10)


def _apply(
    graph: GraphIndex, world: UUID, model: Model, step: tuple[int, int, int, int, dict[str, int] | None, bool]
) -> None:
    tenant, number, document, position, names, twice = step
    source = _source(world, tenant, number)
    document_id = uuid.uuid5(world, f"{tenant} {document}")
    chunk_id = uuid.uuid5(document_id, str(position))
    held = model.setdefault((tenant, number), {})
    if names is None:
        held.pop(chunk_id, None)
        gone = all(chunk.document_id != document_id for chunk in held.values())
        for _ in range(1 + twice):
            graph.remove([OutboxEntry(1, source.generation, document_id, (chunk_id,), gone)])
        return
    mentions = tuple(
        Mention(_entity(world, tenant, name), "ORG", name, n, about=n % 2 == 0) for name, n in names.items()
    )
    held[chunk_id] = GraphChunk(chunk_id, document_id, position, mentions, _said(mentions))
    for _ in range(1 + twice):
        graph.write(source, [held[chunk_id]])


def _same(graph: GraphIndex, source: Source, expected: dict[UUID, GraphChunk]) -> None:
    tenant = source.spec.tenant
    rows = [row for row in graph.chunks(source.generation, None, 100) if row.tenant == tenant]
    assert [(row.chunk_id, row.document_id, row.ordinal, row.mentions, row.relations, row.about) for row in rows] == [
        (
            chunk.chunk_id,
            chunk.document_id,
            chunk.ordinal,
            tuple(sorted((mention.entity_id, mention.count) for mention in chunk.mentions if mention.count)),
            tuple(sorted(chunk.relations)),
            tuple(sorted((chunk.document_id, mention.entity_id) for mention in chunk.mentions if mention.about)),
        )
        for _, chunk in sorted(expected.items())
    ]
    entities = {each.entity_id for chunk in expected.values() for each in chunk.mentions if each.count}
    for entity in entities:
        said = Counter(each for chunk in expected.values() for each in chunk.relations if entity in each)
        facts = sorted(said.items(), key=lambda each: (-each[1], each[0]))
        assert relations(graph, source.generation, source.spec.tenant, [entity]) == facts


def _said(mentions: tuple[Mention, ...]) -> tuple[Relation, ...]:
    """Of neighbours, so that the same is said by several chunks, and another by the next version of a chunk."""
    ids = [mention.entity_id for mention in mentions]
    return tuple(sorted(Relation(one, "located_in", other) for one, other in pairwise(ids)))


def _source(world: UUID, tenant: int, number: int) -> Source:
    generation = Generation(world, f"history-{world}", 1, Profile("tokens:256:0", "hash:16", "off", 16), "x")
    spec = SourceSpec("file:///x", generation.collection, f"tenant {tenant} of {world}")
    return Source(uuid.uuid5(world, str(tenant)), spec, replace(generation, number=number))


def _entity(world: UUID, tenant: int, name: str) -> UUID:
    return uuid.uuid5(world, f"{tenant} {name}")
