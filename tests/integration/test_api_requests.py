"""Search over HTTP: what comes out, what is refused, and how refusals look."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from sluice.errors import Terminal
from support.api_service import HOSTILE, World, as_caller, client_of, named, question


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    with client_of(world) as client:
        yield client


def refused(answer: Any, status: int) -> dict[str, Any]:
    """A problem in full (RFC 9457), whose content is returned."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def test_an_answer_has_the_documented_shape(world: World, client: TestClient) -> None:
    answer = client.post("/api/v1/search", json=question(top_k=1), headers={"X-Request-ID": "my-id.1"})
    body = answer.json()
    assert body.pop("took_ms") >= 0
    assert body == {
        "results": [
            {
                "chunk_id": str(named("chunk open")),
                "document_id": str(world.ids["open"]),
                "external_id": "open.md",
                "title": "Title of open",
                "text": "Pumps are inspected every month.",
                "score": pytest.approx(2 / 60),
                "uri": "file:///docs/open.md",
                "location": {"start": 0, "end": 32, "page": 2, "headings": ["Upkeep"]},
                "metadata": {"language": "en", "odd": None},
                "version": 1,
                "generation": 1,
                "run_id": str(named("run open")),
            }
        ],
        "legs": ["dense", "sparse"],
        "degraded": [],
        "nothing_relevant": False,
        "generation": 1,
        "request_id": "my-id.1",
        "cached": False,
    }


def test_explain_adds_scores_generation_and_run(client: TestClient) -> None:
    explained = client.post("/api/v1/search", json=question(explain=True)).json()["results"][0]["explain"]
    assert (explained["generation"], explained["run_id"]) == (1, str(named("run open")))
    assert explained["legs"]["dense"] == pytest.approx(1.0)
    assert explained["legs"]["sparse"] > 0


def test_a_lowest_similarity(client: TestClient) -> None:
    outcome = client.post("/api/v1/search", json=question(min_score=0.99)).json()
    assert [(each["external_id"], each["similarity"]) for each in outcome["results"]] == [
        ("open.md", pytest.approx(1.0)),
        ("legal.md", pytest.approx(0.995, abs=1e-3)),
    ]
    nothing = client.post("/api/v1/search", json=question(min_score=1, legs=["dense"], filters={"year": 1})).json()
    assert (nothing["results"], nothing["nothing_relevant"]) == ([], True)
    refused(client.post("/api/v1/search", json=question(min_score=0.5, legs=["sparse"])), 422)


def test_hostile_text_comes_as_it_is_in_json_that_no_browser_renders(client: TestClient) -> None:
    answer = client.post("/api/v1/search", json=question())
    assert answer.json()["results"][2]["text"] == HOSTILE
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_deleted_erased_and_expired_between_index_and_answer(world: World, client: TestClient) -> None:
    world.careless = True
    world.delete("open")
    world.erased.add("legal")
    names = [result["external_id"] for result in client.post("/api/v1/search", json=question()).json()["results"]]
    assert names == ["hostile.md"]
    world.expire("hostile")
    assert client.post("/api/v1/search", json=question()).json()["results"] == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"query": ""}, "query"),
        ({"query": " \t\n "}, "query"),
        ({"query": "x" * 5000}, "query"),
        ({"query": "a\x00b"}, "query"),
        ({"query": 3}, "query"),
        ({"query": None}, "query"),
        ({"collection": ""}, "collection"),
        ({"collection": "a\x00"}, "collection"),
        ({"collection": "x" * 201}, "collection"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 101}, "top_k"),
        ({"top_k": "10"}, "top_k"),
        ({"top_k": True}, "top_k"),
        ({"top_k": 2.5}, "top_k"),
        ({"legs": []}, "legs"),
        ({"legs": ["words"]}, "legs.0"),
        ({"filters": []}, "filters"),
        ({"explain": "yes"}, "explain"),
        ({"surprise": 1}, "surprise"),
        ({"min_score": 1.01}, "min_score"),
        ({"min_score": -1}, "min_score"),
        ({"min_score": True}, "min_score"),
        ({"min_score": "0.5"}, "min_score"),
        ({"diversity": 1.5}, "diversity"),
        ({"diversity": -1}, "diversity"),
        ({"diversity": True}, "diversity"),
        ({"diversity": "0.5"}, "diversity"),
        ({"context": 6}, "context"),
        ({"context": -1}, "context"),
        ({"context": 1.5}, "context"),
        ({"duplicates": "no"}, "duplicates"),
        ({"rerank": "yes"}, "rerank"),
    ],
)
def test_a_refused_field_is_named(client: TestClient, changes: dict[str, Any], field: str) -> None:
    body = refused(client.post("/api/v1/search", json=question(**changes)), 422)
    assert [error["field"] for error in body["errors"]] == [field]
    assert field in body["detail"]


def test_two_thousand_characters_after_trimming_are_allowed(client: TestClient) -> None:
    assert client.post("/api/v1/search", json=question(query=f"  {'x' * 2000}  ")).status_code == 200


def test_what_this_release_does_not_have_is_said(client: TestClient) -> None:
    graph = refused(client.post("/api/v1/search", json=question(legs=["graph"])), 422)
    assert "This collection has no graph" in graph["detail"]
    assert client.post("/api/v1/search", json=question(legs=["dense", "graph"])).json()["legs"] == ["dense"]
    rerank = refused(client.post("/api/v1/search", json=question(rerank=True)), 422)
    assert "no reranker is configured" in rerank["detail"]
    assert "SLUICE_RERANKER" in rerank["detail"]
    assert client.post("/api/v1/search", json=question(rerank=False)).status_code == 200


@pytest.mark.parametrize("leg", ["dense", "sparse"])
def test_one_leg_alone(client: TestClient, leg: str) -> None:
    assert client.post("/api/v1/search", json=question(legs=[leg, leg])).json()["legs"] == [leg]


def test_an_undeclared_filter_names_the_declared_ones(client: TestClient) -> None:
    body = refused(client.post("/api/v1/search", json=question(filters={"author": "x"})), 422)
    assert "language, year" in body["detail"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"query": "\\ud800", "collection": "docs"}',
        b'{"query": "a", "collection": "docs", "filters": {"year": NaN}}',
        b'{"query": "a", "collection": "docs", "filters": {"year": 1e999}}',
        b'{"query": "a", "collection": "docs", "filters": {"year": 99999999999999999999}}',
        b'{"query": "a", "collection": "docs", "filters": {"\\ud800": 1}}',
        b'{"query": "a", "collection": "docs", "min_score": NaN}',
        b'{"\\ud800": 1}',
        b"[" * 60000,
        b'{"query": "a", "collection": "docs", "top_k": ' + b"9" * 5000 + b"}",
    ],
)
def test_odd_bodies_are_the_callers_mistake(client: TestClient, content: bytes) -> None:
    refused(client.post("/api/v1/search", content=content, headers={"Content-Type": "application/json"}), 422)


def test_a_body_of_more_than_64_kib_is_refused(client: TestClient) -> None:
    large = json.dumps(question(query="x" * 66_000)).encode()
    headers = {"Content-Type": "application/json"}
    refused(client.post("/api/v1/search", content=large, headers=headers), 413)

    def pieces() -> Iterator[bytes]:  # sent without a length
        for at in range(0, len(large), 1000):
            yield large[at : at + 1000]

    refused(client.post("/api/v1/search", content=pieces(), headers=headers), 413)
    refused(client.get("/api/v1/collections", headers={"Content-Length": "70000"}), 413)


@pytest.mark.parametrize("path", ["/api/v1/collections/a%00b", "/api/v1/documents?collection=a%00b", "/%00"])
def test_nul_in_an_address_is_refused(client: TestClient, path: str) -> None:
    refused(client.get(path), 422)


def test_unknown_addresses_and_methods(client: TestClient) -> None:
    refused(client.get("/api/v1/nothing"), 404)
    refused(client.get("/api/v1/collections/"), 404)
    answer = client.get("/api/v1/search")
    refused(answer, 405)
    assert answer.headers["allow"] == "POST"
    refused(client.get("/api/v1/documents?collection=docs&limit=0"), 422)
    refused(client.get("/api/v1/documents/not-an-id"), 422)
    refused(client.get("/api/v1/documents"), 422)


@pytest.mark.parametrize(
    ("body", "field", "output"),
    [
        ({"topk": 3}, "topk", "did you mean 'top_k'?"),
        ({"filter": {}}, "filter", "did you mean 'filters'?"),
        ({"zzz": 1}, "zzz", "Known: "),
    ],
)
def test_an_unknown_field_of_a_body_is_refused_with_the_nearest(
    client: TestClient, body: dict[str, Any], field: str, output: str
) -> None:
    answer = client.post("/api/v1/search", json={**question(), **body}, headers=as_caller("ann-token"))
    (error,) = refused(answer, 422)["errors"]
    assert error["field"].startswith(field) and output in error["message"]


@pytest.mark.parametrize("store", ["ledger", "keys", "qdrant"])
def test_a_lost_store_is_503_without_internals(world: World, store: str) -> None:
    world.down.add(store)
    with client_of(world) as client:
        answer = client.post("/api/v1/search", json=question())
    refused(answer, 503)
    assert answer.headers["retry-after"]
    assert "hunter2" not in answer.text


def test_an_unforeseen_error_is_500_without_internals(
    world: World, client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret of the implementation")

    monkeypatch.setattr(world.catalog, "live", broken)
    answer = client.post("/api/v1/search", json=question())
    refused(answer, 500)
    assert "secret" not in answer.text
    assert "secret of the implementation" in caplog.text


def test_incomplete_settings_are_503_and_tried_again(world: World) -> None:
    build, failures = world.sluice, [Terminal("SLUICE_MASTER_KEY is not set")]

    def flaky() -> Any:
        if failures:
            raise failures.pop()
        return build()

    world.sluice = flaky  # type: ignore[method-assign]
    with client_of(world) as client:
        first = client.post("/api/v1/search", json=question())
        refused(first, 503)
        assert "MASTER_KEY" not in first.text
        assert client.post("/api/v1/search", json=question()).status_code == 200


def test_tools_are_built_on_first_use_once_and_closed(world: World) -> None:
    with client_of(world) as client:
        assert client.get("/").status_code == 200
        assert world.built == 0
        for _ in range(3):
            client.post("/api/v1/search", json=question())
        assert (world.built, world.closed) == (1, 0)
    assert world.closed == 1


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("abc-1.2:3_x", True), ("", False), ("x" * 65, False), ("a b", False), ("a<b>", False), ("é", False)],
)
def test_request_ids_are_echoed_only_where_they_are_harmless(client: TestClient, sent: str, stored: bool) -> None:
    answer = client.get("/api/v1/collections", headers={b"X-Request-ID": sent.encode()})
    assert (answer.headers["x-request-id"] == sent) == stored
    assert len(answer.headers["x-request-id"]) >= 8


@pytest.mark.parametrize(
    "path", ["/", "/page.js", "/api/v1/docs", "/api/v1/collections", "/api/v1/nothing", "/api/v1/health/live"]
)
@pytest.mark.parametrize("token", ["ann-token", "garbage"])
def test_security_headers_are_on_everything(client: TestClient, path: str, token: str) -> None:
    answer = client.get(path, headers=as_caller(token))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    page = path in ("/", "/page.js", "/api/v1/docs") and token == "ann-token"
    assert answer.headers["cache-control"] == ("no-cache" if page else "no-store")


@pytest.mark.parametrize("page", ["/", "/lineage", "/gates", "/api/v1/docs"])
def test_the_page_loads_nothing_from_elsewhere_and_holds_no_inline_code(client: TestClient, page: str) -> None:
    html = client.get(page).text
    assert "http:" not in html
    assert "https:" not in html
    assert "<script>" not in html
    assert "style=" not in html
    assert " on" not in html.replace(" one", "")
    scripts = {Path(each).name for each in re.findall(r'src="([^"]+)"', html)}
    assert scripts
    seen: set[str] = set()
    while scripts:
        seen.add(script := scripts.pop())
        answer = client.get(f"/{script}")
        assert answer.status_code == 200, script
        scripts |= set(re.findall(r'from "\./([\w.]+)"', answer.text)) - seen
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "innerHTML" not in answer.text
        assert "insertAdjacentHTML" not in answer.text
        assert ".style" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/collections?colection=docs",
        "/api/v1/documents?collection=docs&colection=docs",
        "/api/v1/sources?colection=docs",
        "/api/v1/quarantine?colection=docs",
        "/api/v1/health?colection=docs",
        "/api/v1/openapi.json?colection=docs",
    ],
)
def test_an_unknown_query_parameter_is_refused_by_name(client: TestClient, path: str) -> None:
    body = refused(client.get(path, headers=as_caller("ann-token")), 422)
    assert "'colection'" in body["detail"]
    assert body["errors"][0]["field"] == "colection"


def test_the_nearest_query_parameter_is_told(client: TestClient) -> None:
    body = refused(client.get("/api/v1/sources?colection=docs", headers=as_caller("ann-token")), 422)
    assert "did you mean 'collection'" in body["detail"]


def test_a_misspelled_header_of_ours_is_refused(client: TestClient) -> None:
    """Without it the caller would read another tenant than meant."""
    headers = {**as_caller("sam-token"), "X-Sluice-Tennant": "other"}
    body = refused(client.get("/api/v1/collections", headers=headers), 422)
    assert "did you mean 'x-sluice-tenant'" in body["detail"]


def test_probes_take_any_query(client: TestClient) -> None:
    assert client.get("/api/v1/health/live?t=1").status_code == 200
