"""Any GraphIndex: what is written is counted, what is written again adds nothing, what is removed leaves nothing."""

from __future__ import annotations

import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, LiteralString
from uuid import UUID

import pytest
from neo4j import Driver, GraphDatabase

from sluice.adapters.neo4j.graph import Neo4jGraph
from sluice.errors import Slow, Terminal, Unavailable
from sluice.model.chunk import Mention, Relation
from sluice.model.generation import Generation, Profile
from sluice.model.points import GraphChunk, OutboxEntry
from sluice.model.source import Source, SourceSpec
from sluice.ports.projections import GraphIndex
from sluice.testing.graph import MemoryGraph
from support.graph_rows import relations


@pytest.fixture(params=["memory", "neo4j"], scope="module")
def driver(request: pytest.FixtureRequest) -> Iterator[Driver | None]:
    """To look at the server behind the adapter's back; None in memory."""
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
    client = _client(request.getfixturevalue("stack").environment)
    client.ensure()
    yield client
    client.close()


@pytest.fixture
def source(driver: Driver | None) -> Iterator[Source]:
    """A source in a collection and tenant of its own, whose nodes go afterwards."""
    collection = f"contract-{uuid.uuid4().hex}"
    yield _source(collection)
    if driver is not None:
        driver.execute_query("MATCH (n) WHERE n.tenant = $tenant DETACH DELETE n", tenant=f"tenant of {collection}")


def test_chunks_are_counted_by_generation_and_tenant(graph: GraphIndex, source: Source) -> None:
    graph.write(source, [_chunk(ordinal) for ordinal in range(3)])
    assert graph.count(source.generation) == 3
    assert graph.count(source.generation, source.spec.tenant) == 3
    assert graph.count(source.generation, "another") == 0
    assert graph.count(replace(source.generation, number=2)) == 0
    assert graph.count(replace(source.generation, collection="another")) == 0


def test_mentions_lead_from_each_chunk_to_its_entities(
    graph: GraphIndex, driver: Driver | None, source: Source
) -> None:
    """Many at once: each relationship must join the right two nodes."""
    names = [f"name {number}" for number in range(50)]
    document = uuid.uuid4()
    chunks = [
        _chunk(ordinal, document, **{names[(ordinal * step) % 50]: step for step in (1, 3, 7)})
        for ordinal in range(120)
    ]
    graph.write(source, chunks)
    assert _mentions(graph, driver, source) == {
        chunk.chunk_id: {mention.name: mention.count for mention in chunk.mentions} for chunk in chunks
    }


def test_a_second_write_makes_the_mentions_exactly_the_given_ones(
    graph: GraphIndex, driver: Driver | None, source: Source
) -> None:
    first = _chunk(0, ada=2, london=1)
    graph.write(source, [first])
    again = replace(_chunk(0, first.document_id, ada=5, paris=1), chunk_id=first.chunk_id)
    other = _chunk(1, first.document_id, ada=1)
    graph.write(source, [other, again])
    graph.write(source, [other, again])
    assert _mentions(graph, driver, source) == {first.chunk_id: {"ada": 5, "paris": 1}, other.chunk_id: {"ada": 1}}
    assert _entities(graph, driver, source) == {"ada", "paris"}  # nothing mentions london any more
    bare = replace(again, mentions=())
    graph.write(source, [bare])
    assert _mentions(graph, driver, source)[first.chunk_id] == {}
    assert graph.count(source.generation) == 2


def test_a_relation_is_there_while_a_chunk_says_so(graph: GraphIndex, driver: Driver | None, source: Source) -> None:
    inside = Relation(_entity("london"), "located_in", _entity("england"))
    born = Relation(_entity("ada"), "citizen_of", _entity("england"))
    one = replace(_chunk(0, ada=1, london=1, england=2), relations=(inside, born))
    other = replace(_chunk(0, london=1, england=1), relations=(inside,))
    for _ in range(2):
        graph.write(source, [one, other])
        assert _relations(graph, source, "england") == [(inside, 2), (born, 1)]
    edited = replace(one, mentions=_chunk(0, ada=1, england=1).mentions, relations=(born,))
    graph.write(source, [edited])
    assert _relations(graph, source, "england") == sorted([(inside, 1), (born, 1)])  # the other chunk says so still
    graph.remove([_removal(source, [other], gone=True)])
    assert _relations(graph, source, "england") == [(born, 1)]
    graph.remove_chunks(source.generation, [one.chunk_id])
    assert _relations(graph, source, "england") == []
    assert _entities(graph, driver, source) == set()


def test_what_a_document_is_about_is_there_while_its_chunk_says_so(
    graph: GraphIndex, driver: Driver | None, source: Source
) -> None:
    document = uuid.uuid4()
    first = replace(_chunk(0, document), mentions=(_about("ada"), _about("london")))
    second = replace(_chunk(1, document), mentions=(_about("paris"), *_chunk(0, ada=1).mentions))
    other = _chunk(0, ada=1)
    for _ in range(2):
        graph.write(source, [first, second, other])
        assert _abouts(graph, source) == {(document, "ada"), (document, "london"), (document, "paris")}
    assert _mentions(graph, driver, source)[first.chunk_id] == {}
    graph.write(source, [replace(first, mentions=(_about("ada"),))])  # the title is another one
    assert _abouts(graph, source) == {(document, "ada"), (document, "paris")}
    assert _entities(graph, driver, source) == {"ada", "paris"}  # nothing is about london any more
    graph.remove_chunks(source.generation, [other.chunk_id, second.chunk_id])
    assert _abouts(graph, source) == {(document, "ada")}
    assert _entities(graph, driver, source) == {"ada"}  # nothing mentions it, and a document is about it
    graph.remove([_removal(source, [first], gone=True)])
    assert _entities(graph, driver, source) == set()
    assert _documents(graph, driver, source) == {other.document_id}  # an orphan: its chunk alone was removed


def test_removal_takes_chunks_and_what_only_they_mention(
    graph: GraphIndex, driver: Driver | None, source: Source
) -> None:
    document = uuid.uuid4()
    stored, dropped = _chunk(0, document, ada=1), _chunk(1, document, ada=1, london=1)
    graph.write(source, [stored, dropped])
    removal = _removal(source, [dropped], gone=False)
    graph.remove([removal])
    graph.remove([removal])
    assert _mentions(graph, driver, source) == {stored.chunk_id: {"ada": 1}}
    assert _entities(graph, driver, source) == {"ada"}
    assert _documents(graph, driver, source) == {document}
    graph.remove([_removal(source, [stored], gone=True)])
    assert graph.count(source.generation) == 0
    assert _entities(graph, driver, source) == set()
    assert _documents(graph, driver, source) == set()


def test_generations_stand_side_by_side(graph: GraphIndex, driver: Driver | None, source: Source) -> None:
    chunk = _chunk(0, ada=1)
    second = replace(source, generation=replace(source.generation, number=2))
    graph.write(source, [chunk])
    graph.write(second, [chunk])
    assert graph.count(source.generation) == graph.count(second.generation) == 1
    graph.remove([_removal(source, [chunk], gone=True)])
    assert (graph.count(source.generation), graph.count(second.generation)) == (0, 1)
    assert _documents(graph, driver, source) == {chunk.document_id}  # the other generation still holds it
    assert _entities(graph, driver, source) == {"ada"}


def test_more_than_one_batch(graph: GraphIndex, source: Source) -> None:
    chunks = [_chunk(ordinal, ada=1) for ordinal in range(4100)]
    graph.write(source, chunks)
    assert graph.count(source.generation) == 4100
    graph.remove([_removal(source, [chunk], gone=True) for chunk in chunks])
    assert graph.count(source.generation) == 0


def test_nothing_to_do_is_no_error(graph: GraphIndex, source: Source) -> None:
    graph.ensure()
    graph.write(source, [])
    graph.remove([])
    graph.remove([_removal(source, [_chunk(0)], gone=True)])
    assert graph.ping()


def test_writers_and_removers_at_once_lose_nothing(graph: GraphIndex, driver: Driver | None, source: Source) -> None:
    """All share the same entities; while some come, others go."""
    if isinstance(graph, MemoryGraph):
        pytest.skip("the graph in memory is for one thread")
    names = [f"shared {number}" for number in range(30)]

    def chunk(ordinal: int, own: list[str]) -> GraphChunk:
        said = () if len(set(own)) < 3 else (Relation(_entity(own[0]), "located_in", _entity(own[1])),)
        built = _chunk(ordinal, **dict.fromkeys(own, 1))
        return replace(built, mentions=(*built.mentions, _about(f"title {ordinal % 20}")), relations=said)

    def chunks(worker: int) -> list[GraphChunk]:
        return [chunk(i, [names[(worker * 7 + i * step) % 30] for step in (1, 2, 5)]) for i in range(60)]

    stored = [chunks(worker) for worker in range(4)]
    passing = [chunks(worker) for worker in range(4)]

    def work(worker: int) -> None:
        for start in range(0, 60, 20):
            graph.write(source, passing[worker][start : start + 20])
            graph.write(source, stored[worker][start : start + 20])
            graph.remove([_removal(source, passing[worker][start : start + 20], gone=True)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    expected = {c.chunk_id: {m.name: m.count for m in c.mentions if m.count} for batch in stored for c in batch}
    assert _mentions(graph, driver, source) == expected
    assert _entities(graph, driver, source) == {m.name for batch in stored for c in batch for m in c.mentions}
    assert _abouts(graph, source) == {
        (c.document_id, m.name) for batch in stored for c in batch for m in c.mentions if m.about
    }
    said = Counter(relation for batch in stored for each in batch for relation in each.relations)
    result = relations(graph, source.generation, source.spec.tenant, [_entity(name) for name in names])
    assert dict(result) == dict(said) and said


def test_two_writers_of_the_same_chunks_leave_them_once(
    graph: GraphIndex, driver: Driver | None, source: Source
) -> None:
    if isinstance(graph, MemoryGraph):
        pytest.skip("the graph in memory is for one thread")
    lives = Relation(_entity("ada"), "located_in", _entity("london"))
    chunks = [replace(_chunk(ordinal, ada=1, london=2), relations=(lives,)) for ordinal in range(200)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: graph.write(source, chunks), range(4)))
    assert _mentions(graph, driver, source) == {chunk.chunk_id: {"ada": 1, "london": 2} for chunk in chunks}
    assert [row.relations for row in graph.chunks(source.generation, None, 1000)] == [(lives,)] * 200


def test_lookups_use_an_index(graph: GraphIndex, driver: Driver | None) -> None:
    if driver is None:
        pytest.skip("there are no plans in memory")
    from sluice.adapters.neo4j import cypher

    values = {
        "ids": [],
        "rows": [],
        "names": [],
        "documents": [],
        "entities": [],
        "relations": [],
        "about": [],
        "tenant": "",
        "collection": "",
        "generation": 1,
    }
    for name in (
        "KNOWN",
        "WRITE_NEW",
        "WRITE_KNOWN",
        "WRITE_RELATIONS",
        "WRITE_ABOUT",
        "FORGET_RELATIONS",
        "FORGET_ABOUT",
        "REMOVE_CHUNKS",
        "REMOVE_DOCUMENTS",
        "REMOVE_ENTITIES",
        "RENAME_ENTITIES",
    ):
        statement: LiteralString = getattr(cypher, name)
        explain: LiteralString = "EXPLAIN " + statement
        plan = driver.execute_query(explain, {**values, "source_id": ""}).summary.plan
        assert "Scan" not in " ".join(_operators(plan or {})), name


# --- of the server alone ------------------------------------------------------------------------------------


def test_a_wrong_password_is_terminal(request: pytest.FixtureRequest) -> None:
    environment = request.getfixturevalue("stack").environment
    graph = _client({**environment, "SLUICE_NEO4J_PASSWORD": "wrong"})
    with pytest.raises(Terminal, match="SLUICE_NEO4J_USER"):
        graph.ping()
    graph.close()


@pytest.mark.parametrize("silent", [False, True])
def test_a_server_that_is_not_there_is_unavailable_in_time(silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        if not silent:
            server.close()
            address = "bolt://127.0.0.1:9"
        else:
            address = f"bolt://127.0.0.1:{server.getsockname()[1]}"
        graph = Neo4jGraph(address, "neo4j", "secret", connect_timeout_s=1.0, call_timeout_s=2.0)
        start = time.monotonic()
        with pytest.raises(Unavailable, match="neo4j is not available"):
            graph.count(_source("nowhere").generation)
        assert time.monotonic() - start < 20  # the driver would retry for 30 s, and wait for a connection for 60 s
        graph.close()


def test_a_write_that_waits_too_long_ends_and_says_that_the_server_is_slow(
    driver: Driver | None, graph: GraphIndex, source: Source, request: pytest.FixtureRequest
) -> None:
    if driver is None:
        pytest.skip("no transactions in memory")
    chunk = _chunk(0, ada=1)
    graph.write(source, [chunk])
    hasty = _client(request.getfixturevalue("stack").environment, call_timeout_s=1.0)
    with driver.session() as session, session.begin_transaction() as transaction:
        transaction.run("MATCH (c:Chunk {chunk_id: $id}) SET c.held = 1", id=str(chunk.chunk_id)).consume()
        with pytest.raises(Slow, match=r"neo4j did not answer in time: remove 1 chunks.*SLUICE_CALL_TIMEOUT_S"):
            hasty.remove_chunks(source.generation, [chunk.chunk_id])
        transaction.rollback()
    hasty.close()
    graph.remove_chunks(source.generation, [chunk.chunk_id])
    assert graph.count(source.generation) == 0


def test_an_address_that_is_none_is_terminal() -> None:
    with pytest.raises(Terminal, match="SLUICE_NEO4J_URI"):
        Neo4jGraph("localhost:7687", "neo4j", "secret")


def _client(environment: dict[str, str], call_timeout_s: float = 30.0) -> Neo4jGraph:
    names = ("SLUICE_NEO4J_URI", "SLUICE_NEO4J_USER", "SLUICE_NEO4J_PASSWORD")
    return Neo4jGraph(*(environment[name] for name in names), call_timeout_s=call_timeout_s)


def _source(collection: str) -> Source:
    profile = Profile("tokens:256:0", "hash:16", "off", 16)
    generation = Generation(uuid.uuid4(), collection, 1, profile, f"{collection}__g1")
    return Source(uuid.uuid4(), SourceSpec("file:///x", collection, f"tenant of {collection}"), generation)


def _chunk(ordinal: int, document_id: UUID | None = None, /, **mentions: int) -> GraphChunk:
    named = tuple(Mention(_entity(name), "ORG", name, n) for name, n in mentions.items())
    return GraphChunk(uuid.uuid4(), document_id or uuid.uuid4(), ordinal, named)


def _entity(name: str) -> UUID:
    return uuid.uuid5(uuid.NAMESPACE_OID, name)


def _about(name: str) -> Mention:
    return Mention(_entity(name), "PHRASE", name, 0, about=True)


def _abouts(graph: GraphIndex, source: Source) -> set[tuple[UUID | None, str]]:
    """(document, name of what it is about), each once."""
    names = {_entity(name): name for name in ("ada", "london", "paris", *(f"title {n}" for n in range(20)))}
    result = [each for row in graph.chunks(source.generation, None, 1000) for each in row.about]
    assert len(set(result)) == len(result)
    return {(document, names[entity]) for document, entity in result if entity}


def _relations(graph: GraphIndex, source: Source, name: str) -> list[tuple[Relation, int]]:
    return relations(graph, source.generation, source.spec.tenant, [_entity(name)])


def _removal(source: Source, chunks: Sequence[GraphChunk], gone: bool) -> OutboxEntry:
    return OutboxEntry(1, source.generation, chunks[0].document_id, tuple(c.chunk_id for c in chunks), gone)


def _mentions(graph: GraphIndex, driver: Driver | None, source: Source) -> dict[UUID, dict[str, int]]:
    """Chunk → entity name → count, of the source's tenant and generation."""
    tenant, number = source.spec.tenant, source.generation.number
    if isinstance(graph, MemoryGraph):
        return {
            chunk_id: {mention.name: mention.count for mention in node.mentions if mention.count}
            for (chunk_id, generation), node in graph.chunks_by_key.items()
            if node.tenant == tenant and generation == number
        }
    result: dict[UUID, dict[str, int]] = {}
    rows = _rows(
        driver,
        "MATCH (:Document)-[:HAS_CHUNK]->(c:Chunk {tenant: $tenant, generation: $generation}) "
        "OPTIONAL MATCH (c)-[m:MENTIONS]->(e) RETURN c.chunk_id, e.name, m.count",
        tenant=tenant,
        generation=number,
    )
    for chunk_id, name, count in rows:
        mentions = result.setdefault(UUID(chunk_id), {})
        if name is not None:
            assert name not in mentions  # a relationship twice
            mentions[name] = count
    return result


def _entities(graph: GraphIndex, driver: Driver | None, source: Source) -> set[str]:
    if isinstance(graph, MemoryGraph):
        return {name for _, name in graph.entities.values()}
    query: LiteralString = "MATCH (e:Entity {tenant: $tenant}) RETURN e.name"
    return {row[0] for row in _rows(driver, query, tenant=source.spec.tenant)}


def _documents(graph: GraphIndex, driver: Driver | None, source: Source) -> set[UUID]:
    if isinstance(graph, MemoryGraph):
        return graph.documents
    query: LiteralString = "MATCH (d:Document {tenant: $tenant}) RETURN d.document_id"
    return {UUID(row[0]) for row in _rows(driver, query, tenant=source.spec.tenant)}


def _rows(driver: Driver | None, query: LiteralString, **values: Any) -> list[list[Any]]:
    assert driver is not None
    return [list(record.values()) for record in driver.execute_query(query, values).records]


def _operators(plan: dict[str, Any]) -> Iterator[str]:
    yield plan["operatorType"]
    for child in plan.get("children", []):
        yield from _operators(child)
