"""Any GraphIndex read for reconciling: pages say what is there, what hangs on nothing is found, and only that goes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import LiteralString
from uuid import UUID

import pytest
from neo4j import Driver, GraphDatabase

from sluice.adapters.neo4j.graph import Neo4jGraph
from sluice.model.chunk import Mention, Relation
from sluice.model.generation import Generation, Profile
from sluice.model.points import GraphChunk, GraphRow, OutboxEntry
from sluice.model.source import Source, SourceSpec
from sluice.ports.projections import GraphIndex
from sluice.testing.graph import MemoryGraph
from support.graph_rows import relations

Pairs = list[tuple[Relation, int]]
ADA, LONDON, PARIS = (uuid.uuid5(uuid.NAMESPACE_OID, f"scanned {name}") for name in ("ada", "london", "paris"))


@pytest.fixture(params=["memory", "neo4j"], scope="module")
def driver(request: pytest.FixtureRequest) -> Iterator[Driver | None]:
    if request.param == "memory":
        yield None
        return
    environment = request.getfixturevalue("stack").environment
    login = (environment["SLUICE_NEO4J_USER"], environment["SLUICE_NEO4J_PASSWORD"])
    with GraphDatabase.driver(environment["SLUICE_NEO4J_URI"], auth=login) as driver:
        yield driver


@pytest.fixture
def graph(driver: Driver | None, request: pytest.FixtureRequest) -> Iterator[GraphIndex]:
    if driver is None:
        yield MemoryGraph()
        return
    environment = request.getfixturevalue("stack").environment
    client = Neo4jGraph(*(environment[f"SLUICE_NEO4J_{name}"] for name in ("URI", "USER", "PASSWORD")))
    client.ensure()
    yield client
    client.close()


@pytest.fixture
def source(graph: GraphIndex) -> Iterator[Source]:
    """In a collection and tenant of its own, whose chunks go afterwards; what other tests left on nothing goes
    before."""
    graph.drop_orphans(graph.orphans(10_000))
    collection = f"scan-{uuid.uuid4().hex}"
    generation = Generation(uuid.uuid4(), collection, 1, Profile("tokens:256:0", "hash:16", "off", 16), "x")
    yield Source(uuid.uuid4(), SourceSpec("file:///x", collection, f"tenant of {collection}"), generation)
    for number in (1, 2):
        graph.drop(replace(generation, number=number))
    graph.drop_orphans(graph.orphans(10_000))


def test_pages_tell_every_chunk_once_in_the_order_of_ids(graph: GraphIndex, source: Source) -> None:
    said = (Relation(ADA, "citizen_of", LONDON), Relation(LONDON, "located_in", ADA))
    chunks = [_chunk(ordinal, {ADA: 2, LONDON: 1} if ordinal % 2 else {}) for ordinal in range(7)]
    chunks[3] = replace(chunks[3], relations=said)
    chunks[4] = replace(chunks[4], mentions=(_about(ADA), _about(LONDON, count=2)))
    graph.write(source, chunks)
    graph.write(replace(source, generation=replace(source.generation, number=2)), [_chunk(0, {ADA: 1})])
    seen: list[GraphRow] = []
    after = None
    while page := graph.chunks(source.generation, after, 3):
        assert len(page) <= 3
        seen += page
        after = page[-1].chunk_id
    assert seen == [
        GraphRow(
            chunk.chunk_id,
            chunk.document_id,
            source.spec.tenant,
            chunk.ordinal,
            tuple(sorted((mention.entity_id, mention.count) for mention in chunk.mentions if mention.count)),
            tuple(sorted(chunk.relations)),
            tuple(sorted((chunk.document_id, mention.entity_id) for mention in chunk.mentions if mention.about)),
        )
        for chunk in sorted(chunks, key=lambda chunk: chunk.chunk_id.bytes)
    ]
    asked = [chunks[3].chunk_id, uuid.uuid4(), chunks[0].chunk_id]
    some = sorted(graph.chunks_of(source.generation, asked), key=lambda row: row.chunk_id)
    assert some == [row for row in seen if row.chunk_id in asked]
    assert graph.chunks_of(replace(source.generation, collection="another"), asked) == []


def test_dropping_a_generation_leaves_the_other(graph: GraphIndex, source: Source) -> None:
    chunk, other = _chunk(0, {ADA: 1}), _chunk(1, {LONDON: 1})
    second = replace(source.generation, number=2)
    graph.write(source, [chunk, other])
    graph.write(replace(source, generation=second), [chunk])
    graph.drop(source.generation)
    graph.drop(source.generation)
    assert graph.chunks(source.generation, None, 10) == []
    assert [row.chunk_id for row in graph.chunks(second, None, 10)] == [chunk.chunk_id]
    assert not graph.orphans(10)


def test_removed_chunks_go_from_their_generation_alone(graph: GraphIndex, source: Source) -> None:
    chunk, stored = _chunk(0, {ADA: 1}), _chunk(1, {ADA: 1})
    second = replace(source.generation, number=2)
    graph.write(source, [chunk, stored])
    graph.write(replace(source, generation=second), [chunk])
    graph.remove_chunks(source.generation, [chunk.chunk_id, uuid.uuid4()])
    assert [row.chunk_id for row in graph.chunks(source.generation, None, 10)] == [stored.chunk_id]
    assert graph.chunks_of(source.generation, [chunk.chunk_id]) == []
    assert graph.count(second) == 1


def test_a_document_without_chunks_is_an_orphan_until_it_has_one_again(graph: GraphIndex, source: Source) -> None:
    chunk = _chunk(0, {})
    graph.write(source, [chunk])
    graph.remove_chunks(source.generation, [chunk.chunk_id])
    lone = graph.orphans(1000)
    assert len(lone.documents) == len(lone) == 1
    graph.write(source, [chunk])
    assert graph.drop_orphans(lone) == 0  # looks again: it is none any more
    assert [row.document_id for row in graph.chunks_of(source.generation, [chunk.chunk_id])] == [chunk.document_id]
    graph.remove_chunks(source.generation, [chunk.chunk_id])
    assert graph.drop_orphans(lone) == 1
    assert not graph.orphans(10)


def test_relations_are_those_of_this_generation_and_tenant(graph: GraphIndex, source: Source) -> None:
    second = replace(source, generation=replace(source.generation, number=2))
    stays, moves = Relation(PARIS, "located_in", LONDON), Relation(ADA, "citizen_of", LONDON)
    chunks = [replace(_chunk(n, {ADA: 1, LONDON: 1, PARIS: 1}), relations=(stays, moves)[: n + 1]) for n in range(2)]
    graph.write(source, chunks)
    graph.write(second, chunks[1:])

    def said(*ids: UUID, of: Source = source) -> Pairs:
        return relations(graph, of.generation, of.spec.tenant, ids)

    assert said(LONDON) == said(LONDON, ADA, PARIS) == [(stays, 2), (moves, 1)]
    assert said(ADA) == [(moves, 1)]
    assert said(uuid.uuid4()) == said() == []
    assert said(ADA, of=replace(source, spec=replace(source.spec, tenant="another"))) == []
    both: Pairs = sorted([(stays, 1), (moves, 1)])
    assert said(LONDON, of=second) == both
    graph.drop(second.generation)
    assert said(LONDON) == [(stays, 2), (moves, 1)]
    assert said(LONDON, of=second) == []


def test_an_entity_shows_a_name_that_a_mention_carries(
    graph: GraphIndex, driver: Driver | None, source: Source
) -> None:
    loud, plain = _chunk(0, {ADA: 5}, name="ADA"), _chunk(1, {ADA: 1}, name="Ada")
    graph.write(source, [loud, plain])
    graph.remove([OutboxEntry(1, source.generation, loud.document_id, (loud.chunk_id,), True)])
    assert _shown(graph, driver) == "Ada"
    graph.write(source, [replace(plain, mentions=_chunk(0, {ADA: 1}, name="ada").mentions)])
    assert _shown(graph, driver) == "ada"


# --- nodes made by hand: of the server alone ----------------------------------------------------------------


def test_what_was_altered_by_hand_is_told_and_mended_by_a_write(
    graph: GraphIndex, driver: Driver | None, source: Source
) -> None:
    if driver is None:
        pytest.skip("nobody reaches into memory")
    said = (Relation(ADA, "citizen_of", LONDON),)
    chunks = [replace(_chunk(ordinal, {ADA: 2, LONDON: 1}), relations=said) for ordinal in range(12)]
    chunks = [replace(each, mentions=(*each.mentions, _about(PARIS))) for each in chunks]
    chunks.sort(key=lambda chunk: chunk.chunk_id)
    graph.write(source, chunks)
    right = graph.chunks(source.generation, None, 20)
    ids = [str(chunk.chunk_id) for chunk in chunks]
    alter: list[LiteralString] = [
        "MATCH (c:Chunk {chunk_id: $ids[0]}) SET c.ordinal = 99, c.tenant = 'x'",
        "MATCH (:Document)-[h:HAS_CHUNK]->(:Chunk {chunk_id: $ids[1]}) DELETE h",
        "MATCH (c:Chunk {chunk_id: $ids[2]}) CREATE (:Document {document_id: 'by hand'})-[:HAS_CHUNK]->(c)",
        "MATCH (:Chunk {chunk_id: $ids[3]})-[m:MENTIONS]->() SET m.count = 7",
        "MATCH (c:Chunk {chunk_id: $ids[4]})-[:MENTIONS]->(e) CREATE (c)-[:MENTIONS {count: 1}]->(e)",
        "MATCH (d:Document)-[h:HAS_CHUNK]->(c:Chunk {chunk_id: $ids[5]}) DELETE h "
        "CREATE (:NoDocument {document_id: d.document_id})-[:HAS_CHUNK]->(c)",
        "MATCH ()-[r:RELATES {chunk_id: $ids[6]}]->() DELETE r",
        "MATCH ()-[r:RELATES {chunk_id: $ids[7]}]->() SET r.kind = 'located_in'",
        "MATCH (a)-[r:RELATES {chunk_id: $ids[8]}]->(b) "
        "CREATE (b)-[:RELATES {kind: r.kind, chunk_id: $ids[8], generation: 1}]->(a)",
        "MATCH ()-[r:ABOUT {chunk_id: $ids[9]}]->() DELETE r",
        "MATCH (d)-[r:ABOUT {chunk_id: $ids[10]}]->(e) CREATE (d)-[:ABOUT {chunk_id: $ids[10], generation: 1}]->(e)",
        "MATCH (:Chunk {chunk_id: $ids[11]})-[:MENTIONS]->(e {entity_id: $ada}) "
        "CREATE (:NoDocument)-[:ABOUT {chunk_id: $ids[11], generation: 1}]->(e)",
    ]
    for statement in alter:
        driver.execute_query(statement, ids=ids, ada=str(ADA))
    wrong = graph.chunks(source.generation, None, 20)
    assert [row == before for row, before in zip(wrong, right, strict=True)] == [False] * 12
    assert (wrong[0].ordinal, wrong[0].tenant, wrong[1].document_id, wrong[2].document_id) == (99, "x", None, None)
    assert [count for _, count in wrong[3].mentions] == [7, 7]
    assert len(wrong[4].mentions) == 4
    assert wrong[5].document_id is None
    assert (wrong[6].relations, wrong[7].relations) == ((), ((ADA, "located_in", LONDON),))
    assert wrong[8].relations == tuple(sorted([(ADA, "citizen_of", LONDON), (LONDON, "citizen_of", ADA)]))
    assert (wrong[9].about, wrong[10].about) == ((), ((chunks[10].document_id, PARIS),) * 2)
    assert set(wrong[11].about) == {(chunks[11].document_id, PARIS), (None, ADA)}
    graph.write(source, chunks)
    driver.execute_query("MATCH (n:NoDocument) DELETE n")  # fails while anything hangs on it
    assert graph.chunks(source.generation, None, 20) == right


def test_orphans_made_by_hand_are_found_and_only_they_go(
    graph: GraphIndex, driver: Driver | None, source: Source
) -> None:
    if driver is None:
        pytest.skip("nobody reaches into memory")
    graph.write(source, [_chunk(0, {ADA: 1})])
    assert not graph.orphans(100)
    driver.execute_query(
        "CREATE (:Document {document_id: 'x'})-[:MENTIONS]->(:Entity {entity_id: 'y'}), (:Document), "
        "(:Chunk {chunk_id: 'no id', collection: $collection, generation: 1}), (:Chunk), (:Entity), "
        "(:Entity {entity_id: $adopted, name: 'Paris', kind: 'GPE'})",
        collection=source.generation.collection,
        adopted=str(PARIS),
    )
    between: LiteralString = (
        "MATCH (d:Document)-[:HAS_CHUNK]->(:Chunk {collection: $collection})-[:MENTIONS]->(e:Entity) "
        "CREATE (d)-[:MENTIONS]->(e), (e)-[:RELATES {kind: 'citizen_of'}]->(e), (d)-[:RELATES]->(e), (d)-[:ABOUT]->(e)"
    )
    driver.execute_query(between, collection=source.generation.collection)
    result = graph.orphans(100)
    assert (len(result.documents), len(result.chunks), len(result.entities), len(result.edges)) == (2, 2, 3, 5)
    assert len(graph.orphans(1).entities) == 1
    assert len(graph.chunks(source.generation, None, 10)) == 1
    graph.write(source, [_chunk(1, {PARIS: 1})])  # a mention came between looking and dropping
    assert graph.drop_orphans(result) == 10  # a relationship went with its nodes
    assert graph.drop_orphans(result) == 0
    assert not graph.orphans(100)
    rows = graph.chunks(source.generation, None, 10)
    assert {mention for row in rows for mention in row.mentions} == {(ADA, 1), (PARIS, 1)}


def test_pages_and_drops_use_an_index(driver: Driver | None, graph: GraphIndex) -> None:
    if driver is None:
        pytest.skip("there are no plans in memory")
    from sluice.adapters.neo4j.cypher import CHUNKS_AFTER, CHUNKS_OF, DROP

    values = {"collection": "", "generation": 1, "after": "", "limit": 10, "ids": [], "tenant": ""}
    asked = (CHUNKS_AFTER, CHUNKS_OF, *DROP.values())
    statements: list[LiteralString] = ["EXPLAIN " + each for each in asked]
    plans = [str(driver.execute_query(statement, values).summary.plan) for statement in statements]
    assert not [plan for plan in plans if re.search("(Nodes?|Label|Index|Relationships?|Type)Scan", plan)]
    assert "'Sort@neo4j'" not in plans[0]
    assert "'Top@neo4j'" not in plans[0]


def _about(entity_id: UUID, count: int = 0) -> Mention:
    return Mention(entity_id, "PHRASE", "Title", count, about=True)


def _chunk(ordinal: int, mentions: dict[UUID, int], name: str = "name") -> GraphChunk:
    named = tuple(Mention(id, "ORG", name, count) for id, count in mentions.items())
    return GraphChunk(uuid.uuid4(), uuid.uuid4(), ordinal, named)


def _shown(graph: GraphIndex, driver: Driver | None) -> str:
    if isinstance(graph, MemoryGraph):
        return graph.entities[ADA][1]
    assert driver is not None
    query: LiteralString = "MATCH (e:Entity {entity_id: $id}) RETURN e.name"
    return str(driver.execute_query(query, id=str(ADA)).records[0][0])
