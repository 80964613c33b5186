"""DELETE documents, sources, collections and grants, and who can read what, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient

from sluice.api.app import create_app
from sluice.model.grants import Grant
from sluice.testing.blobs import MemoryBlobs
from support.api_service import World, as_caller, authenticate

LEGAL = "file:///acme/docs/legal/legal"
OPEN = "file:///acme/docs/None/open"


class Service:
    def __init__(self, world: World) -> None:
        self.world = world
        world.finish_runs()
        self.world.ledger.grants.add(Grant("bob", "acme", frozenset(), True))  # may write, holds no group
        app = create_app(self.sluice, authenticate)
        self.client = TestClient(app, base_url="http://sluice.test")

    def sluice(self) -> Any:
        sluice = self.world.sluice()
        sluice.blobs = MemoryBlobs()
        sluice.graph = self.world.graph
        return sluice

    def call(self, method: str, path: str, token: str = "ann-token", **query: Any) -> Any:
        headers = {**as_caller(token), "X-Sluice-Tenant": "acme"}
        return self.client.request(method, f"/api/v1{path}", params=query, headers=headers)

    def names(self) -> set[str]:
        result = self.call("GET", "/documents", collection="docs").json()
        return {each["external_id"] for each in result["documents"]}


@pytest.fixture
def service(world: World) -> Iterator[Service]:
    built = Service(world)
    with built.client:
        yield built


def test_a_document_is_deleted_and_restored(service: Service) -> None:
    path = f"/documents/{service.world.ids['open']}"
    assert service.call("DELETE", path, dry_run="true").json() == {
        **{"dry_run": True, "documents": 1, "chunks": 1, "left": []}
    }
    assert "open.md" in service.names()
    assert service.call("DELETE", path).json() == {"dry_run": False, "documents": 1, "chunks": 1, "left": []}
    assert "open.md" not in service.names()
    assert service.call("DELETE", path).status_code == 404
    assert [(each.kind, each.actor) for each in service.world.db.deletions()] == [("document", "ann")]
    headers = {**as_caller("ann-token"), "X-Sluice-Tenant": "acme"}
    restored = service.client.post(f"/api/v1{path}/restore", json={}, headers=headers)
    assert restored.json() == {"document_id": str(service.world.ids["open"]), "source": OPEN}


def test_a_deleted_document_is_hidden_from_who_could_not_read_it(service: Service) -> None:
    """Its 404 is that of a document that does not exist: it does not say that the document was deleted."""
    ids = {**service.world.ids, "unknown": uuid4()}
    service.sluice().deletion.delete_documents([ids[name] for name in ("open", "legal", "foreign")], actor="operator")

    def restored(name: str, token: str) -> Any:
        headers = {**as_caller(token), "X-Sluice-Tenant": "acme"}
        return service.client.post(f"/api/v1/documents/{ids[name]}/restore", json={}, headers=headers)

    answers = set()
    for name, token in (
        ("legal", "bob-token"),  # may write, but not read it
        ("foreign", "ann-token"),
        ("hostile", "ann-token"),  # not deleted
        ("unknown", "ann-token"),
    ):
        answer = restored(name, token)
        answers.add((answer.status_code, answer.json()["detail"].replace(str(ids[name]), "<id>")))
    assert answers == {(404, "There is no deleted document <id> that you may read.")}
    assert restored("open", "sam-token").status_code == 403
    assert restored("legal", "ann-token").status_code == 200


@pytest.mark.parametrize(
    ("name", "token", "status"),
    [
        ("legal", "bob-token", 404),  # may not read it
        ("open", "sam-token", 403),  # may only read
        ("foreign", "ann-token", 404),
        ("open", "nobody", 401),
    ],
)
def test_who_may_not_write_it_deletes_nothing(service: Service, name: str, token: str, status: int) -> None:
    assert service.call("DELETE", f"/documents/{service.world.ids[name]}", token).status_code == status
    assert {"open.md", "legal.md"} <= service.names() and service.world.db.deletions() == []


def test_a_source_is_only_listed_unless_it_is_meant(service: Service) -> None:
    query = {"uri": LEGAL, "collection": "docs", "documents": "remove"}
    assert service.call("DELETE", "/sources", **query).json()["dry_run"] is True
    assert "legal.md" in service.names()
    assert service.call("DELETE", "/sources", "bob-token", **query, dry_run="false").status_code == 404
    assert service.call("DELETE", "/sources", **{**query, "documents": "keep"}, dry_run="false").status_code == 200
    assert "legal.md" in service.names()
    assert service.call("DELETE", "/sources", **query, dry_run="false").json()["documents"] == 1
    assert "legal.md" not in service.names()
    assert service.call("DELETE", "/sources", uri=LEGAL, collection="docs").status_code == 422  # says not what becomes


def test_a_collection_goes_as_far_as_the_tenant_has_it(service: Service) -> None:
    assert service.call("DELETE", "/collections/docs", "bob-token").status_code == 403
    assert service.call("DELETE", "/collections/nowhere").status_code == 404
    assert service.call("DELETE", "/collections/docs").json() == {
        **{"dry_run": True, "documents": 3, "chunks": 3, "left": []}
    }
    assert len(service.names()) == 3
    assert service.call("DELETE", "/collections/docs", dry_run="false").json()["documents"] == 3
    assert "docs" in [each.collection for each in service.world.ledger.collections.generations()], (
        "another tenant has some"
    )
    assert service.world.ledger.collections.counts(service.world.ledger.collections.generations()[0]).documents == 1


def test_grants_are_listed_and_taken_back_by_who_holds_all(service: Service) -> None:
    output = service.call("GET", "/access", source=LEGAL).json()
    other = LEGAL.replace("file:///", "FILE://localhost//", 1)
    assert service.call("GET", "/access", source=other).json() == output, "however its URI is written"
    assert {each["principal"] for each in output["grants"]} == {"ann", "bob", "sam"}
    assert output["sources"] == [
        {"uri": LEGAL, "collection": "docs", "access_groups": ["legal"], "readers": ["ann", "sam"]}
    ]
    for method, path in (("GET", "/access"), ("DELETE", "/grants/sam")):
        assert service.call(method, path, "bob-token").status_code == 403
    would = service.call("DELETE", "/grants/sam", dry_run="true").json()
    assert would["dry_run"] and would == {**service.call("DELETE", "/grants/sam").json(), "dry_run": True}
    assert {name: would[name] for name in ("principal", "tenant", "may_write")} == {
        "principal": "sam",
        "tenant": "acme",
        "may_write": False,
    }
    assert service.call("DELETE", "/grants/sam").status_code == 404
    assert [each.tenant for each in service.world.ledger.grants.of("sam")] == ["other"]


def test_a_page_of_another_site_deletes_nothing(service: Service) -> None:
    """With a cookie in place of the token: the browser says where the call comes from."""
    path = f"/api/v1/documents/{service.world.ids['open']}"
    for headers in ({"sec-fetch-site": "cross-site"}, {"origin": "http://evil.test"}):
        answer = service.client.delete(path, headers=headers, cookies={"_token": "ann-token"})
        assert answer.status_code in (401, 403)
    assert "open.md" in service.names()
