"""What sentences say of two entities is in ledger and graph while a chunk says it, and not a moment longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from neo4j import GraphDatabase

from sluice.adapters.entities.naming import entity_id
from sluice.model.generation import Generation
from sluice.model.source import SourceSpec
from sluice.pipeline.requests import IngestRequest
from sluice.wiring.application import Sluice
from support.engines import EngineStack
from support.graph_rows import relations

Said = tuple[str, str, str]
HAMBURG = "She lives in Hamburg, Germany."
MERKEL = "Angela Merkel is a German politician."
INSIDE: Said = ("Hamburg", "located_in", "Germany")
CITIZEN: Said = ("Angela Merkel", "citizen_of", "German")


@pytest.fixture
def sluice(make_sluice: Callable[..., Sluice], tmp_path: Path) -> Sluice:
    return make_sluice([tmp_path], entities="spacy:en_core_web_sm+relations", chunker="chars:200:0")


@pytest.fixture
def spec(tmp_path: Path, name: str) -> SourceSpec:
    (tmp_path / "one.md").write_text(f"# One\n\n{HAMBURG} {MERKEL}\n")
    (tmp_path / "other.md").write_text(f"# Other\n\n{HAMBURG}\n")
    return SourceSpec(tmp_path.as_uri(), name, tenant=name)


@pytest.fixture
def cypher(stack: EngineStack) -> Iterator[Callable[..., Any]]:
    """A statement on the graph, past the platform."""
    settings = stack.settings()
    auth = (settings.neo4j_user, settings.neo4j_password.get_secret_value())
    with GraphDatabase.driver(settings.neo4j_uri, auth=auth) as driver:
        yield lambda query, **values: driver.execute_query(query, values).records


def served(sluice: Sluice, spec: SourceSpec) -> Generation:
    return next(each for each in sluice.ledger.collections.generations() if each.collection == spec.collection)


def said(sluice: Sluice, spec: SourceSpec) -> dict[Said, int]:
    """By names, with the chunks that say so; the ledger must say the same as the graph."""
    generation = served(sluice, spec)
    key = sluice.keyring.index_key(spec.tenant)
    names = {entity_id(key, name): name for each in (INSIDE, CITIZEN) for name in (each[0], each[2])}
    assert sluice.graph is not None
    result = dict(relations(sluice.graph, generation, spec.tenant, names))
    rows = [
        each for chunk in sluice.ledger.reconciliation.chunks_after(generation, None, 100) for each in chunk.relations
    ]
    assert {each: rows.count(each) for each in rows} == result
    return {(names[head], kind, names[tail]): weight for (head, kind, tail), weight in result.items()}


def test_a_relation_goes_with_the_last_sentence_that_says_it(sluice: Sluice, spec: SourceSpec, tmp_path: Path) -> None:
    sluice.ingestion.ingest(IngestRequest(spec))
    assert said(sluice, spec) == {INSIDE: 2, CITIZEN: 1}
    (tmp_path / "one.md").write_text(f"# One\n\n{MERKEL}\n")
    sluice.ingestion.ingest(IngestRequest(spec))
    assert said(sluice, spec) == {INSIDE: 1, CITIZEN: 1}  # the other document says so still
    (tmp_path / "other.md").unlink()
    sluice.ingestion.ingest(IngestRequest(spec, approve_shrink=True))
    assert said(sluice, spec) == {CITIZEN: 1}
    report = sluice.reconciliation.reconcile(collection=spec.collection).to_json()
    assert (report["ok"], report["stale"], report["surplus"]) == (True, 0, 0)


@pytest.mark.parametrize(
    ("statement", "stale", "orphans"),
    [
        ("MATCH (:Entity {tenant: $t})-[r:RELATES {kind: 'located_in'}]->() DELETE r", 2, 0),
        ("MATCH (:Entity {tenant: $t})-[r:RELATES {kind: 'citizen_of'}]->() SET r.kind = 'located_in'", 1, 0),
        ("MATCH (a:Entity {tenant: $t})-[r {kind: 'citizen_of'}]->(b) CREATE (b)-[:RELATES {chunk_id: r.chunk_id, "
         "generation: r.generation, kind: r.kind}]->(a)", 1, 0),
        ("MATCH (a:Entity {tenant: $t})-[{kind: 'citizen_of'}]->(b) CREATE (b)-[:RELATES {kind: 'citizen_of'}]->(a)",
         0, 1),
    ],
    ids=["deleted", "altered", "added to a chunk", "added"],
)  # fmt: skip
def test_what_was_done_by_hand_is_told_and_mended(
    sluice: Sluice, spec: SourceSpec, cypher: Callable[..., Any], statement: str, stale: int, orphans: int
) -> None:
    sluice.reconciliation.reconcile(repair=True)  # orphans are looked for everywhere
    sluice.ingestion.ingest(IngestRequest(spec))
    cypher(statement, t=spec.tenant)
    plain = sluice.reconciliation.reconcile(collection=spec.collection).to_json()
    assert (plain["stale"], plain["orphans"], plain["ok"]) == (stale, orphans, False)
    mended = sluice.reconciliation.reconcile(collection=spec.collection, repair=True).to_json()
    assert mended["ok"] and mended["embedded"] == 0
    assert said(sluice, spec) == {INSIDE: 2, CITIZEN: 1}
    again = sluice.reconciliation.reconcile(collection=spec.collection).to_json()
    assert (again["stale"], again["orphans"], again["ok"]) == (0, 0, True)


def test_a_lost_graph_is_built_again_with_its_relations(
    sluice: Sluice, spec: SourceSpec, cypher: Callable[..., Any]
) -> None:
    sluice.ingestion.ingest(IngestRequest(spec))
    cypher("MATCH (n {tenant: $t}) DETACH DELETE n", t=spec.tenant)
    mended = sluice.reconciliation.reconcile(collection=spec.collection, repair=True).to_json()
    assert mended["ok"] and mended["embedded"] == 0
    assert said(sluice, spec) == {INSIDE: 2, CITIZEN: 1}
