"""What was done to the projections behind the platform's back is found exactly, repaired wholly and paid for never."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from neo4j import GraphDatabase

from sluice.errors import NotFound
from sluice.maintenance.full_text import TermsReport
from sluice.model.generation import Generation
from sluice.model.grants import ALL_GROUPS, Principal
from sluice.model.points import LedgerChunk
from sluice.model.search import SearchRequest
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.engines import EngineStack
from support.ledger_rows import db_of
from support.swapping import swapped

MakeTools = Callable[..., Sluice]
DOCUMENTS = 40
BIRDS = ["owl", "heron", "kingfisher", "wren", "plover", "siskin", "dunlin", "grebe"]


@pytest.fixture
def sluice(make_sluice: MakeTools, tmp_path: Path) -> Sluice:
    built = make_sluice([tmp_path], filter_fields="mime,kind", chunker="chars:100:0")
    assert built.graph is not None
    built.graph.drop_orphans(built.graph.orphans(10_000))  # what tests that kill left, in any collection
    return built


@pytest.fixture
def served(sluice: Sluice, tmp_path: Path, name: str) -> Generation:
    """A collection with documents of two tenants."""
    for tenant in ("a", "b"):
        folder = tmp_path / tenant
        folder.mkdir()
        for number in range(DOCUMENTS // 2):
            (folder / f"{number}.md").write_text(text(tenant, number))
        sluice.ingestion.ingest(IngestRequest(SourceSpec(folder.as_uri(), name, f"{name}{tenant}")))
    return generation_of(sluice, name)


def text(tenant: str, number: int, bird: str | None = None) -> str:
    bird = bird or BIRDS[number % len(BIRDS)]
    sections = "\n\n".join(
        f"## Place {place}\n\nIn tenant {tenant} the {bird} number {number} was seen in Vienna at place {place}."
        for place in range(3)
    )
    return f"# Notes {number}\n\n{sections}\n"


def generation_of(sluice: Sluice, name: str) -> Generation:
    return next(each for each in sluice.ledger.collections.generations() if each.collection == name)


def expected(sluice: Sluice, generation: Generation) -> list[LedgerChunk]:
    return sluice.ledger.reconciliation.chunks_after(generation, None, 10_000)


def result(report: dict[str, Any]) -> tuple[int, int, int, int]:
    return report["missing"], report["surplus"], report["stale"], report["repaired"]


@pytest.fixture
def qdrant(stack: EngineStack, served: Generation) -> Iterator[Callable[..., Any]]:
    """A call on the physical collection, past the platform."""
    url, key = stack.environment["SLUICE_QDRANT_URL"], stack.environment["SLUICE_QDRANT_API_KEY"]
    base_url = f"{url}/collections/{served.backing_collection}"
    with httpx.Client(base_url=base_url, headers={"api-key": key}, timeout=30) as http:

        def call(method: str, path: str, body: Any = None) -> Any:
            answer = http.request(method, path, params={"wait": "true"}, json=body)
            answer.raise_for_status()
            return answer.json()["result"]

        yield call


@pytest.fixture
def cypher(stack: EngineStack) -> Iterator[Callable[..., Any]]:
    """A statement on the graph, past the platform."""
    settings = stack.settings()
    auth = (settings.neo4j_user, settings.neo4j_password.get_secret_value())
    with GraphDatabase.driver(settings.neo4j_uri, auth=auth) as driver:
        yield lambda query, **values: driver.execute_query(query, values).records


def ids_of(chunks: list[LedgerChunk]) -> list[str]:
    return [str(each.chunk_id) for each in chunks]


def assert_right_answers(sluice: Sluice, generation: Generation) -> None:
    """Each passage found is one that its tenant's documents hold now."""
    for tenant in ("a", "b"):
        who = Principal("tester", f"{generation.collection}{tenant}", frozenset({ALL_GROUPS}))
        for passage in sluice.search(SearchRequest("owl seen in Vienna", generation.collection, 20), who).passages:
            assert f"In tenant {tenant} " in passage.text and passage.text in text(tenant, int(passage.title[6:]))


def test_nothing_is_found_where_nothing_was_done(sluice: Sluice, served: Generation) -> None:
    report = sluice.reconciliation.reconcile(collection=served.collection, deep=True, page_chunks=7).to_json()
    assert result(report) == (0, 0, 0, 0) and report["ok"]
    checked = report["collections"][0]["stores"]["qdrant"]["checked"]
    assert checked == sluice.ledger.collections.counts(served).chunks == len(expected(sluice, served)) >= 100
    assert report["embedded"] == report["unreadable"] == report["in_flight"] == 0


def test_points_deleted_altered_and_added_are_found_exactly_and_mended(
    sluice: Sluice, served: Generation, qdrant: Callable[..., Any]
) -> None:
    chunks = expected(sluice, served)
    gone, altered, bent = chunks[:30], chunks[30:60], chunks[60:70]
    qdrant("POST", "/points/delete", {"points": ids_of(gone)})
    qdrant("POST", "/points/payload", {"payload": {"tenant": "somebody"}, "points": ids_of(altered)})
    dim = served.profile.dim
    vectors = [{"id": id, "vector": {"dense": [1.0] + [0.0] * (dim - 1)}} for id in ids_of(bent)]
    qdrant("PUT", "/points/vectors", {"points": vectors})
    added = {"id": str(uuid4()), "vector": {"dense": [0.5] * dim}, "payload": {"tenant": f"{served.collection}a"}}
    qdrant("PUT", "/points", {"points": [added]})

    plain = sluice.reconciliation.reconcile(collection=served.collection, page_chunks=16).to_json()
    assert result(plain) == (30, 1, 30, 0) and not plain["ok"]
    output = plain["collections"][0]["stores"]["qdrant"]["examples"]
    assert output["surplus"] == [added["id"]] and set(output["missing"]) <= set(ids_of(gone))
    assert_right_answers(sluice, served)

    mended = sluice.reconciliation.reconcile(
        collection=served.collection, repair=True, deep=True, page_chunks=16
    ).to_json()
    assert result(mended) == (30, 1, 40, 71) and mended["ok"] and mended["embedded"] == 0
    assert_right_answers(sluice, served)
    again = sluice.reconciliation.reconcile(collection=served.collection, deep=True).to_json()
    assert result(again) == (0, 0, 0, 0) and again["ok"]


@contextmanager
def searching(sluice: Sluice, generation: Generation) -> Iterator[None]:
    """While the body lasts, searches go on, and each answer is held against what the documents say."""
    done, wrong, asked = threading.Event(), list[BaseException](), itertools.count()

    def ask() -> None:
        try:
            while not done.is_set():
                assert_right_answers(sluice, generation)
                next(asked)
        except BaseException as error:
            wrong.append(error)

    reader = threading.Thread(target=ask)
    reader.start()
    try:
        yield
    finally:
        done.set()
        reader.join(60)
    if wrong:
        raise wrong[0]
    assert next(asked) > 3, "hardly anybody searched meanwhile"


def test_hundreds_of_differences_are_found_and_mended_while_people_search(
    sluice: Sluice,
    served: Generation,
    tmp_path: Path,
    qdrant: Callable[..., Any],
    cypher: Callable[..., Any],
) -> None:
    """100 points deleted and 100 payloads altered, 50 nodes removed and 50 added: all of it, and nothing else."""
    for number in range(100, 150):
        (tmp_path / "a" / f"{number}.md").write_text(text("a", number))
    sluice.ingestion.ingest(
        IngestRequest(SourceSpec((tmp_path / "a").as_uri(), served.collection, f"{served.collection}a"))
    )
    chunks = expected(sluice, served)
    of_b = [each for each in chunks if each.tenant.endswith("b")]
    gone, altered = chunks[:100], chunks[100:200]
    scope = {"c": served.collection, "g": served.number}
    added = [str(uuid4()) for _ in range(50)]

    with searching(sluice, served):
        qdrant("POST", "/points/delete", {"points": ids_of(gone)})
        # Half of them now claim to be the other tenant's, in a document and a source of theirs.
        stolen = {"tenant": of_b[0].tenant, "source_id": str(of_b[0].source_id)}
        stolen["document_id"] = str(of_b[0].document_id)
        qdrant("POST", "/points/payload", {"payload": stolen, "points": ids_of(altered[:50])})
        qdrant("PUT", "/points/payload", {"payload": {"tenant": "nobody"}, "points": ids_of(altered[50:])})
        delete = "UNWIND $ids AS id MATCH (c:Chunk {chunk_id: id, generation: $g}) DETACH DELETE c"
        cypher(delete, ids=ids_of(chunks[200:250]), **scope)
        create = (
            "UNWIND $ids AS id CREATE (:Document {document_id: id})-[:HAS_CHUNK]->"
            "(:Chunk {chunk_id: id, collection: $c, generation: $g, tenant: $t, ordinal: 0})"
        )
        cypher(create, ids=added, t=of_b[0].tenant, **scope)
        plain = sluice.reconciliation.reconcile(collection=served.collection, page_chunks=64).to_json()
        mended = sluice.reconciliation.reconcile(collection=served.collection, repair=True, page_chunks=64).to_json()

    own = {chunk.chunk_id for chunk in altered[:50] if chunk.document_id != of_b[0].document_id} | {
        chunk.chunk_id for chunk in altered[50:]
    }
    for report in (plain, mended):
        stores = report["collections"][0]["stores"]
        assert [stores["qdrant"][kind] for kind in ("missing", "surplus", "stale")] == [100, 0, len(own)]
        assert [stores["neo4j"][kind] for kind in ("missing", "surplus", "stale")] == [50, 50, 0]
    assert mended["ok"] and mended["embedded"] == 0
    assert [mended["collections"][0]["stores"][store]["repaired"] for store in ("qdrant", "neo4j")] == [
        100 + len(own),
        100,
    ]
    assert len(own) >= 97  # of a hundred: what was that document's before has not changed
    again = sluice.reconciliation.reconcile(collection=served.collection, deep=True).to_json()
    assert result(again) == (0, 0, 0, 0) and again["orphans"] == 0 and again["ok"]
    assert cypher("MATCH (n) WHERE n.document_id IN $ids OR n.chunk_id IN $ids RETURN n", ids=added) == []


def test_a_lost_collection_is_built_again_without_embedding(
    sluice: Sluice, served: Generation, qdrant: Callable[..., Any]
) -> None:
    qdrant("DELETE", "")
    chunks = sluice.ledger.collections.counts(served).chunks
    assert result(sluice.reconciliation.reconcile(collection=served.collection).to_json()) == (chunks, 0, 0, 0)
    mended = sluice.reconciliation.reconcile(collection=served.collection, repair=True, page_chunks=50).to_json()
    assert result(mended) == (chunks, 0, 0, chunks) and mended["ok"] and mended["embedded"] == 0
    assert result(sluice.reconciliation.reconcile(collection=served.collection, deep=True).to_json()) == (0, 0, 0, 0)
    assert_right_answers(sluice, served)


def test_nodes_removed_altered_and_added_are_found_and_mended(
    sluice: Sluice, served: Generation, cypher: Callable[..., Any]
) -> None:
    chunks = expected(sluice, served)
    assert any(each.mentions for each in chunks), "no entity in the texts: the graph would not be compared"
    scope = {"c": served.collection, "g": served.number}
    gone, altered, mentioned = (
        ids_of(chunks[:20]),
        ids_of(chunks[20:30]),
        next(c for c in chunks[30:] if any(n for _, _, n, _ in c.mentions)),
    )
    cypher("UNWIND $ids AS id MATCH (c:Chunk {chunk_id: id, generation: $g}) DETACH DELETE c", ids=gone, **scope)
    cypher("UNWIND $ids AS id MATCH (c:Chunk {chunk_id: id, generation: $g}) SET c.ordinal = 99", ids=altered, **scope)
    bump = "MATCH (:Chunk {chunk_id: $id, generation: $g})-[m:MENTIONS]->() SET m.count = m.count + 1"
    cypher(bump, id=str(mentioned.chunk_id), **scope)
    added = [str(uuid4()) for _ in range(10)]
    cypher(
        "UNWIND $ids AS id CREATE (:Document {document_id: 'd' + id})-[:HAS_CHUNK]->"
        "(:Chunk {chunk_id: id, collection: $c, generation: $g, tenant: 'x', ordinal: 0})-[:MENTIONS {count: 1}]->"
        "(:Entity {entity_id: 'd' + id, name: 'Nobody'})",
        ids=added,
        **scope,
    )
    cypher("UNWIND $ids AS id CREATE (:Document {document_id: 'l' + id}), (:Entity {entity_id: 'l' + id})", ids=added)
    cypher("UNWIND $ids AS id CREATE (:Chunk {chunk_id: 'by hand ' + id})", ids=added)

    plain = sluice.reconciliation.reconcile(collection=served.collection, page_chunks=16).to_json()
    output = plain["collections"][0]["stores"]["neo4j"]
    assert (output["missing"], output["surplus"], output["stale"]) == (20, 10, 11) and not plain["ok"]
    assert plain["orphans"] >= 30  # and those of other collections

    mended = sluice.reconciliation.reconcile(collection=served.collection, repair=True, page_chunks=16).to_json()
    assert mended["ok"] and mended["embedded"] == 0
    again = sluice.reconciliation.reconcile(collection=served.collection).to_json()
    assert result(again) == (0, 0, 0, 0) and again["orphans"] == 0
    left = "MATCH (n) WHERE n.document_id IN $ids OR n.entity_id IN $ids OR n.chunk_id IN $ids RETURN n"
    assert cypher(left, ids=[*added, *(kind + each for kind in ("d", "l", "by hand ") for each in added)]) == []
    counts = "MATCH (:Chunk {chunk_id: $id})-[m:MENTIONS]->(e) RETURN e.entity_id AS id, m.count AS n, e.name AS name"
    rows = cypher(counts, id=str(mentioned.chunk_id))
    assert {(each["id"], each["n"]) for each in rows} == {(str(id), n) for id, _, n, _ in mentioned.mentions if n}
    assert all(each["name"] for each in rows)


def test_a_lost_graph_is_built_again_without_embedding(
    sluice: Sluice, served: Generation, cypher: Callable[..., Any]
) -> None:
    cypher("MATCH (d:Document)-[:HAS_CHUNK]->(c:Chunk {collection: $c}) DETACH DELETE d, c", c=served.collection)
    mended = sluice.reconciliation.reconcile(collection=served.collection, repair=True, page_chunks=50).to_json()
    output, chunks = mended["collections"][0]["stores"]["neo4j"], sluice.ledger.collections.counts(served).chunks
    assert (output["missing"], output["repaired"], mended["embedded"]) == (chunks, chunks, 0) and mended["ok"]
    assert result(sluice.reconciliation.reconcile(collection=served.collection).to_json()) == (0, 0, 0, 0)
    assert sluice.graph is not None and sluice.graph.count(served, f"{served.collection}a") > 0


def test_what_a_run_has_in_hand_is_left_alone(sluice: Sluice, served: Generation, tmp_path: Path) -> None:
    """Staged and written, not yet active: neither surplus nor stale; and the run may finish afterwards."""
    spec = SourceSpec((tmp_path / "a").as_uri(), served.collection, f"{served.collection}a")
    (tmp_path / "a" / "0.md").write_text(text("a", 0, "bittern"))
    (tmp_path / "a" / "new.md").write_text(text("a", 99))

    looked: list[dict[str, Any]] = []

    class AboutToActivate:
        def __getattr__(self, method: str) -> Any:
            return getattr(sluice.ledger.versions, method)

        def activate(self, run: Any, ids: Any) -> Any:
            looked.append(
                sluice.reconciliation.reconcile(collection=served.collection, repair=True, deep=True).to_json()
            )
            return sluice.ledger.versions.activate(run, ids)

    summary = swapped(sluice, versions=AboutToActivate()).ingestion.ingest(IngestRequest(spec)).to_json()
    assert summary["chunks"]["written"] >= 6
    assert result(looked[0]) == (0, 0, 0, 0) and looked[0]["ok"] and looked[0]["in_flight"] > 0
    assert result(sluice.reconciliation.reconcile(collection=served.collection, deep=True).to_json()) == (0, 0, 0, 0)


def test_a_run_that_ends_between_the_two_looks_is_not_broken(
    sluice: Sluice, served: Generation, tmp_path: Path, qdrant: Callable[..., Any]
) -> None:
    """The repair reads the ledger, then a whole run goes by, then it writes what is old by now: the next look sees."""
    victim = next(each for each in expected(sluice, served) if each.tenant.endswith("a"))
    qdrant("POST", "/points/delete", {"points": [str(victim.chunk_id)]})
    spec = SourceSpec((tmp_path / "a").as_uri(), served.collection, f"{served.collection}a")

    class Overtaken:
        def __init__(self) -> None:
            self.runs = 0

        def __getattr__(self, method: str) -> Any:
            return getattr(sluice.vectors, method)

        def upsert(self, generation: Generation, points: Any) -> None:
            if not self.runs:
                self.runs += 1
                for path in (tmp_path / "a").glob("*.md"):
                    path.write_text(text("a", int(path.stem), "bittern"))
                sluice.ingestion.ingest(IngestRequest(spec))
            sluice.vectors.upsert(generation, points)

    overtaken = Overtaken()
    mended = (
        swapped(sluice, vectors=overtaken)
        .reconciliation.reconcile(
            collection=served.collection,
            repair=True,
        )
        .to_json()
    )
    assert overtaken.runs == 1 and mended["ok"]
    assert result(sluice.reconciliation.reconcile(collection=served.collection, deep=True).to_json()) == (0, 0, 0, 0)
    held = {each.chunk_id for each in sluice.vectors.points(served, None, 10_000)}
    assert victim.chunk_id not in held and held == {each.chunk_id for each in expected(sluice, served)}


def test_a_collection_that_is_deleted_meanwhile_is_not_made_again(
    sluice: Sluice, served: Generation, stack: EngineStack, cypher: Callable[..., Any]
) -> None:
    class Deleted:
        """The deletion begins and ends between the first look at the ledger and the repair."""

        def __getattr__(self, method: str) -> Any:
            return getattr(sluice.vectors, method)

        def ensure(self, generation: Generation) -> None:
            sluice.deletion.delete_collection(generation.collection, actor="cli")
            sluice.vectors.ensure(generation)

    report = (
        swapped(sluice, vectors=Deleted())
        .reconciliation.reconcile(
            collection=served.collection,
            repair=True,
        )
        .to_json()
    )
    assert report["collections"] == []
    assert served.collection not in {each.collection for each in sluice.ledger.collections.generations()}
    url, key = stack.environment["SLUICE_QDRANT_URL"], stack.environment["SLUICE_QDRANT_API_KEY"]
    address = f"{url}/collections/{served.backing_collection}"
    assert httpx.get(address, headers={"api-key": key}, timeout=30).status_code == 404
    assert cypher("MATCH (c:Chunk {collection: $c}) RETURN c", c=served.collection) == []


def test_a_vector_that_the_cache_has_lost_is_computed_and_told(
    sluice: Sluice, served: Generation, qdrant: Callable[..., Any]
) -> None:
    lost = expected(sluice, served)[:5]
    qdrant("POST", "/points/delete", {"points": ids_of(lost)})

    class Forgetful:
        def __getattr__(self, method: str) -> Any:
            return getattr(sluice.cache, method)

        def cached(self, embedder: str, hashes: Any) -> Any:
            known = sluice.cache.cached(embedder, hashes)
            return {key: vector for key, vector in known.items() if key != lost[0].text_hash}

    mended = (
        swapped(sluice, cache=Forgetful())
        .reconciliation.reconcile(
            collection=served.collection,
            repair=True,
        )
        .to_json()
    )
    assert result(mended) == (5, 0, 0, 5) and mended["embedded"] == 1
    assert result(sluice.reconciliation.reconcile(collection=served.collection, deep=True).to_json()) == (0, 0, 0, 0)


def test_a_collection_that_is_not_there(sluice: Sluice) -> None:
    with pytest.raises(NotFound):
        sluice.reconciliation.reconcile(collection=f"t{UUID(int=0).hex}")


def test_terms_of_chunks_that_an_older_release_loaded_are_added_by_a_repair(sluice: Sluice, served: Generation) -> None:
    """They cannot differ from what `load` writes: both are compared."""
    db, values = db_of(sluice), {"id": served.collection_id}
    rows = "SELECT chunk_id, terms, weights FROM chunk_terms WHERE collection_id = :id ORDER BY chunk_id"
    loaded = db.select(rows, **values)
    db.execute("DELETE FROM chunk_terms WHERE collection_id = :id", **values)
    db.execute("UPDATE generations SET terms_complete = false WHERE collection_id = :id", **values)

    def reconciled(**options: Any) -> tuple[bool, TermsReport]:
        report = sluice.reconciliation.reconcile(collection=served.collection, page_chunks=7, **options)
        return report.ok, report.collections[0].terms

    count = len(expected(sluice, served))
    assert reconciled() == (True, TermsReport(count, 0)), "no difference that a search with Qdrant could show"
    assert reconciled(repair=True) == (True, TermsReport(count, count))
    assert sorted(db.select(rows, **values)) == sorted(loaded)
    assert sluice.ledger.full_text.is_complete(served)
    assert reconciled() == (True, TermsReport())
