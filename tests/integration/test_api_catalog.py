"""Collections, documents and health, as far as each caller may know."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sluice.api import routes_health
from sluice.model.gates import GateResult, GateRow
from sluice.model.source import Schedule, SourceSpec
from support.api_service import PROFILE, World, as_caller, client_of, named


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with client_of(world) as client:
        yield client


def test_collections_of_the_tenant(client: TestClient) -> None:
    body = client.get("/api/v1/collections").json()
    assert body["tenant"] == "acme"
    counts = {"documents": 3, "chunks": 3, "quarantined": 0, "languages": {}}
    assert body["collections"] == [{"name": "docs", "generation": 1, **counts, "language_warning": None}]


def test_a_collection_with_its_counts_per_store(client: TestClient) -> None:
    body = client.get("/api/v1/collections/docs").json()
    assert body["chunks"] == {"ledger": 3, "qdrant": 3, "neo4j": 3}
    assert body["filter_fields"] == ["language", "year"]
    assert body["embedder"] == "hash:4"
    assert body["degraded"] == []


@pytest.mark.parametrize("store", ["qdrant", "neo4j"])
def test_a_projection_that_is_down_is_named_and_the_rest_is_told(world: World, client: TestClient, store: str) -> None:
    world.down.add(store)
    body = client.get("/api/v1/collections/docs").json()
    assert body["degraded"] == [store]
    assert body["chunks"][store] is None
    assert sorted(body["chunks"].values(), key=str) == [3, 3, None]


def test_store_wide_counts_are_for_those_who_may_read_all(client: TestClient) -> None:
    """They count the whole tenant: to others they would tell how much is hidden from them."""
    body = client.get("/api/v1/collections/docs", headers=as_caller("bob-token")).json()
    assert (body["chunks"]["qdrant"], body["chunks"]["neo4j"]) == (None, None)
    assert body["degraded"] == []


def test_documents_page_by_page(client: TestClient) -> None:
    seen: list[str] = []
    after = ""
    for expected in (2, 1):
        body = client.get(f"/api/v1/documents?collection=docs&limit=2{after}").json()
        assert len(body["documents"]) == expected
        seen += [document["external_id"] for document in body["documents"]]
        after = f"&after={body['next']}"
    assert body["next"] is None
    assert sorted(seen) == ["hostile.md", "legal.md", "open.md"]


def test_a_full_last_page_has_no_next(client: TestClient) -> None:
    assert client.get("/api/v1/documents?collection=docs&limit=3").json()["next"] is None


def test_one_document(world: World, client: TestClient) -> None:
    body = client.get(f"/api/v1/documents/{world.ids['open']}").json()
    assert body["title"] == "Title of open"
    assert body["first_seen_at"] < body["activated_at"]
    assert (body["version"], body["collection"], body["run_id"]) == (1, "docs", str(named("run open")))
    assert "sealed_title" not in body


def test_an_erased_title_is_null(world: World, client: TestClient) -> None:
    world.erased.add("open")
    assert client.get(f"/api/v1/documents/{world.ids['open']}").json()["title"] is None


# --- health -------------------------------------------------------------------------------------------------


def states(body: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["state"] for item in body["dependencies"]}


def test_health_of_every_dependency(client: TestClient) -> None:
    body = client.get("/api/v1/health").json()
    assert body["status"] == "ok"
    assert states(body) == {"ledger": "ok", "keys": "ok", "qdrant": "ok", "neo4j": "ok"}
    qdrant = next(item for item in body["dependencies"] if item["name"] == "qdrant")
    assert qdrant["version"] == "memory"
    assert qdrant["latency_ms"] > 0


@pytest.mark.parametrize(("store", "status"), [("qdrant", "degraded"), ("keys", "down"), ("neo4j", "degraded")])
def test_health_tells_what_is_down_and_what_that_means(world: World, store: str, status: str) -> None:
    world.down.add(store)
    with client_of(world) as client:
        answer = client.get("/api/v1/health")
    assert answer.json()["status"] == status
    assert [name for name, state in states(answer.json()).items() if state == "down"] == [store]
    assert "hunter2" not in answer.text


def test_a_store_that_hangs_is_down_within_the_limit(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_health, "PING_TIMEOUT_S", 0.2)
    answered, hung = threading.Event(), threading.Event()

    def ping() -> None:
        answered.wait(30)
        hung.set()

    monkeypatch.setattr(world.graph, "ping", ping)
    body = client.get("/api/v1/health").json()
    assert not hung.is_set(), "the answer waited for the store"
    answered.set()
    assert states(body) == {"ledger": "ok", "keys": "ok", "qdrant": "ok", "neo4j": "down"}


def test_ready_is_kept_for_a_moment_so_that_a_flood_costs_nothing(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ping() -> str:
        asked.append("ledger")
        return "1"

    monkeypatch.setattr(world.catalog, "ping", ping)
    for _ in range(5):
        assert client.get("/api/v1/health/ready").status_code == 200
    assert asked == ["ledger"]


# --- where a passage comes from


def test_the_past_of_a_passage(world: World, client: TestClient) -> None:
    body = client.get(f"/api/v1/passages/{named('chunk open')}/lineage").json()
    assert (body["document"]["external_id"], body["document"]["version"]) == ("open.md", 1)
    assert body["run"]["run_id"] == str(named("run open"))
    assert (body["generation"]["physical"], body["embedding"]["embedder"]) == ("docs__g1", "hash:4")
    assert "Pumps" not in str(body)


def test_the_past_of_a_passage_begins_with_its_own_flags(world: World, client: TestClient) -> None:
    run, document_id = world.ledger.runs.get(named("run open")), world.ids["open"]
    results = [
        GateResult("documents", "unique", "document_id", True, True, 3, 0, {"code": "duplicate_id"}),
        GateResult("vectors", "between", "no_terms", False, False, 3, 2, {"code": "no_terms"}),
    ]
    alike = {"similarity": 0.95, "document_id": str(named("other"))}
    rows = [
        GateRow(document_id, None, "documents", "near_duplicate", "between", alike),
        GateRow(document_id, 0, "vectors", "no_terms", "between", 1.0),
        GateRow(document_id, 1, "vectors", "no_terms", "between", 1.0),  # of another passage
        GateRow(world.ids["hostile"], None, "documents", "no_title", "not_null"),
    ]
    world.ledger.quality.record_gates(run, 0, "validate", results, rows)
    body = client.get(f"/api/v1/passages/{named('chunk open')}/lineage").json()
    assert [(each["label"], each["observed_in_words"], each["ordinal"]) for each in body["flags"]] == [
        ("no near-duplicates", f"95% the same as document {named('other')}", None),
        ("chunks have search terms", "no search term", 0),
    ]
    assert [(each["label"], each["result"]) for each in body["gates"]] == [
        ("unique document ids", "passed"),
        ("chunks have search terms", "warning"),
    ]


def test_a_passage_with_what_its_document_was_flagged_for(client: TestClient) -> None:
    body = client.get(f"/api/v1/passages/{named('chunk open')}").json()
    assert (body["text"], body["title"]) == ("Pumps are inspected every month.", "Title of open")
    assert (body["location"]["headings"], body["flags"]) == (["Upkeep"], [])
    flagged = client.get(f"/api/v1/passages/{named('chunk legal')}").json()
    assert flagged["flags"] == [{"code": "personal_data", "label": "no personal data"}]


def test_a_passage_without_its_key_is_not_there(world: World, client: TestClient) -> None:
    world.erased.add("open")
    assert client.get(f"/api/v1/passages/{named('chunk open')}").status_code == 404


@pytest.mark.parametrize("path", ["", "/lineage"])
@pytest.mark.parametrize(("token", "chunk"), [("bob-token", "legal"), ("bob-token", "foreign"), ("ann-token", "x")])
def test_nothing_of_a_passage_that_the_caller_may_not_read(
    client: TestClient, token: str, chunk: str, path: str
) -> None:
    address = f"/api/v1/passages/{named(f'chunk {chunk}')}{path}"
    assert client.get(address, headers=as_caller(token)).status_code == 404


# --- saved sources


def test_sources_with_their_schedules_and_last_runs(world: World, client: TestClient) -> None:
    [uri] = [uri for uri in (each["uri"] for each in client.get("/api/v1/sources").json()["sources"]) if "legal" in uri]
    world.ledger.sources.set_schedule("acme", "docs", uri, Schedule("0 4 * * *", paused=True))
    result = {each["uri"]: each for each in client.get("/api/v1/sources?collection=docs").json()["sources"]}
    assert {each["tenant"] for each in result.values()} == {"acme"} and len(result) == 3
    output = result[uri]
    assert (output["schedule"], output["paused"], output["next_due"], output["access_groups"]) == (
        "0 4 * * *", True, None, ["legal"],
    )  # fmt: skip
    assert output["last_run"]["run_id"] == str(named("run legal"))
    assert next(iter(result.values()))["next_due"] > output["last_run"]["started_at"]
    assert client.get("/api/v1/sources?collection=other").json() == {"sources": []}


def test_sources_and_groups_of_others_stay_unknown(world: World, client: TestClient) -> None:
    uris = [each["uri"] for each in client.get("/api/v1/sources", headers=as_caller("bob-token")).json()["sources"]]
    assert len(uris) == 2 and "legal" not in str(uris)
    world.ledger.sources.open(SourceSpec("file:///x", "docs", "acme", ("legal", "board")), PROFILE, ())
    headers = as_caller("sam-token") | {"X-Sluice-Tenant": "acme"}
    listed = client.get("/api/v1/sources", headers=headers).json()["sources"]
    assert {each["uri"]: each["access_groups"] for each in listed}["file:///x"] == ["legal"]
