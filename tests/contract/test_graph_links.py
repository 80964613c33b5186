"""PassageLinks on Neo4j: which passages a text leads to, and how strongly."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from sluice.adapters.neo4j.graph import Neo4jGraph
from sluice.model.chunk import Mention
from sluice.model.generation import Generation, Profile
from sluice.model.links import Link, Seed
from sluice.model.points import GraphChunk
from sluice.model.source import Source, SourceSpec
from support.engines import EngineStack


@pytest.fixture(scope="module")
def graph(stack: EngineStack) -> Iterator[Neo4jGraph]:
    given = stack.environment
    graph = Neo4jGraph(given["SLUICE_NEO4J_URI"], given["SLUICE_NEO4J_USER"], given["SLUICE_NEO4J_PASSWORD"])
    graph.ensure()
    yield graph
    graph.close()


@pytest.fixture
def source(graph: Neo4jGraph) -> Iterator[Source]:
    name = f"links-{uuid.uuid4().hex}"
    generation = Generation(uuid.uuid4(), name, 1, Profile("chars:100:0", "hash:4", "phrases", 4), f"{name}__g1", ())
    source = Source(uuid.uuid4(), SourceSpec("file:///docs", name, tenant=name), generation)
    yield source
    graph.drop(generation)


class Written:
    """Chunks of documents of their own, which are written together."""

    def __init__(self, graph: Neo4jGraph, source: Source) -> None:
        self._graph, self._source = graph, source
        self.hidden = replace(source, source_id=uuid.uuid4())  # of the same collection and generation
        self.entities: dict[str, UUID] = {}
        self.chunks: dict[str, GraphChunk] = {}

    def add(
        self, name: str, mentions: str = "", about: str = "", document: UUID | None = None, source: Source | None = None
    ) -> GraphChunk:
        """`mentions` and `about`: names, separated by spaces."""
        found = {each: Mention(self.id(each), "PHRASE", each, 1) for each in mentions.split()}
        for each in about.split():
            found[each] = replace(found.get(each, Mention(self.id(each), "PHRASE", each, 0)), about=True)
        chunk = GraphChunk(uuid.uuid4(), document or uuid.uuid4(), 0, tuple(found.values()))
        self.chunks[name] = chunk
        self._graph.write(source or self._source, [chunk])
        return chunk

    def id(self, name: str) -> UUID:
        return self.entities.setdefault(name, uuid.uuid4())

    def links(
        self,
        *seeds: Seed,
        limit: int = 30,
        generation: Generation | None = None,
        sources: Sequence[Source] | None = None,
    ) -> dict[tuple[int, str], Link]:
        by_id = {chunk.chunk_id: name for name, chunk in self.chunks.items()}
        readable = [each.source_id for each in ([self._source] if sources is None else sources)]
        found = self._graph.links(generation or self._source.generation, readable, seeds, limit)
        return {(each.seed, by_id[each.chunk_id]): each for each in found}

    def seed(self, name: str, *names: str) -> Seed:
        chunk = self.chunks[name]
        return Seed(tuple(map(self.id, names)), chunk.chunk_id, chunk.document_id)


@pytest.fixture
def written(graph: Neo4jGraph, source: Source) -> Written:
    return Written(graph, source)


def test_mentions_lead_to_what_is_about_them_and_to_what_shares_them(written: Written) -> None:
    written.add("film", mentions="Brandt Graz", about="Harbour")
    written.add("life", about="Brandt")
    written.add("review", mentions="Brandt Graz")
    written.add("stranger", mentions="Vienna", about="Vienna")
    links = written.links(written.seed("film"))
    assert links.keys() == {(0, "life"), (0, "review")}
    life, review = links[0, "life"], links[0, "review"]
    assert (life.about, life.shared, life.name, life.entity_id) == (1, 0, "Brandt", written.id("Brandt"))
    assert (review.about, review.name) == (0, "Brandt") or (review.about, review.name) == (0, "Graz")
    two = review.shared
    assert written.links(written.seed("review"))[0, "film"].shared == pytest.approx(two)
    written.add("another", mentions="Brandt")
    assert 0 < written.links(written.seed("film"))[0, "another"].shared < two / 2 + 0.01


def test_names_in_a_text_lead_only_to_what_is_about_them(written: Written) -> None:
    written.add("life", about="Brandt")
    written.add("review", mentions="Brandt")
    question = Seed((written.id("Brandt"), uuid.uuid4()))
    links = written.links(question)
    assert links.keys() == {(0, "life")}
    assert links[0, "life"].name is None
    written.add("page")
    assert written.links(written.seed("page", "Brandt"), question).keys() == {(0, "life"), (1, "life")}


def test_a_documents_own_subject_and_its_own_passages_are_left_out(written: Written) -> None:
    film = written.add("film", mentions="Harbour Brandt", about="Harbour")
    written.add("second page", mentions="Brandt Harbour", document=film.document_id)
    written.add("namesake", about="Harbour")
    written.add("poster", mentions="Harbour")
    assert written.links(written.seed("film")) == {}
    assert written.links(written.seed("second page")) == {}


def test_common_entities_are_left_out_and_shared_subjects_weigh_less(written: Written) -> None:
    for number in range(51):
        written.add(f"crowd {number}", mentions="Everywhere")
    assert written.links(written.seed("crowd 0")) == {}
    written.add("asks", mentions="Springfield")
    for number in range(4):
        written.add(f"town {number}", about="Springfield")
    links = written.links(written.seed("asks"))
    assert {each.about for each in links.values()} == {0.5}
    written.add("town 4", about="Springfield")
    written.add("town 5", about="Springfield")
    assert written.links(written.seed("asks")) == {}


def test_the_strongest_come_first_up_to_the_limit(written: Written) -> None:
    written.add("film", mentions="A1 B2 C3 D4")
    written.add("one", mentions="A1")
    written.add("three", mentions="A1 B2 C3")
    written.add("life", about="D4")
    assert [name for _, name in written.links(written.seed("film"))] == ["life", "three", "one"]
    assert [name for _, name in written.links(written.seed("film"), limit=2)] == ["life", "three"]
    assert written.links() == {}


def test_generations_and_collections_are_kept_apart(written: Written, source: Source) -> None:
    written.add("film", mentions="Brandt")
    written.add("life", about="Brandt")
    seed = written.seed("film")
    assert written.links(seed)
    assert written.links(seed, generation=replace(source.generation, number=2)) == {}
    assert written.links(seed, generation=replace(source.generation, collection="another")) == {}


def _two_links(written: Written) -> tuple[Seed, dict[tuple[int, str], Link]]:
    """A seed and its links, which passages that are added by others must not change."""
    written.add("film", mentions="Brandt Graz", about="Harbour")
    written.add("life", about="Brandt")
    written.add("review", mentions="Brandt Graz")
    seed = written.seed("film")
    before = written.links(seed)
    assert before.keys() == {(0, "life"), (0, "review")}
    return seed, before


def test_passages_of_sources_that_are_not_readable_change_no_links(written: Written, source: Source) -> None:
    """Neither as targets nor as counts, from which one could learn how many hidden documents name an entity."""
    seed, before = _two_links(written)
    for number in range(60):
        written.add(f"hidden {number}", mentions="Brandt Graz", about="Brandt Graz", source=written.hidden)
    assert written.links(seed) == before
    assert written.links(seed, sources=[]) == {}
    assert written.links(seed, sources=[source, written.hidden]) == {}, "very many are about both names"
    lake = replace(source, source_id=uuid.uuid4())
    written.add("lake", about="Graz", source=lake)
    assert written.links(seed, sources=[source, lake])[0, "lake"].about == 1


def test_other_collections_and_generations_change_no_links(written: Written, graph: Neo4jGraph, source: Source) -> None:
    """Whatever else has the same names: its readers may be others, and its changes are in no epoch of this one."""
    seed, before = _two_links(written)
    scopes = [replace(source.generation, number=2), replace(source.generation, collection=f"{source.spec.tenant}-b")]
    try:
        for scope in scopes:
            other = replace(source, generation=scope)
            names = [written.id(each) for each in ("Brandt", "Graz")]
            mentions = tuple(Mention(each, "PHRASE", "?", 1, about=True) for each in names)
            graph.write(other, [GraphChunk(uuid.uuid4(), uuid.uuid4(), 0, mentions) for _ in range(60)])
        assert written.links(seed) == before
        # What is about a passage's document in another generation is not its subject in this one.
        film = written.chunks["film"]
        subject = Mention(written.id("Brandt"), "PHRASE", "Brandt", 0, about=True)
        other = replace(source, generation=scopes[0])
        graph.write(other, [GraphChunk(uuid.uuid4(), film.document_id, 1, (subject,))])
        assert written.links(seed) == before
    finally:
        for scope in scopes:
            graph.drop(scope)


def test_a_deleted_chunk_is_no_seed_and_no_target(written: Written, graph: Neo4jGraph, source: Source) -> None:
    written.add("film", mentions="Brandt")
    life = written.add("life", about="Brandt")
    graph.remove_chunks(source.generation, [life.chunk_id])
    assert written.links(written.seed("film")) == {}
