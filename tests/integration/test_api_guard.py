"""Who gets in, for which tenant, and from which pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from support.api_service import World, as_caller, client_of, named, question


@pytest.fixture
def stranger(world: World) -> Iterator[TestClient]:
    with client_of(world, token=None) as client:
        yield client


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with client_of(world) as client:
        yield client


CLOSED = [
    ("GET", "/"),
    ("GET", "/page.js"),
    ("GET", "/page.css"),
    ("POST", "/api/v1/search"),
    ("GET", "/api/v1/collections"),
    ("GET", "/api/v1/collections/docs"),
    ("GET", "/api/v1/documents?collection=docs"),
    ("GET", f"/api/v1/documents/{named('any')}"),
    ("GET", "/api/v1/health"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/api/v1/nothing"),
    ("DELETE", "/api/v1/search"),
    ("GET", "/api/v1/health/live/"),
    ("GET", "//api/v1/health/live"),
    ("GET", "/api/v1/health/ready/../../collections"),
]


@pytest.mark.parametrize(
    "headers", [{}, as_caller("garbage"), {"Authorization": "Basic YTpi"}, {"Cookie": "_token=old"}]
)
def test_strangers_are_turned_away_everywhere(stranger: TestClient, world: World, headers: dict[str, str]) -> None:
    for method, path in CLOSED:
        answer = stranger.request(method, path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert world.built == 0  # nothing was asked on a stranger's behalf


def test_the_probes_are_open_and_bare(stranger: TestClient, world: World) -> None:
    live, ready = stranger.get("/api/v1/health/live"), stranger.get("/api/v1/health/ready")
    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})


@pytest.mark.parametrize(("store", "status"), [("ledger", 503), ("keys", 503), ("qdrant", 200), ("neo4j", 200)])
def test_ready_means_that_searches_can_be_answered(world: World, store: str, status: int) -> None:
    world.down.add(store)
    with client_of(world, token=None) as client:
        answer = client.get("/api/v1/health/ready")
    assert answer.status_code == status
    assert list(answer.json()) == ["status"]


def test_cookie_and_bearer_both_authenticate_and_bearer_wins(stranger: TestClient) -> None:
    assert stranger.get("/api/v1/collections", headers={"Cookie": "_token=ann-token"}).status_code == 200
    both = {"Cookie": "_token=ann-token"} | as_caller("garbage")
    assert stranger.get("/api/v1/collections", headers=both).status_code == 401


def test_nobody_is_let_in_while_it_cannot_be_decided_who_calls(stranger: TestClient) -> None:
    answer = stranger.get("/api/v1/collections", headers=as_caller("database-down"))
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_a_grant_the_answer_says_how_to_get_one(stranger: TestClient) -> None:
    answer = stranger.post("/api/v1/search", json=question(), headers=as_caller("nil-token"))
    assert answer.status_code == 403
    assert "sluice grant nil --tenant default" in answer.json()["detail"]


# --- tenants ------------------------------------------------------------------------------------------------


def test_the_tenant_is_chosen_among_the_granted_ones(stranger: TestClient) -> None:
    def tenant(**headers: str) -> tuple[int, str | None]:
        answer = stranger.get("/api/v1/collections", headers=as_caller("sam-token") | headers)
        return answer.status_code, answer.headers.get("x-sluice-tenant")

    assert tenant() == (200, "acme")  # none is called default: the first by name
    assert tenant(**{"X-Sluice-Tenant": "other"}) == (200, "other")
    assert tenant(**{"X-Sluice-Tenant": "third"})[0] == 403
    assert tenant(**{"X-Sluice-Tenant": ""})[0] == 403


def test_a_single_grant_needs_no_header_and_allows_no_other(client: TestClient) -> None:
    assert client.get("/api/v1/collections").json()["tenants"] == ["acme"]
    assert client.get("/api/v1/collections", headers={"X-Sluice-Tenant": "other"}).status_code == 403


def test_another_tenants_things_do_not_exist(world: World, client: TestClient) -> None:
    def same(ask: Callable[[str], Any], *names: str) -> None:
        one, other = map(ask, names)
        assert one.status_code == other.status_code == 404
        assert one.json()["detail"].replace(names[0], "X") == other.json()["detail"].replace(names[1], "X")

    names = ("secret", "nowhere")
    same(lambda name: client.post("/api/v1/search", json=question(collection=name)), *names)
    same(lambda name: client.get(f"/api/v1/collections/{name}"), *names)
    same(lambda name: client.get(f"/api/v1/documents?collection={name}"), *names)
    for name in ("foreign", "neighbour"):
        ids = (str(world.ids[name]), str(named("missing")))
        same(lambda each: client.get(f"/api/v1/documents/{each}"), *ids)


def test_an_index_that_proposes_another_tenants_passage_changes_nothing(world: World, client: TestClient) -> None:
    world.careless = True
    answer = client.post("/api/v1/search", json=question(top_k=100))
    assert [result["external_id"] for result in answer.json()["results"]] == ["open.md", "legal.md", "hostile.md"]
    assert "another tenant" not in answer.text


def test_a_collection_of_the_same_name_holds_only_ones_own(stranger: TestClient) -> None:
    def outcome(tenant: str) -> list[str]:
        headers = as_caller("sam-token") | {"X-Sluice-Tenant": tenant}
        answer = stranger.post("/api/v1/search", json=question(), headers=headers)
        return [result["external_id"] for result in answer.json()["results"]]

    assert outcome("acme") == ["open.md", "legal.md", "hostile.md"]
    assert outcome("other") == ["neighbour.md"]


def test_groups_are_honoured_everywhere(world: World, stranger: TestClient) -> None:
    as_bob = as_caller("bob-token")
    outcome = stranger.post("/api/v1/search", json=question(top_k=100), headers=as_bob)
    assert [result["external_id"] for result in outcome.json()["results"]] == ["open.md", "hostile.md"]
    listed = stranger.get("/api/v1/documents?collection=docs", headers=as_bob).json()["documents"]
    assert {document["external_id"] for document in listed} == {"open.md", "hostile.md"}
    assert stranger.get(f"/api/v1/documents/{world.ids['legal']}", headers=as_bob).status_code == 404
    as_sam = as_caller("sam-token")
    assert stranger.get(f"/api/v1/documents/{world.ids['legal']}", headers=as_sam).status_code == 200


# --- posts of other sites -----------------------------------------------------------------------------------

COOKIE = {"Cookie": "_token=ann-token"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),  # no browser: neither header
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://sluice.test"}, 200),
        ({"Origin": "http://sluice.test"}, 200),
        ({"Origin": "https://sluice.test"}, 200),  # TLS ends at a proxy
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://sluice.test"}, 403),
        ({"Origin": "http://evil.test"}, 403),
        ({"Origin": "http://sluice.test.evil.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.test", "Authorization": "Bearer"}, 403),  # an empty token is no bearer
        ({"Origin": "http://evil.test", "Authorization": "Basic YTpi"}, 403),
    ],
)
def test_the_session_serves_our_own_pages_only(stranger: TestClient, headers: dict[str, str], status: int) -> None:
    answer = stranger.post("/api/v1/search", json=question(), headers=COOKIE | headers)
    assert answer.status_code == status


def test_a_bearer_token_may_be_used_from_anywhere(client: TestClient) -> None:
    headers = {"Origin": "http://elsewhere.test", "Sec-Fetch-Site": "cross-site"}
    assert client.post("/api/v1/search", json=question(), headers=headers).status_code == 200


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_plain_form_can_send_is_refused(stranger: TestClient, media_type: str) -> None:
    body = b'{"query": "pumps", "collection": "docs"}'
    answer = stranger.post("/api/v1/search", content=body, headers=COOKIE | {"Content-Type": media_type})
    assert answer.status_code == 415
